import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import patches, posegan, unet1d
from tests.nets.contracts import function, moved, sizes, variables

TINY = posegan.Generator((3, 4, 5, 6), functools.partial(unet1d.UNet1d, widths=(4, 5)), 7)


@pytest.fixture
def audio():
    return jax.random.normal(jax.random.key(1), (2, 16, 29))


@pytest.fixture
def initial():
    return jax.random.normal(jax.random.key(2), (2, 6))


def full(net):
    return sizes(net, (2, 256, 29), (2, 6), train=False)


def test_the_default_net_has_its_sizes():
    output, layers, count = full(posegan.Generator())
    assert (output, count) == ((2, 256, 6), 9_589_222)
    encoder = [layers[f"encoder.encode_{i}"][1:] for i in range(4)]
    assert encoder == [(128, 13, 32), (64, 5, 128), (64, 2, 256), (64, 2, 256)]
    assert layers["encoder"] == layers["unet"] == layers["decode_1"] == (2, 256, 256)
    assert layers["unet.down_4"] == (2, 8, 512)


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"unet": unet1d.UNETS["tface"]}, 9_589_222 - 8_396_288 + 8_394_496),
        ({"unet": unet1d.UNETS["gesture"]}, 9_589_222 - 8_396_288 + 2_626_560),
        ({"use_initial_pose": False}, 9_589_222 - 3 * 6 * 256),
        # The U-net's first layer sees 6 channels in the place of 256.
        ({"use_audio": False}, 9_589_222 - 788_960 - 4 * 250 * 256),
    ],
)
def test_each_choice_changes_its_part(fields, count):
    output, _, found = full(posegan.Generator(**fields))
    assert (output, found) == ((2, 256, 6), count)


def test_without_audio_only_its_length_counts(audio, initial):
    net = TINY.clone(use_audio=False)
    made = variables(net, audio, initial, train=False)
    run = functools.partial(function(net, train=False), made)
    np.testing.assert_array_equal(run(audio, initial), run(-audio, initial))
    assert bool(jnp.any(run(audio, initial) != run(audio, -initial)))


def test_without_an_initial_pose_it_does_not_count(audio, initial):
    net = TINY.clone(use_initial_pose=False)
    made = variables(net, audio, initial, train=False)
    run = functools.partial(function(net, train=False), made)
    np.testing.assert_array_equal(run(audio, initial), run(audio, -initial))
    assert bool(jnp.any(run(audio, initial) != run(-audio, initial)))


def test_audio_and_initial_pose_move_every_frame(audio, initial):
    made = variables(TINY, audio, initial, train=False)
    run = functools.partial(function(TINY, train=False), made)
    for other in (run(-audio, initial), run(audio, -initial)):
        assert bool(jnp.all(jnp.any(run(audio, initial) != other, axis=-1)))


def test_the_decoder_has_relu_after_batch_norm_but_for_its_last_layer(audio, initial):
    made = variables(TINY, audio, initial, train=False)
    run = function(TINY, train=False, capture_intermediates=True)
    y, state = run(made, audio, initial)
    for i in range(2):
        layer = state["intermediates"][f"decode_{i}"]["__call__"][0]
        assert float(jnp.min(layer)) == 0
    assert float(jnp.min(y)) < 0


def test_training_moves_the_running_statistics_and_use_does_not(audio, initial):
    made = variables(TINY, audio, initial, train=False)
    _, trained = moved(TINY)(made, audio, initial)
    _, used = function(TINY, train=False, mutable="batch_stats")(made, audio, initial)
    jax.tree.map(np.testing.assert_array_equal, used["batch_stats"], made["batch_stats"])
    changed = jax.tree.map(lambda a, b: np.all(a != b), trained, used)
    assert all(jax.tree.leaves(changed))


def test_a_net_without_any_input_is_refused(audio, initial):
    net = TINY.clone(use_audio=False, use_initial_pose=False)
    with pytest.raises(ValueError, match="has no input"):
        sizes(net, audio.shape, initial.shape, train=False)


def test_another_pose_is_refused(audio):
    with pytest.raises(ValueError, match=r"initial has shape \(2, 7\); due: .B 6."):
        sizes(TINY, audio.shape, (2, 7), train=False)


def test_the_default_discriminator_scores_the_published_map():
    output, _, count = sizes(patches.SequenceDiscriminator(), (2, 256, 6), train=False)
    assert output.scores == ((2, 64, 1, 1),)
    assert count == 1_555_329


def test_the_motion_discriminator_sees_motion_only():
    net = posegan.MotionDiscriminator(3)
    x = jax.random.normal(jax.random.key(1), (2, 24, 6))
    made = variables(net, x, train=False)
    run = functools.partial(function(net, train=False), made)
    before, shifted = run(x), run(x + 5)
    np.testing.assert_allclose(before.scores[0], shifted.scores[0], atol=1e-4)
    turned = run(x[:, ::-1])
    assert bool(jnp.all(before.scores[0] != turned.scores[0]))
    assert [f.shape for f in before.features[0]] == [(2, 11, 3), (2, 5, 6), (2, 4, 12)]
    assert before.scores[0].shape == (2, 3, 1)
