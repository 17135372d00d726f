import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import vgg


def torch_state(stages, seed=0):
    """A state dict with torchvision's names and layout, of these widths."""
    rng, state, channels = np.random.default_rng(seed), {}, 3
    widths = [width for stage in stages for width in stage]
    for index, width in zip(vgg.TORCH_INDICES, widths, strict=True):
        state[f"features.{index}.weight"] = rng.normal(size=(width, channels, 3, 3)) / 5
        state[f"features.{index}.bias"] = rng.normal(size=width)
        channels = width
    return {name: value.astype(np.float32) for name, value in state.items()}


@pytest.fixture
def tiny(monkeypatch):
    stages = ((2, 3), (4, 2), (3, 3, 2, 4), (2, 3, 4, 2), (3,))
    monkeypatch.setattr(vgg, "STAGES", stages)
    return torch_state(stages)


def test_the_published_net_has_its_size_and_its_layers_theirs():
    shapes = jax.eval_shape(
        lambda x: vgg.Vgg19().init_with_output(jax.random.key(0), x), jnp.zeros((1, 64, 96, 3))
    )
    features, variables = shapes
    assert [f.shape for f in features] == [
        (1, 64, 96, 64), (1, 32, 48, 128), (1, 16, 24, 256), (1, 8, 12, 512), (1, 4, 6, 512)
    ]  # fmt: skip
    # torchvision's features up to 28: 16 convolutions less the last three of stage 5.
    count = sum(leaf.size for leaf in jax.tree.leaves(variables))
    assert count == 20_024_384 - 3 * (9 * 512 * 512 + 512)


def test_converted_weights_fit_the_net(tiny):
    image = jnp.zeros((1, 16, 32, 3))
    params = vgg.from_torch(tiny)
    due = jax.eval_shape(lambda: vgg.Vgg19().init(jax.random.key(0), image))["params"]
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, due)


def test_the_first_layer_is_the_convolution_in_torchs_layout(tiny):
    image = np.random.default_rng(1).normal(size=(1, 16, 16, 3)).astype(np.float32)
    first, *_ = vgg.Vgg19().apply({"params": vgg.from_torch(tiny)}, jnp.asarray(image))
    kernel, bias = tiny["features.0.weight"], tiny["features.0.bias"]
    row, column = 5, 9  # a cross-correlation, not flipped; away from the border
    patch = image[0, row - 1 : row + 2, column - 1 : column + 2]
    due = np.maximum(np.einsum("ijc,ocij->o", patch, kernel) + bias, 0)
    np.testing.assert_allclose(first[0, row, column], due, rtol=1e-4, atol=1e-5)


def test_a_missing_tensor_is_named(tiny):
    del tiny["features.19.bias"]
    with pytest.raises(ValueError, match=r"features\.19\.bias"):
        vgg.from_torch(tiny)


def test_a_tensor_of_another_shape_is_named(tiny):
    tiny["features.5.weight"] = tiny["features.5.weight"][:-1]
    with pytest.raises(ValueError, match=r"features\.5\.weight.*due"):
        vgg.from_torch(tiny)
