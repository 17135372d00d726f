"""The published layout, spelt out tensor by tensor, and where each goes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import facial, facial_torch, facial_video, patches
from tests.nets.contracts import variables


class State(dict):
    """A state dict that is filled with random tensors by kind of layer."""

    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)

    def put(self, name, *shape):
        self[name] = self.rng.standard_normal(shape, dtype=np.float32)

    def layer(self, name, *shape, bias=0):
        """A layer whose bias, if any, has this size."""
        self.put(f"{name}.weight", *shape)
        if bias:
            self.put(f"{name}.bias", bias)

    def norm(self, name, size):
        self.layer(name, size, bias=size)
        self.put(f"{name}.running_mean", size)
        self.put(f"{name}.running_var", size)
        self[f"{name}.num_batches_tracked"] = np.array(7)


def generator_state():
    state = State()
    shapes = {
        "11": (32, 1, 4, 4),
        "21": (128, 32, 4, 4),
        "31": (256, 128, 4, 4),
        "41": (256, 256, 3, 1),
        "42": (256, 327, 3),
        "52": (256, 256, 3),
    }
    for name, shape in shapes.items():
        state.layer(f"conv{name}", *shape, bias=shape[0])
        state.norm(f"bn{name}", shape[0])
    state.layer("conv62", 32, 256, 3, bias=32)
    for i, shape in enumerate(((32, 29), (32, 32), (64, 32), (64, 64))):
        state.layer(f"G1.conv{i + 1}.0", *shape, 3, 1, bias=shape[0])
        state.norm(f"G1.conv{i + 1}.2", shape[0])
    state.layer("G1.fc1", 32, 64, bias=32)
    state.norm("G1.bn1", 32)
    state.layer("G1.fc2", 71, 64, bias=71)
    level = "model.model"
    state.layer(f"{level}.0", 256, 256, 4)
    state.layer(f"{level}.3", 512, 256, 4, bias=256)
    level += ".1.model"
    for above, below in ((256, 256), (256, 512), (512, 512)):
        state.layer(f"{level}.1", below, above, 4)
        state.norm(f"{level}.2", below)
        state.layer(f"{level}.5", 2 * below, above, 4)
        state.norm(f"{level}.6", above)
        level += ".3.model"
    state.layer(f"{level}.1", 512, 512, 4)
    state.layer(f"{level}.3", 512, 512, 4)
    state.norm(f"{level}.4", 512)
    return state


def discriminator_state():
    state, sizes = State(), (1, 64, 128, 256, 512, 1)
    for i, index in enumerate((0, 2, 5, 8, 11)):
        bias = sizes[i + 1] if i in (0, 4) else 0
        state.layer(f"model.{index}", sizes[i + 1], sizes[i], 3, 3, bias=bias)
        if i in (1, 2, 3):
            state.norm(f"model.{index + 1}", sizes[i + 1])
    return state


def video_generator_state(width, channels):
    state = State()
    state.layer("model.1", width, channels, 7, 7, bias=width)
    deep = 16 * width
    for i in range(4):
        size = width * 2**i
        state.layer(f"model.{4 + 3 * i}", 2 * size, size, 3, 3, bias=2 * size)
        state.layer(f"model.{29 - 3 * i}", 2 * size, size, 3, 3, bias=size)
        for j in (1, 5):
            state.layer(f"model.{16 + i}.conv_block.{j}", deep, deep, 3, 3, bias=deep)
    half = width // 2
    state.layer("model1_1.1", half, channels, 7, 7, bias=half)
    state.layer("model1_1.4", width, half, 3, 3, bias=width)
    for i in range(3):
        for j in (1, 5):
            state.layer(f"model1_2.{i}.conv_block.{j}", width, width, 3, 3, bias=width)
    state.layer("model1_2.3", width, half, 3, 3, bias=half)
    state.layer("model1_2.7", 3, half, 7, 7, bias=3)
    return state


def video_discriminator_state(width, channels):
    state = State()
    for scale in range(3):
        sizes = (channels, width, 2 * width, 4 * width, 8 * width, 1)
        for i in range(5):
            name = f"scale{scale}_layer{i}.0"
            state.layer(name, sizes[i + 1], sizes[i], 4, 4, bias=sizes[i + 1])
    return state


def assert_fills(found, net, *inputs, **options):
    due = variables(net, *inputs, **options)
    params, stats = found
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, due["params"])
    assert jax.tree.map(jnp.shape, stats) == jax.tree.map(jnp.shape, due["batch_stats"])


def test_the_published_generator_fills_the_released_net():
    state = generator_state()
    weights = [x for name, x in state.items() if name.endswith((".weight", ".bias"))]
    assert sum(x.size for x in weights) == 9_688_967
    found = facial_torch.generator(state)
    inputs = jnp.zeros((1, 32, 16, 29)), jnp.zeros((1, 71))
    assert_fills(found, facial.released(), *inputs, train=False)


def test_the_published_discriminator_fills_ours():
    found = facial_torch.discriminator(discriminator_state())
    assert_fills(found, patches.SequenceDiscriminator(), jnp.zeros((1, 8, 71)), train=False)


def test_the_published_video_nets_fill_ours():
    params = facial_torch.video_generator(video_generator_state(4, 30))
    image = jnp.zeros((1, 64, 64, 33))
    assert_fills((params, {}), facial_video.VideoGenerator(4), image[..., :30])
    params = facial_torch.video_discriminator(video_discriminator_state(4, 33))
    assert_fills((params, {}), facial_video.discriminator(4), image, train=False)


def test_kernels_turn_as_they_must():
    state = generator_state()
    params, stats = facial_torch.generator(state)
    temporal = params["temporal"]
    np.testing.assert_array_equal(
        temporal["encoder"]["encode_1"]["conv"]["kernel"][3, 0, 5, 7],
        state["conv21.weight"][7, 5, 3, 0],
    )
    np.testing.assert_array_equal(
        temporal["decode_2"]["kernel"][2, 5, 7], state["conv62.weight"][7, 5, 2]
    )
    np.testing.assert_array_equal(  # torch runs a transposed kernel backwards
        temporal["unet"]["up_1"]["conv"]["kernel"][0, 5, 7],
        state["model.model.1.model.5.weight"][5, 7, 3],
    )
    np.testing.assert_array_equal(
        params["local"]["conv_2"]["conv"]["kernel"][0, 5, 7], state["G1.conv3.0.weight"][7, 5, 0, 0]
    )
    np.testing.assert_array_equal(params["fusion"]["kernel"][5, 7], state["G1.fc2.weight"][7, 5])
    deepest = "model.model.1.model.3.model.3.model.3.model.4.running_var"
    np.testing.assert_array_equal(stats["temporal"]["unet"]["up_4"]["norm"]["var"], state[deepest])


def test_the_finest_scale_is_the_last_of_the_file():
    state = video_discriminator_state(2, 5)
    params = facial_torch.video_discriminator(state)
    np.testing.assert_array_equal(params["scale_0"]["score"]["bias"], state["scale2_layer4.0.bias"])


def test_names_of_a_net_saved_on_several_devices_are_the_same():
    state = video_generator_state(2, 5)
    wrapped = {f"module.{name}": value for name, value in state.items()}
    jax.tree.map(
        np.testing.assert_array_equal,
        facial_torch.video_generator(wrapped),
        facial_torch.video_generator(state),
    )


def test_a_missing_and_a_foreign_tensor_are_named():
    state = discriminator_state()
    with pytest.raises(ValueError, match=r"1 tensors too many, such as 'extra'"):
        facial_torch.discriminator({**state, "extra": np.zeros(1)})
    del state["model.6.running_mean"]
    with pytest.raises(ValueError, match=r"no tensor 'model\.6\.running_mean'"):
        facial_torch.discriminator(state)
