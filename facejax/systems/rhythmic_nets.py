"""The nets of Rhythmic Head Motion's generator, as one Config chooses them."""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax.nets import blocks, norms, patches, rhythmic
from facejax.nets.rhythmic_blocks import SketchPyramid, pyramid
from facejax.nets.rhythmic_decoder import (
    COMPOSITIONS,
    Decoder,
    LandmarkEmbedder,
    repeated_pointwise,
    transposed_pointwise,
)
from facejax.nets.rhythmic_embedding import HybridEmbedding
from facejax.nets.rhythmic_flow import FlowNet, Warper
from facejax.nets.rhythmic_fusion import Fusion
from facejax.systems import frozen_nets
from facejax.systems.rhythmic_config import Config


class Nets(NamedTuple):
    """The modules and functions that the losses call."""

    generator: rhythmic.Generator
    discriminator: patches.PatchDiscriminator | None
    frozen: dict[str, frozen_nets.FrozenNet]  # "vgg", or none


def build(config: Config) -> Nets:
    """Returns the nets, without weights."""
    dtype = jnp.bfloat16 if config.bfloat16 else jnp.float32
    frozen = {}
    if config.lambda_vgg and config.vgg:
        frozen["vgg"] = frozen_nets.vgg19(config.vgg, dtype)
    return Nets(_generator(config, dtype), _discriminator(config, dtype), frozen)


def _generator(config: Config, dtype) -> rhythmic.Generator:
    widths = pyramid(config.width, config.downs, config.most_width)
    kind: type[nn.Module] = blocks.SpectralConv if config.spectral else blocks.PlainConv
    conv = functools.partial(kind, dtype=dtype, kernel_init=blocks.uniform)
    norm = norms.BatchNorm if config.norm == "batch" else norms.InstanceNorm
    climb = transposed_pointwise if config.sketch_holes else repeated_pointwise
    linear = config.compose == "linear"
    composition = COMPOSITIONS["sum" if linear else config.compose]
    embedder = functools.partial(SketchPyramid, widths[: config.compose_levels], dtype)

    def warper(used: bool) -> Warper | None:
        sizes = config.flow_width, config.flow_downs, config.flow_residuals, config.flow_gain
        net = FlowNet(*sizes, conv, norm)
        return Warper(net, config.use_warp, config.align_corners) if used else None

    return rhythmic.Generator(
        embedding=HybridEmbedding(
            widths,
            conv,
            norm,
            attend=config.attention != "mean",
            exchange=config.attention == "hybrid",
            gate_layers=config.gate_layers,
            shared=config.shared_activation,
        ),
        fusion=Fusion(
            widths,
            config.adaptive_levels,
            conv,
            norm,
            blocks.leaky_relu if config.mlp_activation else _linear,
        ),
        landmark_embedder=LandmarkEmbedder(widths, dtype, climb),
        decoder=Decoder(
            widths, config.compose_levels, composition, config.transposed, conv, norm, dtype
        ),
        matched=warper(config.use_matched),
        projection=warper(config.use_projection),
        matched_embedder=embedder() if config.use_matched and not linear else None,
        projection_embedder=embedder() if config.use_projection and not linear else None,
    )


def _linear(x: jax.Array) -> jax.Array:
    return x


def _discriminator(config: Config, dtype) -> patches.PatchDiscriminator | None:
    if not config.lambda_adversarial:
        return None
    conv = functools.partial(blocks.SpectralConv, dtype=dtype)
    norm: type[nn.Module] | functools.partial = functools.partial(norms.InstanceNorm, affine=False)
    net = functools.partial(patches.PatchNet, norm=norm, layers=config.dis_layers)
    return patches.PatchDiscriminator(config.dis_width, config.dis_scales, conv, dtype, net)
