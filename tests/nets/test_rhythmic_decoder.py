import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import blocks, norms
from facejax.nets.rhythmic import matte
from facejax.nets.rhythmic_blocks import doubling
from facejax.nets.rhythmic_decoder import COMPOSITIONS, SKETCH, Level, cascaded, summed
from facejax.nets.rhythmic_flow import Warped
from facejax.nets.rhythmic_fusion import LevelWeights, Pointwise
from tests.nets.contracts import KEY, quick

PLAIN = functools.partial(blocks.PlainConv, dtype=jnp.float32, kernel_init=blocks.uniform)
RNG = np.random.default_rng(0)


def random(*shape):
    return jnp.asarray(RNG.normal(size=shape).astype(np.float32))


def pairs(count, shape=(2, 3, 4, 5)):
    return [(random(*shape), random(*shape)) for _ in range(count)]


def test_one_spade_is_the_same_in_every_composition():
    x, one = random(2, 3, 4, 5), pairs(1)
    due = blocks.leaky_relu(x * (1 + one[0][0]) + one[0][1])
    for composition in COMPOSITIONS.values():
        found = composition.main(x, one, blocks.leaky_relu)
        np.testing.assert_allclose(found, due, rtol=1e-6, atol=1e-6)


def test_parallel_spades_do_not_mind_their_order_and_a_cascade_does():
    x, three = random(2, 3, 4, 5), pairs(3)
    turned = three[1:] + three[:1]
    np.testing.assert_allclose(
        summed(x, three, blocks.leaky_relu), summed(x, turned, blocks.leaky_relu), rtol=1e-5,
        atol=1e-5,
    )  # fmt: skip
    gap = cascaded(x, three, blocks.leaky_relu) - cascaded(x, turned, blocks.leaky_relu)
    assert float(jnp.abs(gap).max()) > 0.1


def test_compositions_of_three_are_as_wide_as_their_convolutions_expect():
    x, three = random(2, 3, 4, 5), pairs(3)
    width = {
        name: c.main(x, three, blocks.leaky_relu).shape[-1] for name, c in COMPOSITIONS.items()
    }
    assert width == {"sum": 5, "mean": 5, "concat": 15, "cascade": 5}


def pointwise(inside, outside):
    return Pointwise(random(2, inside, outside), random(2, outside))


@functools.cache
def level():
    net = Level(4, COMPOSITIONS["sum"], PLAIN, norms.InstanceNorm, jnp.float32)
    weights = LevelWeights(pointwise(4, 12), pointwise(4, 8), pointwise(4, 12), pointwise(6, 4))
    maps = {SKETCH: random(2, 5, 7, 4), "matched": random(2, 5, 7, 3)}
    x = random(2, 5, 7, 6)
    variables = quick(functools.partial(net.init, train=False))(KEY, x, maps, weights)
    return net, variables, x, maps, weights


def spade(x, maps, place, params, weights):
    """The sum of batchwise SPADEs, one image and one channel's statistics at a time."""
    made = []
    for b in range(len(x)):
        normed = np.stack([(c - c.mean()) / np.sqrt(c.var() + 1e-5) for c in x[b].T], -1)
        normed = np.swapaxes(normed, 0, 1)
        given = jax.tree.map(np.asarray, getattr(weights, place))
        own = np.asarray(maps[SKETCH][b]) @ given.kernel[b] + given.bias[b]
        layer = params[f"matched_{place}"]
        learned = np.asarray(maps["matched"][b]) @ layer["kernel"][0, 0] + layer["bias"]
        total = []
        for both in (own, learned):
            gamma, beta = np.split(np.asarray(both), 2, axis=-1)
            total.append(normed * (1 + gamma) + beta)
        made.append(total)
    return np.moveaxis(np.asarray(made), 1, 0)


def test_a_level_is_parallel_spades_with_predicted_and_learned_weights_twice():
    torch = pytest.importorskip("torch")
    net, variables, x, maps, weights = level()
    params = jax.tree.map(np.asarray, variables["params"])

    def conv(y, name, padding):
        layer = params[name]
        kernel = torch.tensor(np.transpose(layer["kernel"], (3, 2, 0, 1)))
        bias = torch.tensor(layer["bias"]) if "bias" in layer else None
        y = torch.tensor(np.moveaxis(y, -1, 1)).float()
        return np.moveaxis(
            torch.nn.functional.conv2d(y, kernel, bias, padding=padding).numpy(), 1, -1
        )

    leaky = lambda y: np.where(y > 0, y, 0.2 * y)
    y = conv(leaky(spade(np.asarray(x), maps, "first", params, weights)).sum(0), "conv_first", 1)
    y = conv(leaky(spade(y, maps, "second", params, weights)).sum(0), "conv_second", 1)
    short = spade(np.asarray(x), maps, "shortcut", params, weights).sum(0)
    due = y + conv(short, "conv_shortcut", 0)
    found = quick(functools.partial(net.apply, train=False))(variables, x, maps, weights)
    np.testing.assert_allclose(found, due, rtol=1e-3, atol=2e-4)


def test_a_doubling_is_torchs_transposed_convolution():
    torch = pytest.importorskip("torch")
    layer, x = doubling(4, jnp.float32, "up"), random(2, 3, 5, 6)
    variables = layer.init(KEY, x)
    kernel = np.asarray(variables["params"]["kernel"])
    flipped = torch.tensor(np.transpose(kernel[::-1, ::-1], (2, 3, 0, 1)).copy())
    due = torch.nn.functional.conv_transpose2d(
        torch.tensor(np.moveaxis(np.asarray(x), -1, 1).copy()), flipped, None, 2, 1, 1
    )
    np.testing.assert_allclose(
        layer.apply(variables, x), np.moveaxis(due.numpy(), 1, -1), atol=1e-5
    )


def test_matting_with_a_weight_of_one_is_the_drawn_image_and_of_zero_the_matched_reference():
    drawn, image, face = (random(1, 2, 3, 3) for _ in range(3))

    def warped(image, weight):
        return Warped(image, jnp.zeros((1, 2, 3, 2)), jnp.full((1, 2, 3, 1), weight))

    np.testing.assert_array_equal(matte(drawn, warped(image, 1.0), warped(face, 1.0))[0], drawn)
    np.testing.assert_array_equal(matte(drawn, warped(image, 0.0), warped(face, 1.0))[0], image)
    whole, blend = matte(drawn, warped(image, 1.0), warped(face, 0.0))
    np.testing.assert_array_equal(whole, face)
    np.testing.assert_array_equal(blend, face)
