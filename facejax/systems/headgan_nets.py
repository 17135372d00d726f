"""HeadGAN's nets, as one Config chooses them."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from facejax.nets import blocks, headgan, patches
from facejax.systems import drawing, frozen_nets
from facejax.systems.headgan_config import Config


class Nets(NamedTuple):
    """The modules and functions that the losses call."""

    generator: headgan.Generator
    discriminators: dict[str, patches.PatchDiscriminator]  # "image", "mouth", or fewer
    draw: Callable  # model, motion, height, width -> [..., H, W, 3]
    frozen: dict[str, frozen_nets.FrozenNet]  # "vgg", "parsing", or fewer


def build(config: Config) -> Nets:
    """Returns the nets, without weights."""
    dtype = jnp.bfloat16 if config.bfloat16 else jnp.float32
    frozen = {}
    if config.lambda_vgg and config.vgg:
        frozen["vgg"] = frozen_nets.vgg19(config.vgg, dtype)
    if config.lambda_mask and config.parsing:
        frozen["parsing"] = frozen_nets.face_parsing(config.parsing)
    draw = {"face": drawing.face, "sketch": drawing.sketch}[config.condition]
    return Nets(_generator(config, dtype), _discriminators(config, dtype), draw, frozen)


def _generator(config: Config, dtype) -> headgan.Generator:
    base = 4 if config.use_pixel_shuffle else 2
    widths = tuple(config.width * base**level for level in range(config.levels + 1))
    conv_class = blocks.SpectralConv if config.spectral else blocks.PlainConv
    conv = functools.partial(conv_class, dtype=dtype)
    spade = functools.partial(
        blocks.SpadeBlock,
        hidden=config.hidden,
        residual=config.spade_residual,
        conv=conv,
        dtype=dtype,
        gain=config.spade_gain,
    )
    adain = functools.partial(blocks.AdainBlock, conv=conv, dtype=dtype)
    decoding = headgan.SHUFFLED if config.use_pixel_shuffle else headgan.REPEATED
    flow_net: nn.Module = (
        headgan.FlowNet(widths, decoding, spade, conv, config.mask_head, dtype)
        if config.use_flow
        else headgan.StillNet(widths, conv, dtype)
    )
    renderer = headgan.Renderer(widths, decoding, spade, adain, conv, config.from_warped, dtype)
    return headgan.Generator(flow_net, renderer)


def _discriminators(config: Config, dtype) -> dict[str, patches.PatchDiscriminator]:
    if not config.lambda_adversarial:
        return {}
    conv = functools.partial(blocks.SpectralConv, dtype=dtype)
    net = patches.PatchDiscriminator(config.dis_width, config.dis_scales, conv, dtype)
    return {"image": net, "mouth": net} if config.use_mouth_discriminator else {"image": net}
