import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import unet1d
from tests.nets.contracts import KEY, function, sizes, variables

WIDTHS = (3, 4, 5)


def narrow(name):
    widths = (4, 4, 4) if name == "gesture" else WIDTHS
    unet = unet1d.UNETS[name]
    bound = {**(unet.keywords if isinstance(unet, functools.partial) else {}), "widths": widths}
    return unet1d.UNet1d(6, **bound)


@pytest.mark.parametrize(
    ("name", "count"), [("posegan", 8_396_288), ("tface", 8_394_496), ("gesture", 2_626_560)]
)
def test_the_full_nets_have_their_sizes(name, count):
    output, layers, found = sizes(unet1d.UNETS[name](features=256), (2, 256, 256), train=False)
    assert (output, found) == ((2, 256, 256), count)
    assert [layers[f"down_{i}"][1] for i in range(5)] == [128, 64, 32, 16, 8]
    assert [layers[f"up_{i}"][1] for i in reversed(range(5))] == [16, 32, 64, 128, 256]


def by_loop(x, params, stats, name):
    """The U-net of three levels in float64, level inside level."""
    post = name != "tface"
    params, stats = jax.tree.map(lambda x: np.asarray(x, np.float64), (params, stats))
    same, relu = (lambda x: x), (lambda x: np.maximum(x, 0))

    def convolve(layer, x, doubles):
        kernel = params[layer]["conv"]["kernel"]
        length = len(x) * 2 if doubles else len(x) // 2
        y = np.zeros((length, kernel.shape[-1]))
        for i in range(length):
            for tap in range(4):
                # A doubling has each input at the odd places of a line of zeros, from 1 on.
                place = (i + tap - 1) / 2 if doubles else 2 * i + tap - 1
                place = place - 0.5 if doubles else place
                if place == int(place) and 0 <= place < len(x):
                    y[i] += x[int(place)] @ kernel[tap]
        y += params[layer]["conv"].get("bias", 0)
        if "norm" in params[layer]:
            mean, variance = (stats[layer]["norm"][part] for part in ("mean", "var"))
            y = (y - mean) / np.sqrt(variance + 1e-5)
            y = y * params[layer]["norm"]["scale"] + params[layer]["norm"]["bias"]
        return y

    def level(x, i):
        before = same if post or i == 0 else (lambda x: np.where(x > 0, x, 0.2 * x))
        after = relu if post else same
        inside = after(convolve(f"down_{i}", before(x), False))
        if i < 2:
            deeper = level(inside, i + 1)
            inside = inside + deeper if name == "gesture" else np.concatenate([inside, deeper], 1)
        y = convolve(f"up_{i}", inside if post else relu(inside), True)
        if post:
            return relu(y)
        return y if i else np.tanh(y)

    return level(np.asarray(x, np.float64), 0)


@pytest.mark.parametrize("name", sorted(unet1d.UNETS))
def test_every_variant_agrees_with_a_slow_loop(name):
    net = narrow(name)
    x = jax.random.normal(jax.random.key(2), (2, 16, 7))
    made = variables(net, x, train=False)
    y = function(net, train=False)(made, x)
    for i in range(2):
        due = by_loop(x[i], made["params"], made["batch_stats"], name)
        np.testing.assert_allclose(y[i], due, atol=1e-5)


def test_the_seeds_net_ends_in_relu_and_the_published_one_in_tanh():
    x = 50 * jax.random.normal(jax.random.key(2), (1, 8, 7))
    post, pre = (
        function(net, train=False)(variables(net, x, train=False), x)
        for net in (narrow("posegan"), narrow("tface"))
    )
    assert float(jnp.min(post)) == 0
    assert float(jnp.min(pre)) < -0.5
    assert float(jnp.max(jnp.abs(pre))) <= 1


def test_a_length_that_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match="x has 12 steps; due: a multiple of 8"):
        narrow("posegan").init(KEY, jnp.zeros((1, 12, 2)), train=False)
