"""The published layout, spelt out tensor by tensor, and where each goes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import blocks, headgan_torch, patches
from tests.nets.test_headgan import generator

AUDIO = 7


class State(dict):
    """A state dict that is filled with random tensors by kind of layer."""

    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)

    def put(self, name, *shape):
        self[name] = self.rng.normal(size=shape).astype(np.float32)

    def conv(self, name, size_out, size_in, kernel=3):
        self.put(f"{name}.weight", size_out, size_in, kernel, kernel)
        self.put(f"{name}.bias", size_out)

    def spectral(self, name, size_out, size_in, kernel=3, *, bias=True):
        self.put(f"{name}.weight_orig", size_out, size_in, kernel, kernel)
        self.put(f"{name}.weight_u", size_out)
        self.put(f"{name}.weight_v", size_in * kernel**2)
        if bias:
            self.put(f"{name}.bias", size_out)

    def norm(self, name, size):
        self.put(f"{name}.weight", size)
        self.put(f"{name}.bias", size)


def generator_state(width, hidden):
    state, widths = State(), [width, 4 * width, 16 * width]
    for encoder, channels in (("flow_network.enc", 6), ("rendering_network.cond_enc", 9)):
        for i, size in enumerate(widths):
            place = f"{encoder}.{i}.{0 if i else 1}"
            state.spectral(f"{place}.0", size, channels, 3 if i else 7, bias=False)
            state.norm(f"{place}.1", size)
            channels = size
    spades = {f"flow_network.dec_res.{i}": (widths[2], 9) for i in range(2)}
    spades |= {f"flow_network.dec_main.{i}": (widths[2 - i], 9) for i in range(2)}
    spades |= {f"rendering_network.cond_dec.{i}": (widths[2 - i],) * 2 for i in range(3)}
    spades["rendering_network.cond_dec.3"] = (width, 3)
    for block, (size, label) in spades.items():
        for i in range(2):
            state.spectral(f"{block}.conv_{i}", size, size)
            state.conv(f"{block}.norm_{i}.mlp_shared.0", hidden, label)
            state.conv(f"{block}.norm_{i}.mlp_gamma", size, hidden)
            state.conv(f"{block}.norm_{i}.mlp_beta", size, hidden)
    for i, size in enumerate(reversed(widths)):
        for j in (1, 2):
            block = f"rendering_network.cond_dec_audio.{i}"
            state.spectral(f"{block}.conv{j}", size, size)
            state.put(f"{block}.norm{j}.fc.weight", 2 * size, AUDIO)
            state.put(f"{block}.norm{j}.fc.bias", 2 * size)
    state.conv("flow_network.dec_flow.1", 2, width, 7)
    state.conv("flow_network.dec_mask.1", 1, width, 7)
    state.conv("rendering_network.conv_img.1", 3, width, 7)
    return state


def discriminator_state(width, channels):
    state = State()
    for scale in range(2):
        name = f"discriminator_{scale}.model"
        state.conv(f"{name}0.0", width, channels, 4)
        for i in range(1, 4):
            state.spectral(f"{name}{i}.0.0", width * 2**i, width * 2 ** (i - 1), 4, bias=False)
            state.norm(f"{name}{i}.0.1", width * 2**i)
        state.conv(f"{name}4.0", 1, 8 * width, 4)
    return state


def shapes(net, *inputs):
    init = functools.partial(net.init, train=False)
    due = jax.eval_shape(init, jax.random.key(0), *inputs)
    return jax.tree.map(jnp.shape, due["params"]), jax.tree.map(jnp.shape, due["stats"])


def test_the_published_generator_fills_the_released_net():
    state = generator_state(2, 3)
    assert len(state) == 232
    params, stats = headgan_torch.generator(state)
    inputs = jnp.zeros((1, 16, 16, 6)), jnp.zeros((1, 16, 16, 9)), jnp.zeros((1, AUDIO))
    due = shapes(generator(2, 3, mask=True, residual=True), *inputs)
    assert (jax.tree.map(jnp.shape, params), jax.tree.map(jnp.shape, stats)) == due


def test_the_published_discriminator_fills_ours():
    state = discriminator_state(2, AUDIO + 3)
    assert len(state) == 38
    params, stats = headgan_torch.discriminator(state)
    conv = functools.partial(blocks.SpectralConv, dtype=jnp.float32)
    net = patches.PatchDiscriminator(2, 2, conv, jnp.float32)
    due = shapes(net, jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, AUDIO)))
    assert (jax.tree.map(jnp.shape, params), jax.tree.map(jnp.shape, stats)) == due


def test_gamma_and_beta_stand_side_by_side_in_that_order():
    state = generator_state(2, 3)
    block = headgan_torch.generator(state)[0]["renderer"]["spade_0"]["norm_1"]["gamma_beta"]
    for part, name in enumerate(("gamma", "beta")):
        kernel = state[f"rendering_network.cond_dec.2.norm_1.mlp_{name}.weight"]
        half = block["kernel"][..., 2 * part : 2 * part + 2]
        np.testing.assert_array_equal(half, kernel.transpose(2, 3, 1, 0))


def test_coarse_blocks_come_first_in_the_file():
    state = generator_state(2, 3)
    params, stats = headgan_torch.generator(state)
    np.testing.assert_array_equal(
        params["flow_net"]["decode_1"]["conv_0"]["bias"],
        state["flow_network.dec_main.0.conv_0.bias"],
    )
    np.testing.assert_array_equal(
        stats["renderer"]["adain_2"]["conv_1"]["u"],
        state["rendering_network.cond_dec_audio.0.conv2.weight_u"],
    )
    np.testing.assert_array_equal(
        params["renderer"]["adain_2"]["norm_1"]["gamma_beta"]["kernel"],
        state["rendering_network.cond_dec_audio.0.norm2.fc.weight"].T,
    )


def test_a_missing_and_a_foreign_tensor_are_named():
    state = generator_state(2, 3)
    with pytest.raises(ValueError, match=r"1 tensors too many, such as 'extra'"):
        headgan_torch.generator({**state, "extra": np.zeros(1)})
    del state["flow_network.dec_mask.1.weight"]
    with pytest.raises(ValueError, match=r"no tensor 'flow_network\.dec_mask\.1\.weight'"):
        headgan_torch.generator(state)
