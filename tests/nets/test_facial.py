import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import facial, unet1d
from tests.nets.contracts import KEY, function, moved, quick, sizes, variables

TEMPORAL = facial.TemporalNet(facial.AudioEncoder((3, 4, 5, 6)), 7, 4)
LOCAL = facial.LocalNet((3, 4, 5, 6), 5)
TINY = facial.Generator(TEMPORAL, LOCAL, 9)


@pytest.fixture
def windows():
    return jax.random.normal(jax.random.key(1), (2, 8, 16, 29))


@pytest.fixture
def state():
    return jax.random.normal(jax.random.key(2), (2, 9))


def full(net):
    return sizes(net, (2, 128, 16, 29), (2, 71), train=False)


def test_the_papers_net_has_the_sizes_of_its_tables():
    output, layers, count = full(facial.paper())
    assert (output, count) == ((2, 128, 71), 1_294_471)
    encoder = [layers[f"temporal.encoder.encode_{i}"][1:] for i in range(4)]
    assert encoder == [(64, 13, 32), (32, 5, 128), (32, 2, 256), (32, 2, 256)]
    assert layers["temporal.encoder"] == (2, 128, 256)
    decoder = [layers[f"temporal.decode_{i}"][1:] for i in range(3)]
    assert decoder == [(128, 256), (128, 256), (128, 32)]
    local = [layers[f"local.conv_{i}"][2:] for i in range(4)]
    assert local == [(8, 32), (4, 32), (2, 64), (1, 64)]
    assert layers["local"] == (2, 128, 32)


def test_the_published_net_has_its_sizes():
    output, layers, count = full(facial.released())
    assert (output, count) == ((2, 128, 71), 9_688_967)
    encoder = [layers[f"temporal.encoder.encode_{i}"][1:] for i in range(4)]
    assert encoder == [(65, 13, 32), (33, 5, 128), (34, 2, 256), (34, 2, 256)]
    assert layers["temporal.unet"] == (2, 128, 256)


def test_each_switch_counts():
    temporal = facial.TemporalNet(facial.AudioEncoder(), final_norm=False)
    assert full(facial.Generator(temporal, facial.LocalNet()))[2] == 1_294_407
    local = facial.LocalNet(final_norm=True)
    assert full(facial.Generator(temporal, local))[2] == 1_294_471
    both = facial.Generator(facial.TemporalNet(facial.AudioEncoder()), local)
    assert full(both)[2] == 1_294_535


def test_resizing_in_time_keeps_the_ends_and_is_linear_between():
    x = np.random.default_rng(0).normal(size=(2, 64, 3)).astype(np.float32)
    y = facial.resize_time(jnp.asarray(x), 128)
    at = np.arange(128) * 63 / 127
    for i in range(2):
        for c in range(3):
            due = np.interp(at, np.arange(64), x[i, :, c])
            np.testing.assert_allclose(y[i, :, c], due, atol=1e-6)


def test_time_and_frequency_interleave(windows):
    """Places in time of the convolutions' result stay in order when it becomes a sequence."""
    encoder = TEMPORAL.encoder
    made = variables(encoder, windows[:, :, 8], train=False)
    run = function(encoder, train=False, capture_intermediates=True)
    y, state = run(made, windows[:, :, 8])
    last = state["intermediates"]["encode_3"]["__call__"][0]
    assert last.shape == (2, 2, 2, 6)
    sequence = np.asarray(last).reshape(2, 4, 6)
    np.testing.assert_allclose(sequence[:, 1], last[:, 0, 1])
    np.testing.assert_allclose(y[:, 7], sequence[:, 3], atol=1e-6)
    due = sequence[:, 1] + (sequence[:, 2] - sequence[:, 1]) * 2 / 7  # 3 of 8 steps: 9 / 7 of 3
    np.testing.assert_allclose(y[:, 3], due, atol=1e-5)


def test_batch_norm_comes_last_in_the_paper_and_before_the_activation_in_the_code(windows):
    audio = windows[:, :, 8]
    made = variables(TEMPORAL.encoder, audio, train=False)
    last = made["params"]["encode_3"]["norm"]
    last["scale"], last["bias"] = jnp.ones(6), jnp.zeros(6)
    means = {}
    for first in (False, True):
        encoder = facial.AudioEncoder((3, 4, 5, 6), norm_first=first)
        run = function(encoder, train=True, mutable="batch_stats", capture_intermediates=True)
        _, state = run(made, audio)
        means[first] = jnp.mean(state["intermediates"]["encode_3"]["__call__"][0])
    assert abs(float(means[False])) < 1e-5
    assert float(means[True]) > 0.2  # nearly a ReLU of something centred


