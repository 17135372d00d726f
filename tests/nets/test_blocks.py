import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import blocks

KEY = jax.random.key(0, impl="unsafe_rbg")  # compiles fast
SPECTRAL = functools.partial(blocks.SpectralConv, dtype=jnp.float32)
PLAIN = functools.partial(blocks.PlainConv, dtype=jnp.float32)


@pytest.fixture
def x():
    return jax.random.normal(jax.random.key(1), (2, 6, 8, 4))


def test_pixel_shuffle_agrees_with_a_slow_loop():
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 12)).astype(np.float32)
    due = np.empty((2, 6, 10, 3), np.float32)
    for c in range(3):
        for i in range(2):
            for j in range(2):
                due[:, i::2, j::2, c] = x[..., 4 * c + 2 * i + j]
    np.testing.assert_array_equal(blocks.pixel_shuffle(jnp.asarray(x)), due)


def test_repeat_pixels_agrees_with_numpy(x):
    due = np.asarray(x).repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(blocks.repeat_pixels(x), due)


def test_reflect_pad_does_not_repeat_the_border():
    x = jnp.arange(5.0).reshape(1, 1, 5, 1).repeat(4, axis=1)
    np.testing.assert_array_equal(
        blocks.reflect_pad(x, 3)[0, 0, :, 0], [3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1]
    )


def test_plain_conv_is_flax_conv_with_equal_padding(x):
    net = blocks.PlainConv(5, 3, stride=2, padding=1)
    variables = net.init(KEY, x)
    conv = nn.Conv(5, (3, 3), 2, ((1, 1), (1, 1)))
    y = net.apply(variables, x)
    assert y.shape == (2, 3, 4, 5)
    np.testing.assert_allclose(y, conv.apply(variables, x), atol=1e-6)


def largest_singular_value(kernel):
    return np.linalg.svd(np.asarray(kernel).reshape(-1, kernel.shape[-1]), compute_uv=False)[0]


def test_the_spectral_kernels_top_singular_value_tends_to_one(x):
    net = blocks.SpectralConv(7, 3, padding=1)
    variables = net.init(KEY, x, train=False)
    due = nn.Conv(7, (3, 3), 1, ((1, 1), (1, 1))).apply(
        {
            "params": {
                "kernel": variables["params"]["kernel"]
                / largest_singular_value(variables["params"]["kernel"]),
                "bias": variables["params"]["bias"],
            }
        },
        x,
    )
    for _ in range(60):
        _, updated = net.apply(variables, x, train=True, mutable=["stats"])
        variables = {"params": variables["params"], **updated}
    np.testing.assert_allclose(net.apply(variables, x, train=False), due, atol=1e-4)


def test_spectral_stats_stand_still_unless_training(x):
    net = blocks.SpectralConv(7, 3)
    variables = net.init(KEY, x, train=False)
    _, updated = net.apply(variables, x, train=False, mutable=["stats"])
    np.testing.assert_array_equal(updated["stats"]["u"], variables["stats"]["u"])
    _, updated = net.apply(variables, x, train=True, mutable=["stats"])
    assert bool(jnp.any(updated["stats"]["u"] != variables["stats"]["u"]))


def test_the_spectral_norm_of_a_zero_matrix_is_positive_with_a_finite_gradient():
    sigma = lambda m: blocks.spectral_norm(m, jnp.array([1.0, 0.0]))[0]
    assert sigma(jnp.zeros((3, 2))) > 0
    assert bool(jnp.all(jnp.isfinite(jax.grad(sigma)(jnp.zeros((3, 2))))))


def test_the_spectral_norms_gradient_is_the_outer_product_of_the_singular_vectors():
    matrix = jax.random.normal(KEY, (6, 4))
    left, _, right = np.linalg.svd(matrix)
    gradient = jax.grad(lambda m: blocks.spectral_norm(m, jnp.asarray(right[0]))[0])(matrix)
    np.testing.assert_allclose(gradient, np.outer(left[:, 0], right[0]), atol=1e-5)


def test_a_spade_blocks_residual_is_the_identity_where_channels_stay(x):
    inner = blocks.SpadeBlock(4, 3, False, PLAIN)
    outer = blocks.SpadeBlock(4, 3, True, PLAIN)
    variables = inner.init(KEY, x, x, train=False)
    due = x + inner.apply(variables, x, x, train=False)
    np.testing.assert_allclose(outer.apply(variables, x, x, train=False), due, atol=1e-6)


def test_a_spade_block_that_narrows_has_a_learned_shortcut_only_with_a_residual(x):
    names = []
    for residual in (False, True):
        net = blocks.SpadeBlock(2, 3, residual, SPECTRAL)
        variables = net.init(KEY, x, x, train=False)
        assert net.apply(variables, x, x, train=False).shape == (2, 6, 8, 2)
        names.append(set(variables["params"]))
    assert names[1] - names[0] == {"norm_s", "conv_s"}


def test_an_adain_block_lets_nothing_past_the_style(x):
    net = blocks.AdainBlock(SPECTRAL)
    style = jnp.ones((2, 3))
    variables = net.init(KEY, x, style, train=False)
    for norm in ("norm_0", "norm_1"):
        bias = variables["params"][norm]["gamma_beta"]["bias"]
        kernel = variables["params"][norm]["gamma_beta"]["kernel"]
        variables["params"][norm]["gamma_beta"]["kernel"] = jnp.zeros_like(kernel)
        variables["params"][norm]["gamma_beta"]["bias"] = bias.at[:4].set(-1)  # gamma = 0
    np.testing.assert_allclose(net.apply(variables, x, style, train=False), 0, atol=1e-6)


def test_corner_weights_keep_the_ends_and_are_linear_between():
    weights = blocks.corner_weights(64, 128)
    np.testing.assert_allclose(weights[1, :2], [1 - 63 / 127, 63 / 127], rtol=1e-6)
    x = np.random.default_rng(0).normal(size=64)
    due = np.interp(np.arange(128) * 63 / 127, np.arange(64), x)
    np.testing.assert_allclose(weights @ x, due, atol=1e-6)
    np.testing.assert_array_equal(blocks.corner_weights(5, 5), np.eye(5))


def test_a_vector_stands_after_the_channels_of_every_step():
    x, vector = jnp.zeros((2, 3, 4)), jnp.array([[1.0, 2.0], [3.0, 4.0]])
    y = blocks.append_vector(x, vector)
    assert y.shape == (2, 3, 6)
    for step in range(3):
        np.testing.assert_array_equal(y[:, step, 4:], vector)
    np.testing.assert_array_equal(y[..., :4], 0)


@pytest.mark.parametrize("norm_first", [True, False])
def test_conv_norm_is_its_parts_in_their_order(x, norm_first):
    net = blocks.ConvNorm(3, (3, 4), (1, 2), ((1, 1), (0, 2)), nn.tanh, norm_first)
    variables = net.init(KEY, x, train=False)
    params = variables["params"]
    y, _ = net.apply(variables, x, train=True, mutable=["batch_stats"])
    conv = nn.Conv(3, (3, 4), (1, 2), ((1, 1), (0, 2)))
    norm = nn.BatchNorm(use_running_average=False)

    def normed(x):
        variables = {"params": params["norm"], "batch_stats": {}}
        return norm.apply(variables, x, mutable=["batch_stats"])[0]

    due = conv.apply({"params": params["conv"]}, x)
    due = nn.tanh(normed(due)) if norm_first else normed(nn.tanh(due))
    assert y.shape == (2, 6, 4, 3)
    np.testing.assert_allclose(y, due, atol=1e-4)
