import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import pgface
from tests.nets.contracts import function, moved, sizes, variables

TINY = pgface.PGFace(3, 2, (4, 5, 6, 7), (5, 4))


@pytest.fixture
def windows():
    return jax.random.normal(jax.random.key(1), (2, 5, 16, 35))


def test_the_default_net_has_its_sizes():
    output, layers, count = sizes(pgface.PGFace(), (2, 5, 16, 35), train=False)
    assert output == pgface.Shape((2, 5, 80), (2, 5, 64))
    convolutions = [layers[f"conv_{i}"][2:] for i in range(4)]
    assert convolutions == [(8, 32), (4, 32), (2, 64), (1, 64)]
    dense = [layers[name][2:] for name in ("dense_0", "dense_1", "shape")]
    assert dense == [(128,), (50,), (144,)]
    assert count == 25_440 + 22_114 == 47_554


def test_without_pose_only_speech_counts(windows):
    output, _, count = sizes(pgface.PGFace(use_pose=False), (2, 5, 16, 35), train=False)
    assert output == pgface.Shape((2, 5, 80), (2, 5, 64))
    assert count == 47_554 - 3 * 6 * 32
    net = TINY.clone(use_pose=False)
    made = variables(net, windows, train=False)
    run = functools.partial(function(net, train=False), made)
    before, other = run(windows), run(windows.at[..., :6].add(1))
    jax.tree.map(np.testing.assert_array_equal, before, other)
    assert bool(jnp.all(run(windows.at[..., 6:].multiply(-1)).expression != before.expression))


def test_pose_counts(windows):
    made = variables(TINY, windows, train=False)
    run = functools.partial(function(TINY, train=False), made)
    assert bool(jnp.all(run(windows.at[..., :6].add(1)).identity != run(windows).identity))


def test_any_leading_axes_are_one_batch(windows):
    made = variables(TINY, windows, train=False)
    run = functools.partial(moved(TINY), made)
    (whole, stats), (flat, flat_stats) = run(windows), run(windows.reshape(10, 16, 35))
    for a, b in zip(whole, flat, strict=True):
        np.testing.assert_allclose(a.reshape(b.shape), b, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), stats, flat_stats)


def test_one_window_is_enough(windows):
    made = variables(TINY, windows, train=False)
    run = functools.partial(function(TINY, train=False), made)
    for a, b in zip(run(windows[1, 2]), run(windows), strict=True):
        np.testing.assert_allclose(a, b[1, 2], atol=1e-5)


def test_the_first_layer_sees_the_row_before(windows):
    """Stride 2 on an even length: rows 2 i - 1, 2 i and 2 i + 1."""
    made = variables(TINY, windows, train=False)
    run = function(TINY, train=False, capture_intermediates=True)

    def first(x):
        return run(made, x)[1]["intermediates"]["conv_0"]["conv"]["__call__"][0]

    changed = jnp.any(first(windows) != first(windows.at[:, :, 5].add(1)), axis=(0, 1, 3))
    np.testing.assert_array_equal(changed, np.isin(np.arange(8), (2, 3)))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 15, 35), r"windows has shape \(2, 15, 35\); due: .\.\.\. 16 C."),
        ((2, 16, 6), "windows has 6 channels; due: 6 of pose, then speech"),
    ],
)
def test_a_wrong_size_is_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        sizes(TINY, shape, train=False)
