import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import blocks, norms
from facejax.nets.rhythmic_decoder import repeated_pointwise, transposed_pointwise
from facejax.nets.rhythmic_fusion import Fusion, Pointwise, correlate, gamma_beta, transposed
from tests.nets.contracts import KEY, quick, sizes

CONV = functools.partial(blocks.SpectralConv, dtype=jnp.float32)
RNG = np.random.default_rng(0)


def test_correlation_is_equation_7_position_by_position():
    image, landmarks = RNG.normal(size=(2, 2, 3, 4, 5))
    found = correlate(jnp.asarray(image), jnp.asarray(landmarks))
    due = np.zeros((2, 5, 5))
    for b in range(2):
        for y in range(3):
            for x in range(4):
                share = np.exp(landmarks[b, y, x]) / np.exp(landmarks[b, y, x]).sum()
                due[b] += np.outer(image[b, y, x], share)
    np.testing.assert_allclose(found, due, rtol=1e-5, atol=1e-6)


def test_rows_become_the_published_layout_of_gamma_and_beta():
    inside, outside = 3, 6
    values = RNG.normal(size=(2, outside, 2 * (inside + 1)))
    found = gamma_beta(jnp.asarray(values), inside, outside)
    x = RNG.normal(size=(2, 4, 5, inside))
    both = found(jnp.asarray(x))
    for b in range(2):
        numbers = values[b].ravel()
        for part, half in enumerate(np.split(numbers, 2)):
            kernel = half[: inside * outside].reshape(outside, inside)
            due = x[b] @ kernel.T + half[inside * outside :]
            made = both[b, ..., part * outside : (part + 1) * outside]
            np.testing.assert_allclose(made, due, rtol=1e-5, atol=1e-5)


def test_theta_s_is_torchs_transposed_convolution_with_output_padding():
    torch = pytest.importorskip("torch")
    inside, outside = 6, 3
    values = RNG.normal(size=(2, inside, outside + 1)).astype(np.float32)
    weights = transposed(jnp.asarray(values), inside, outside)
    x = RNG.normal(size=(2, 4, 5, inside)).astype(np.float32)
    found = transposed_pointwise(jnp.asarray(x), weights)
    for b in range(2):
        numbers = values[b].ravel()
        size = inside * outside
        kernel = torch.tensor(numbers[:size].reshape(inside, outside, 1, 1))
        bias = torch.tensor(numbers[size : size + outside])
        row = torch.tensor(x[b : b + 1]).permute(0, 3, 1, 2)
        due = torch.nn.functional.conv_transpose2d(row, kernel, bias, stride=2, output_padding=1)
        np.testing.assert_allclose(found[b], due[0].permute(1, 2, 0), rtol=1e-4, atol=1e-5)


def test_repeated_pixels_leave_no_holes():
    weights = Pointwise(jnp.ones((1, 2, 3)), jnp.zeros((1, 3)))
    x = jnp.arange(12.0).reshape(1, 2, 3, 2) + 1
    full, holed = repeated_pointwise(x, weights), transposed_pointwise(x, weights)
    assert full.shape == holed.shape == (1, 4, 6, 3)
    assert bool(jnp.all(full > 0))
    np.testing.assert_array_equal(holed[:, ::2, ::2], full[:, ::2, ::2])
    assert int(jnp.sum(holed > 0)) * 4 == full.size


def test_weights_fit_their_levels_and_differ_between_rows_of_the_batch():
    net = Fusion((2, 4, 8, 8), 3, CONV, norms.InstanceNorm)
    image, landmarks = jax.random.normal(jax.random.key(1), (2, 2, 3, 3, 8))
    init = quick(functools.partial(net.init_with_output, train=False))
    weights, _ = init(KEY, image, landmarks)
    shapes = [jax.tree.map(lambda x: x.shape, level) for level in weights]
    for level, (low, high) in zip(shapes, ((2, 4), (4, 8), (8, 8)), strict=True):
        assert level.first == ((2, low, 2 * high), (2, 2 * high))
        assert level.second == ((2, low, 2 * low), (2, 2 * low))
        assert level.shortcut == (None if low == high else level.first)
        assert level.sketch == ((2, high, low), (2, low))
    assert float(jnp.max(jnp.abs(weights[0].first.kernel[0] - weights[0].first.kernel[1]))) > 1e-5


def test_fusion_has_the_published_size_without_what_nothing_reads():
    widths = (32, 64, 128, 256, 512, 1024)
    coarsest = (1, 8, 8, 1024)
    _, _, found = sizes(Fusion(widths, 4, CONV, norms.BatchNorm), coarsest, coarsest, train=False)
    combining = 2 * sum(9 * a * b + 3 * b for b, a in itertools.pairwise(widths[1:]))
    heads = sum(
        8 * high * (high + 1) + (high + 1) * (4 * (low + 1) + 2 * (low + 1))
        for low, high in itertools.pairwise(widths[:5])
    )
    assert found == combining + heads
    assert round(heads / 1e6, 2) == 3.85  # as published; of 12.58 M for the rest
    assert round((combining + 2 * (9 * 64 * 32 + 3 * 32)) / 1e6, 2) == 12.58
