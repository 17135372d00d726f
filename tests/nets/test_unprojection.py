"""The unprojection net."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import unprojection

WIDTH = 2


def shapes(width, size):
    image = jnp.zeros((1, size, size, 3))
    net = unprojection.Unprojection(width)
    return jax.eval_shape(lambda key: net.init(key, image, train=False), jax.random.key(0))


def count(tree):
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


def published_count():
    """Kernels, and two numbers a channel of every batch norm, layer by layer from the table."""
    total, wide = 4 * 4 * 3 * 16 + 2 * 16, 16
    for features in (32, 64, 128, 256, 512):
        for stride in (2, 1):
            half = features // 2
            total += wide * half + 2 * half  # 1 x 1
            total += 16 * half * half + 2 * half  # 4 x 4
            total += half * features  # 1 x 1, bare
            total += wide * features if stride == 2 else 0  # shortcut
            total += 2 * features  # of the sum
            wide = features
    for features in (512, 256, 256, 256, 128, 128, 128, 64, 64, 64, 32, 32, 16, 16, 3, 3, 3):
        total += 16 * wide * features + 2 * features
        wide = features
    return total


def test_at_its_published_size_every_number_is_there():
    found = shapes(16, 256)
    assert count(found["params"]) == published_count()
    norms = [path for path, _ in jax.tree_util.tree_leaves_with_path(found["batch_stats"])]
    assert len(norms) == 2 * (1 + 10 * 3 + 17)


def test_the_map_has_the_size_of_the_image():
    net, image = unprojection.Unprojection(WIDTH), jnp.zeros((2, 64, 32, 3))
    apply = lambda variables: net.apply(variables, image, train=False)
    made = jax.eval_shape(apply, shapes(WIDTH, 32))
    assert made.shape == image.shape and made.dtype == jnp.float32


def checkpoint(width, seed=0):
    """Variables under the published names: numbered as TensorFlow numbers repeated scopes."""
    rng = np.random.default_rng(seed)
    state = {}

    def norm(scope, features):
        for part in ("gamma", "beta", "moving_mean", "moving_variance"):
            state[f"{scope}/BatchNorm/{part}"] = rng.uniform(0.5, 1.5, features)

    def layer(scope, side, wide, features, transposed=False):
        shape = (side, side, features, wide) if transposed else (side, side, wide, features)
        state[f"{scope}/weights"] = rng.normal(size=shape)
        norm(scope, features)

    layer("resfcn256/Conv", 4, 3, width)
    wide = width
    for number in range(10):
        features = width * 2 ** (number // 2 + 1)
        scope = "resfcn256/resBlock" + (f"_{number}" if number else "")
        if number % 2 == 0:
            state[f"{scope}/shortcut/weights"] = rng.normal(size=(1, 1, wide, features))
        layer(f"{scope}/Conv", 1, wide, features // 2)
        layer(f"{scope}/Conv_1", 4, features // 2, features // 2)
        state[f"{scope}/Conv_2/weights"] = rng.normal(size=(1, 1, features // 2, features))
        norm(scope, features)
        wide = features
    widths = [32, 16, 16, 16, 8, 8, 8, 4, 4, 4, 2, 2, 1, 1]
    for number, features in enumerate([width * gain for gain in widths] + [3] * 3):
        scope = "resfcn256/Conv2d_transpose" + (f"_{number}" if number else "")
        layer(scope, 4, wide, features, transposed=True)
        wide = features
    return {name: value.astype(np.float32) for name, value in state.items()}


def test_the_published_variables_fill_the_whole_net():
    extra = {"resfcn256/Conv/weights/Adam": np.zeros(1), "beta1_power": np.zeros(())}
    params, stats = unprojection.from_tensorflow(checkpoint(WIDTH) | extra)
    due = shapes(WIDTH, 32)
    for found, tree in ((params, due["params"]), (stats, due["batch_stats"])):
        assert jax.tree.map(np.shape, found) == jax.tree.map(lambda leaf: leaf.shape, tree)


@pytest.mark.parametrize("stride", [1, 2])
def test_transposed_layers_are_tensorflows(stride):
    """A transposed convolution is the gradient of the convolution with the same padding."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(4, 4, 5, 6)).astype(np.float32)  # theirs: [k, k, out, in]
    x = jnp.asarray(rng.normal(size=(1, 3, 4, 6)), jnp.float32)

    def forward(y):
        dims = ("NHWC", "HWIO", "NHWC")
        window = (stride, stride)
        return jax.lax.conv_general_dilated(y, kernel, window, "SAME", dimension_numbers=dims)

    y = jnp.zeros((1, 3 * stride, 4 * stride, 5))
    (due,) = jax.vjp(forward, y)[1](x)
    reader = unprojection._Reader({"resfcn256/up/weights": kernel})
    reader.kernel("up", "conv", transposed=True)
    layer = unprojection.Layer(5, 4, stride, True, lambda z: z)
    ones, zeros = np.ones(5, np.float32), np.zeros(5, np.float32)
    variables = {
        "params": reader.params | {"norm": {"scale": ones, "bias": zeros}},
        "batch_stats": {"norm": {"mean": zeros, "var": ones - unprojection.EPS}},
    }
    np.testing.assert_allclose(layer.apply(variables, x, train=False), due, atol=2e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.pop("resfcn256/resBlock_3/Conv_2/weights"),
            "no variable resfcn256/res",
        ),
        (lambda state: state.update({"resfcn256/more": np.zeros(2)}), "too many, such as 'more'"),
    ],
)
def test_a_checkpoint_of_another_net_is_refused(change, message):
    state = checkpoint(WIDTH)
    change(state)
    with pytest.raises(ValueError, match=message):
        unprojection.from_tensorflow(state)