def test_g_tem_sees_the_centre_rows_only(windows, state):
    made = variables(TINY, windows, state, train=False)
    made["params"]["fusion"]["kernel"] = made["params"]["fusion"]["kernel"].at[:5].set(0)  # no c
    run = functools.partial(function(TINY, train=False), made)
    due = run(windows, state)
    np.testing.assert_array_equal(run(windows.at[:, :, 7].add(1).at[:, :, 9].add(1), state), due)
    turned = run(windows.at[:, :, 8].multiply(-1), state)
    assert bool(jnp.all(jnp.any(turned != due, axis=-1)))


def test_g_loc_of_a_frame_sees_its_window_only(windows):
    run = functools.partial(function(LOCAL, train=False), variables(LOCAL, windows, train=False))
    changed = np.any(run(windows) != run(windows.at[:, 3].multiply(-1)), axis=(0, 2))
    np.testing.assert_array_equal(changed, np.arange(8) == 3)


def test_g_loc_pads_before_its_window_and_not_after(windows):
    """Stride 2 on an even length: rows 2 i - 1, 2 i and 2 i + 1 make the i-th."""
    run = function(LOCAL, train=False, capture_intermediates=True)
    made = variables(LOCAL, windows, train=False)

    def first(x):
        return run(made, x)[1]["intermediates"]["conv_0"]["conv"]["__call__"][0]

    for row, due in ((0, (0,)), (5, (2, 3)), (15, (7,))):
        changed = np.any(first(windows) != first(windows.at[:, :, row].add(1)), axis=(0, 1, 3))
        np.testing.assert_array_equal(np.flatnonzero(changed), due)


def test_statistics_of_each_step_are_those_of_a_loop_over_the_steps(windows):
    whole = facial.LocalNet((3, 4, 5, 6), 5, final_norm=True, step_norm=True)
    single = facial.LocalNet((3, 4, 5, 6), 5, final_norm=True)
    windows = jnp.concatenate([windows, 2 * windows[::-1]])  # a batch of 4
    made, due = variables(whole, windows, train=False), []
    stats = made["batch_stats"]
    for t in range(8):
        y, updated = moved(single)({**made, "batch_stats": stats}, windows[:, t : t + 1])
        stats = updated["batch_stats"]
        due.append(y)
    y, updated = moved(whole)(made, windows)
    np.testing.assert_allclose(y, jnp.concatenate(due, 1), atol=2e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), updated["batch_stats"], stats
    )


def test_the_state_reaches_every_frame_of_its_own_sequence(windows, state):
    run = function(TINY, train=False)
    made = variables(TINY, windows, state, train=False)
    before, after = run(made, windows, state), run(made, windows, state.at[1].add(1))
    np.testing.assert_array_equal(before[0], after[0])
    assert bool(jnp.all(jnp.any(before[1] != after[1], axis=-1)))


def test_every_parameter_of_the_papers_net_has_a_gradient(windows, state):
    made = variables(TINY, windows, state, train=False)

    def loss(params):
        found = {**made, "params": params}
        y, _ = TINY.apply(found, windows, state, train=True, mutable="batch_stats")
        return jnp.mean((y - 1) ** 2)

    gradient = quick(jax.grad(loss))(made["params"])
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.any(leaf != 0), jax.tree_util.keystr(path)
        assert np.all(np.isfinite(leaf)), jax.tree_util.keystr(path)


def test_half_precision_keeps_results_and_statistics_in_full(windows, state):
    encoder = facial.AudioEncoder((3, 4, 5, 6), dtype=jnp.bfloat16)
    unet = functools.partial(unet1d.UNet1d, widths=(4, 5), layers=unet1d.pre_activation)
    net = facial.Generator(
        facial.TemporalNet(encoder, 7, 4, unet, dtype=jnp.bfloat16),
        facial.LocalNet((3, 4, 5, 6), 5, dtype=jnp.bfloat16),
        9,
    )
    run = functools.partial(net.init_with_output, KEY, train=True)
    y, made = jax.eval_shape(run, windows, state)
    assert y.dtype == jnp.float32
    assert {x.dtype for x in jax.tree.leaves(made)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 6, 16, 29), "due: .B T F. with T a multiple of 4"),
        ((2, 8, 16, 21), "F 22 or more"),
        ((2, 8, 12, 29), r"windows has shape \(2, 8, 12, 29\); due: .B T 16 F."),
        ((3, 8, 16, 29), r"state has shape \(2, 9\)"),
    ],
)
def test_a_wrong_size_is_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        sizes(TINY, shape, (2, 9), train=False)


def test_the_published_net_needs_a_length_that_its_unet_can_halve():
    run = functools.partial(facial.released().init, KEY, train=False)
    with pytest.raises(ValueError, match="due: a multiple of 32"):
        jax.eval_shape(run, jnp.zeros((1, 48, 16, 29)), jnp.zeros((1, 71)))
