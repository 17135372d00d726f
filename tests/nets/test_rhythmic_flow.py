import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import blocks, norms
from facejax.nets.rhythmic_flow import FlowNet, Warper, warp
from tests.nets.contracts import KEY, quick, sizes

CONV = functools.partial(blocks.SpectralConv, dtype=jnp.float32)


def test_the_flow_net_has_the_published_size():
    net = FlowNet(32, 3, 6, 20.0, CONV, norms.BatchNorm)
    full = (1, 256, 256)
    shapes, layers, count = sizes(net, (*full, 1), (*full, 1), (*full, 3), train=False)
    assert shapes == ((*full, 2), (*full, 1))
    assert layers["down_3"] == (1, 32, 32, 256)
    assert round(count / 1e6, 2) == 7.86


@functools.cache
def small():
    net = FlowNet(2, 2, 1, 5.0, CONV, norms.InstanceNorm)
    keys = jax.random.split(jax.random.key(1), 3)
    target, sketch = (jax.random.uniform(k, (2, 8, 12, 1)) for k in keys[:2])
    image = jax.random.normal(keys[2], (2, 8, 12, 3))
    warper = Warper(net)
    variables = quick(functools.partial(warper.init, train=False))(KEY, target, sketch, image)
    return net, variables, (target, sketch, image)


def test_a_flow_of_zero_leaves_the_image_as_it_is():
    net, variables, inputs = small()
    head = variables["params"]["net"]["flow"]
    still = jax.tree.map(jnp.zeros_like, head)
    params = {**variables["params"]["net"], "flow": still}
    variables = {**variables, "params": {"net": params}}
    found = Warper(net).apply(variables, *inputs, train=False)
    np.testing.assert_allclose(found.image, inputs[2], atol=1e-6)
    assert float(found.weight.min()) > 0
    assert float(found.weight.max()) < 1


def test_without_warping_the_image_stays_beside_the_same_attention():
    net, variables, inputs = small()
    one, other = (Warper(net, warps).apply(variables, *inputs, train=False) for warps in (1, 0))
    np.testing.assert_array_equal(other.image, inputs[2])
    np.testing.assert_array_equal(one.weight, other.weight)


@pytest.mark.parametrize("align_corners", [True, False])
def test_warps_are_torchs_with_its_grid_between_the_corners(align_corners):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, 6, 9, 3)).astype(np.float32)
    flow = (2 * rng.normal(size=(2, 6, 9, 2))).astype(np.float32)
    x, y = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 6))
    grid = np.stack([x, y], -1)[None] + flow * 2 / np.array([9 - 1, 6 - 1])
    due = torch.nn.functional.grid_sample(
        torch.tensor(image).permute(0, 3, 1, 2),
        torch.tensor(grid.astype(np.float32)),
        padding_mode="border",
        align_corners=align_corners,
    )
    found = warp(jnp.asarray(image), jnp.asarray(flow), align_corners=align_corners)
    np.testing.assert_allclose(found, due.permute(0, 2, 3, 1), atol=1e-4)
