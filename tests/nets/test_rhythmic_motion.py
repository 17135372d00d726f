import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import rhythmic_motion as nets
from tests.nets.contracts import function, sizes, variables

SOUND = nets.SoundNet((2, 3), 5, 4)
HABIT = nets.HabitNet((3, 4), 6, 5)
NET = nets.HeadMotionNet(SOUND, HABIT)
RNG = np.random.default_rng(0)


def draw(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


# Psi.


@pytest.mark.parametrize(
    ("samples", "flat", "count"), [(14000, 46080, 17.24e6), (4480, 8192, None)]
)
def test_the_expression_net_has_its_sizes(samples, flat, count):
    output, layers, found = sizes(nets.ExpressionNet(), (2, samples), (2, 20), train=False)
    assert output == (2, 20)
    lengths = [layers[f"conv_{i}"][1] for i in range(7)]
    if count:
        assert lengths == [6990, 3485, 1733, 857, 419, 200, 90]
        assert found == pytest.approx(count, rel=1e-3)
    assert lengths[-1] * 512 == flat


def test_a_sound_too_short_for_the_convolutions_is_refused():
    with pytest.raises(ValueError, match="more samples, or fewer widths"):
        sizes(nets.ExpressionNet(), (2, 500), (2, 20), train=False)


def test_an_expression_follows_sound_and_reference_of_its_own_row():
    net = nets.ExpressionNet((2, 3), 5)
    audio, reference = draw(3, 90), draw(3, 4)
    known = variables(net, audio, reference, train=False)
    run = function(net, train=False)
    made = run(known, audio, reference)
    for given in ((audio.at[1].add(1), reference), (audio, reference.at[1].add(1))):
        other = run(known, *given)
        assert not np.allclose(other[1], made[1])
        np.testing.assert_allclose(other[jnp.array([0, 2])], made[jnp.array([0, 2])], atol=1e-6)


# Phi.


@pytest.mark.parametrize(
    ("samples", "flat", "count"), [(640, 30528, 47.3e6), (2000, 95808, 147.6e6)]
)
def test_the_audio_encoder_has_its_sizes(samples, flat, count):
    output, layers, found = sizes(nets.SoundNet(), (2, 10 + 6, samples), train=False)
    assert output == (2, 10, 256) and layers["image_1"] == (2, 12, samples - 4, 16)
    assert flat == 3 * (samples - 4) * 16
    assert found == pytest.approx(count, rel=1e-3)


def test_the_encoder_of_habits_has_its_sizes():
    output, layers, _ = sizes(nets.HabitNet(), (2, 64, 6), (2, 64, 256), train=False)
    assert output == ((2, 256, 6), (2, 6))
    assert layers["time_0"] == (2, 30, 512) and layers["time_1"] == (2, 13, 512)
    assert layers["weights"] == (2, 1542)


def windowed(known, chunks):
    """SoundNet with each frame's own window of seven chunks as the image, one after another."""
    import flax.linen as nn

    params, frames = known["params"], chunks.shape[1] - 6
    rows = []
    for t in range(frames):
        x = chunks[:, t : t + 7, :, None]
        for i, width in enumerate(SOUND.widths):
            conv = nn.Conv(width, (3, 3), padding="VALID")
            x = conv.apply({"params": params[f"image_{i}"]}, x)
            x = nn.relu(x) if i == 0 else x
        rows.append(x.reshape(len(x), -1))
    return jnp.stack(rows, axis=1)


def test_convolving_all_chunks_at_once_is_convolving_every_window(monkeypatch):
    chunks = draw(2, 9 + 6, 11)
    known = variables(SOUND, chunks, train=False)
    seen = []

    def spy(next_fun, args, kwargs, context):
        if context.module.name == "time_0" and context.method_name == "__call__":
            seen.append(args[0])
        return next_fun(*args, **kwargs)

    import flax.linen as nn

    with nn.intercept_methods(spy):
        SOUND.apply(known, chunks, train=False)
    np.testing.assert_allclose(seen[0], windowed(known, chunks), atol=1e-5)


def test_each_row_has_a_layer_of_its_own_and_the_reference_makes_it():
    motion, heard, chunks = draw(2, 13, 6), draw(2, 19, 11), draw(2, 8 + 6, 11)
    known = variables(NET, motion, heard, chunks, train=False)
    run = function(NET, train=False)
    made = run(known, motion, heard, chunks)
    assert made.shape == (2, 8, 6)
    weights, biases = NET.apply(known, motion, heard, train=False, method="habits")
    sound = NET.apply(
        known, chunks, train=False, method=lambda net, c, train: net.sound(c, train=train)
    )
    due = np.einsum("bta,bam->btm", sound, weights) + np.asarray(biases)[:, None]
    np.testing.assert_allclose(made, due, atol=1e-4)
    other = run(known, motion.at[1].add(1), heard, chunks)
    np.testing.assert_allclose(other[0], made[0], atol=1e-5)
    assert not np.allclose(other[1], made[1])


def test_a_frame_hears_two_frames_beyond_its_window():
    motion, heard, chunks = draw(1, 13, 6), draw(1, 19, 11), draw(1, 20 + 6, 11)
    known = variables(NET, motion, heard, chunks, train=False)
    run = function(NET, train=False)
    made = run(known, motion, heard, chunks)
    other = run(known, motion, heard, chunks.at[:, 13].add(1))  # frame 10's own chunk
    changed = np.abs(np.asarray(other - made)[0]).max(1) > 1e-6
    np.testing.assert_array_equal(np.flatnonzero(changed), np.arange(5, 16))


def test_too_short_a_reference_is_refused():
    with pytest.raises(ValueError, match="at least 13"):
        sizes(NET, (1, 12, 6), (1, 18, 11), (1, 20, 11), train=False)


# The discriminator.


@pytest.mark.parametrize(("differences", "count"), [(False, 12 + 1), (True, 24 + 1)])
def test_the_discriminator_is_one_linear_layer_of_statistics(differences, count):
    output, _, found = sizes(nets.MotionDiscriminator(differences), (3, 64, 6))
    assert (output, found) == ((3,), count)


def test_statistics_are_those_of_numpy():
    motion = draw(3, 20, 6)
    found = nets.statistics(motion)
    np.testing.assert_allclose(found.mean, np.mean(motion, 1), atol=1e-6)
    np.testing.assert_allclose(found.deviation, np.std(motion, 1, ddof=1), rtol=1e-5)


def test_motion_that_stands_still_has_finite_derivatives():
    gradient = jax.grad(lambda x: jnp.sum(nets.statistics(x).deviation))(jnp.ones((2, 5, 6)))
    assert np.isfinite(gradient).all()


def test_the_order_of_frames_matters_to_differences_only():
    motion = draw(2, 30, 6)
    mixed = motion[:, np.random.default_rng(1).permutation(30)]
    for differences in (False, True):
        net = nets.MotionDiscriminator(differences)
        known = variables(net, motion)
        alike = np.allclose(net.apply(known, motion), net.apply(known, mixed), atol=1e-4)
        assert alike != differences
