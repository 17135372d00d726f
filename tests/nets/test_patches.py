import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import blocks, norms, patches

KEY = jax.random.key(0, impl="unsafe_rbg")  # compiles fast
CONV = functools.partial(blocks.SpectralConv, dtype=jnp.float32)
FULL = patches.PatchDiscriminator(64, 2, CONV, jnp.float32)
TINY = patches.PatchDiscriminator(3, 2, CONV, jnp.float32)


def shapes(net, image, vector=None):
    """The net's variables and outputs at these sizes, with no computation."""
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in (image, vector) if shape]
    return jax.eval_shape(functools.partial(net.init_with_output, train=False), KEY, *inputs)


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def test_the_image_discriminator_has_the_published_size():
    scores, variables = shapes(FULL, (1, 256, 256, 6))
    assert count(variables) == 5_537_410
    sides = [[f.shape[1] for f in scale] for scale in scores.features]
    assert sides == [[129, 65, 33, 34], [65, 33, 17, 18]]
    assert [s.shape for s in scores.scores] == [(1, 35, 35, 1), (1, 19, 19, 1)]


def test_the_mouth_discriminator_has_the_published_size():
    scores, variables = shapes(FULL, (1, 64, 64, 3), (1, 300))
    assert count(variables) == 6_145_666
    sides = [[f.shape[1] for f in scale] for scale in scores.features]
    assert sides == [[33, 17, 9, 10], [17, 9, 5, 6]]
    assert [s.shape for s in scores.scores] == [(1, 11, 11, 1), (1, 7, 7, 1)]


@pytest.mark.slow
def test_a_vector_scores_as_if_it_were_tiled_before_the_image():
    image = jax.random.normal(jax.random.key(1), (2, 20, 15, 3))
    vector = jax.random.normal(jax.random.key(2), (2, 5))
    variables = TINY.init(KEY, image, vector, train=False)
    tiled = jnp.broadcast_to(vector[:, None, None, :], (2, 20, 15, 5))
    whole = TINY.apply(variables, jnp.concatenate([tiled, image], -1), train=False)
    found = TINY.apply(variables, image, vector, train=False)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, whole)


def test_without_a_vector_the_first_layer_is_an_ordinary_convolution():
    image = jax.random.normal(jax.random.key(1), (2, 9, 7, 3))
    net = patches.ConditionedConv(4, jnp.float32)
    variables = net.init(KEY, image, jnp.zeros((2, 0)))
    conv = nn.Conv(4, (4, 4), 2, ((2, 2), (2, 2)))
    np.testing.assert_allclose(
        net.apply(variables, image, jnp.zeros((2, 0))), conv.apply(variables, image), atol=1e-6
    )


def test_halving_leaves_the_padding_out_of_the_means():
    x = np.random.default_rng(0).normal(size=(1, 6, 9, 2)).astype(np.float32)
    due = np.empty((1, 3, 5, 2), np.float32)
    for i in range(3):
        for j in range(5):
            rows, columns = slice(max(2 * i - 1, 0), 2 * i + 2), slice(max(2 * j - 1, 0), 2 * j + 2)
            due[:, i, j] = x[:, rows, columns].mean((1, 2))
    np.testing.assert_allclose(patches.halve(jnp.asarray(x)), due, atol=1e-6)


def test_a_constant_stays_one_when_halved():
    np.testing.assert_allclose(patches.halve(jnp.ones((1, 7, 8, 1))), 1, atol=1e-6)


def test_scales_have_weights_of_their_own():
    image = jax.random.normal(jax.random.key(1), (1, 16, 16, 3))
    params = TINY.init(KEY, image, train=False)["params"]
    a, b = (params[f"scale_{i}"]["conv_0"]["kernel"] for i in range(2))
    assert bool(jnp.any(a != b))


def test_the_sequence_discriminator_has_the_published_size():
    scores, variables = shapes(patches.SequenceDiscriminator(), (2, 128, 71))
    assert count(variables) == 1_555_329
    sizes = [f.shape[1:] for f in scores.features[0]]
    assert sizes == [(128, 36, 64), (64, 18, 128), (32, 9, 256), (32, 9, 512)]
    assert [s.shape for s in scores.scores] == [(2, 32, 9, 1)]


def test_a_sequence_is_scored_beside_its_motion():
    """A constant added moves the half of the map that sees the sequence, not that of the motion."""
    net = patches.SequenceDiscriminator(2)
    x = jax.random.normal(jax.random.key(1), (1, 64, 6))
    variables = jax.jit(functools.partial(net.init, train=False))(KEY, x)
    run = jax.jit(functools.partial(net.apply, variables, train=False))
    first, moved = (run(pose).features[0][0] for pose in (x, x + 1))
    assert first.shape == (1, 64, 3, 2)
    assert bool(jnp.all(jnp.any(first[:, :32] != moved[:, :32], axis=(2, 3))))
    np.testing.assert_allclose(first[:, 33:], moved[:, 33:], atol=1e-5)


def test_a_net_takes_its_norm_its_bias_and_its_kernel_from_its_maker():
    norm = functools.partial(norms.InstanceNorm, affine=False)
    net = functools.partial(patches.PatchNet, norm=norm, bias=True, kernel=3)
    conv = functools.partial(blocks.PlainConv, dtype=jnp.float32)
    scores, variables = shapes(
        patches.PatchDiscriminator(3, 1, conv, jnp.float32, net), (1, 16, 12, 2)
    )
    params = variables["params"]["scale_0"]
    assert sorted(params) == ["conv_0", "conv_1", "conv_2", "conv_3", "score"]
    assert params["conv_1"]["kernel"].shape == (3, 3, 3, 6)
    assert all("bias" in layer for layer in params.values())
    assert [s.shape for s in scores.scores] == [(1, 2, 2, 1)]
