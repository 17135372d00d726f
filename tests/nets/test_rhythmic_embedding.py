import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import blocks, norms
from facejax.nets.rhythmic_embedding import HybridEmbedding, Merge, attention
from tests.nets.contracts import quick, sizes

KEY = jax.random.key(0, impl="unsafe_rbg")
CONV = functools.partial(blocks.SpectralConv, dtype=jnp.float32)


def embedding(**options):
    return HybridEmbedding((2, 3, 4, 5), CONV, norms.InstanceNorm, **options)


def inputs(rows=2, count=3, references=None, side=16):
    keys = jax.random.split(jax.random.key(1), 3)
    shape = (references or rows, count, side, side)
    images = jax.random.normal(keys[0], (*shape, 3))
    sketches = jax.random.uniform(keys[1], (*shape, 1))
    return images, sketches, jax.random.uniform(keys[2], (rows, side, side, 1))


@functools.cache
def made(count=3, **options):
    net = embedding(**options)
    variables = quick(functools.partial(net.init, train=False))(KEY, *inputs(count=count))
    return net, variables, quick(functools.partial(net.apply, train=False))


def test_attention_is_the_softmax_over_references_of_dot_products():
    rng = np.random.default_rng(0)
    key, query = rng.normal(size=(2, 3, 4, 5, 6)), rng.normal(size=(2, 4, 5, 6))
    found = attention(jnp.asarray(key), jnp.asarray(query))
    for b in range(2):
        for y in range(4):
            for x in range(5):
                energy = np.array([key[b, k, y, x] @ query[b, y, x] for k in range(3)])
                due = np.exp(energy) / np.exp(energy).sum()
                np.testing.assert_allclose(found[b, :, y, x], due, rtol=1e-5)


def test_plain_attention_does_not_mind_the_order_of_references():
    _, variables, run = made(exchange=False)
    images, sketches, target = inputs()
    order = jnp.array([2, 0, 1])
    one = run(variables, images, sketches, target)
    other = run(variables, images[:, order], sketches[:, order], target)
    np.testing.assert_allclose(one.image, other.image, atol=1e-5)
    np.testing.assert_allclose(one.landmarks, other.landmarks, atol=1e-5)
    np.testing.assert_allclose(one.attention[:, order], other.attention, atol=1e-6)


def test_plain_attention_serves_any_number_and_a_repeated_reference_counts_as_one():
    _, variables, run = made(exchange=False)
    images, sketches, target = inputs(count=1)
    one = run(variables, images, sketches, target)
    five = run(variables, jnp.repeat(images, 5, 1), jnp.repeat(sketches, 5, 1), target)
    np.testing.assert_allclose(one.image, five.image, atol=1e-5)
    np.testing.assert_allclose(five.attention, 0.2, atol=1e-6)


def test_gates_tell_references_apart_by_their_place():
    _, variables, run = made()
    images, sketches, target = inputs()
    order = jnp.array([2, 0, 1])
    one = run(variables, images, sketches, target)
    other = run(variables, images[:, order], sketches[:, order], target)
    assert float(jnp.max(jnp.abs(one.image - other.image))) > 1e-4


def test_one_set_of_references_serves_a_batch():
    _, variables, run = made()
    images, sketches, target = inputs(references=1)
    one = run(variables, images, sketches, target)
    copies = [jnp.repeat(x, 2, 0) for x in (images, sketches)]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        one,
        run(variables, *copies, target),
    )
    assert one.image.shape == (2, 2, 2, 5)


def test_targets_of_a_clip_are_embedded_as_if_each_had_its_references():
    _, variables, run = made()
    images, sketches, target = inputs(references=2)
    target = jnp.concatenate([target, target[::-1]])
    copies = [jnp.repeat(x, 2, 0) for x in (images, sketches)]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        run(variables, images, sketches, target),
        run(variables, *copies, target),
    )


def test_the_mean_over_references_ignores_the_target():
    net = embedding(attend=False, exchange=False)
    images, sketches, target = inputs()
    variables = quick(functools.partial(net.init, train=False))(KEY, images, sketches, target)
    run = quick(functools.partial(net.apply, train=False))
    one, other = (run(variables, images, sketches, x) for x in (target, 1 - target))
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_allclose(one.attention, 1 / 3, atol=1e-6)


@pytest.mark.parametrize(("count", "due"), [(8, 3_427_328), (32, 10_505_216)])
def test_information_exchange_has_the_published_size(count, due):
    merge = Merge(CONV, norms.BatchNorm, gate_layers=1)
    features = (1, count, 64, 64, 128)
    shapes, _, found = sizes(merge, features, features, (1, count, 64, 64), train=False)
    assert shapes == ((1, 64, 64, 128), (1, 64, 64, 128))
    assert found == due


def test_references_of_another_size_than_the_target_are_refused():
    net, variables, _ = made()
    images, sketches, target = inputs()
    with pytest.raises(ValueError, match="target"):
        net.apply(variables, images, sketches, target[:, :8], train=False)
