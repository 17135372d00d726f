"""FACIAL's rendering to video: a person's drawn, lit 3-D faces and eye attention maps -> frames.

Zhang et al., ICCV 2021, arXiv:2108.07938; nets and losses are pix2pixHD's (Wang et al. 2018,
arXiv:1711.11585). Two presets: `paper`; and `released`, which follows the published code where that
differs. Departs from that code in one thing that no result depends on: the discriminator moves
before the generator, not after it.

A batch holds, in float32: target [B, H, W, 3] in [-1, 1]; motion, a dictionary of identity [B, I],
expression [B, W, E], pose [B, W, 6] and blink [B, W] of the W = 10 frames around it (its own is the
seventh); speaker [B]. `frozen` holds what the caller adds, "morphable", a MorphableModel, and
"appearance", how the speakers look (`data.windows.appearances`), and VGG's weights where given.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax import losses
from facejax.errors import InputError
from facejax.nets import facial_video, patches
from facejax.system import PyTree, System
from facejax.systems import frozen_nets
from facejax.systems.facial_video_config import PRESETS, Config, paper, released
from facejax.systems.facial_video_inputs import Inputs, of_stretch, of_windows

__all__ = ["PRESETS", "Config", "make", "paper", "released"]

# `losses.feature_matching` weighs the sum over n layers by 4 / (n + 1); pix2pixHD does not count
# the first of the n.
MATCHING = (patches.LAYERS + 1) / patches.LAYERS


class Nets(NamedTuple):
    """The modules that the losses call."""

    generator: Any  # flax modules
    discriminator: Any | None
    vgg: Callable | None  # (weights, image) -> features


def make(config: Config) -> System:
    """Returns the system; reads the VGG file that the config names.

    `System.frozen` lacks "morphable" and "appearance": the caller adds those of its data.

    Raises:
      InputError: the file is missing or is not what it should be.
    """
    dtype = jnp.bfloat16 if config.bfloat16 else jnp.float32
    generator = facial_video.VideoGenerator(
        config.width, config.halvings, config.trunk_residuals, config.residuals, dtype
    )
    adversarial = config.lambda_adversarial > 0
    discriminator = facial_video.discriminator(config.dis_width, config.dis_scales, dtype)
    frozen, vgg = {}, None
    if config.lambda_vgg and config.vgg:
        net = frozen_nets.vgg19(config.vgg, dtype)
        frozen["vgg"], vgg = net.load(), net.apply
    elif config.lambda_vgg:
        frozen_nets.warn_without_vgg()
    nets = Nets(generator, discriminator if adversarial else None, vgg)
    return System(
        init=functools.partial(_init, config, nets),
        discriminator_loss=functools.partial(_discriminator_loss, config, nets),
        generator_loss=functools.partial(_generator_loss, config, nets),
        generate=functools.partial(_generate, config, nets),
        frozen=frozen,
    )


def _init(config: Config, nets: Nets, key: jax.Array, frozen: PyTree, batch: PyTree):
    """Returns (params, stats), each {"gen": tree, "dis": tree}. Only the batch's shapes matter."""
    del frozen
    _check_size(config, batch["target"])
    _, height, width, _ = batch["target"].shape
    channels = config.channels * batch["motion"]["pose"].shape[1]
    condition = jnp.zeros((1, height, width, channels))
    key_gen, key_dis = jax.random.split(key)
    params = {"gen": _init_net(nets.generator, key_gen, condition), "dis": {}}
    if nets.discriminator is not None:
        scored = jnp.zeros((1, height, width, channels + 3))
        train = functools.partial(_init_net, train=True)
        params["dis"] = train(nets.discriminator, key_dis, scored)
    return params, {"gen": {}, "dis": {}}


@functools.partial(jax.jit, static_argnums=0, static_argnames="train")
def _init_net(net: nn.Module, key: jax.Array, x: jax.Array, **options: Any) -> PyTree:
    # threefry, the usual generator, is a loop to compile for each parameter: a minute on a CPU.
    quick = jax.random.wrap_key_data(jax.random.bits(key, (4,), jnp.uint32), impl="unsafe_rbg")
    return net.init(quick, x, **options)["params"]


def _check_size(config: Config, target: jax.Array) -> None:
    height, width = target.shape[1:3]
    step = 2 ** (config.halvings + 1)
    least = max(2 * step, 8)
    if height % step or width % step or min(height, width) < least:
        raise InputError(
            f"images are {width}x{height} px; due: multiples of {step} px, {least} or more, for "
            f"model.halvings = {config.halvings}; change data.size or model.halvings"
        )


def _scores(discriminator: Any, dis: PyTree, inputs: Inputs, image: jax.Array) -> patches.Scores:
    """Scores an image behind its condition."""
    x = jnp.concatenate([inputs.condition, image], axis=-1)
    return discriminator.apply({"params": dis}, x, train=True)


def _discriminator_loss(config: Config, nets: Nets, dis, gen, stats, frozen, batch, key):
    """Half of what real images lack of 1 and generated ones have above 0."""
    del key
    if nets.discriminator is None:
        return jnp.zeros(()), (stats, {})
    inputs = of_windows(config, frozen, batch)
    image = jax.lax.stop_gradient(nets.generator.apply({"params": gen}, inputs.condition))
    score = functools.partial(_scores, nets.discriminator, dis, inputs)
    real = losses.least_squares(score(batch["target"]).scores, 1.0)
    fake = losses.least_squares(score(image).scores, 0.0)
    terms = {"real": real, "fake": fake}
    return losses.weighted_sum(terms, {"real": 0.5, "fake": 0.5}), (stats, terms)


def _generator_loss(config: Config, nets: Nets, gen, dis, stats, frozen, batch, key):
    """LSGAN + 2 feature matching + 10 VGG + 50 L1, with the paper's weights."""
    del key
    inputs, target = of_windows(config, frozen, batch), batch["target"]
    image = nets.generator.apply({"params": gen}, inputs.condition)
    table = {"l1": (config.lambda_l1, losses.l1(image, target))}
    if nets.vgg is not None:
        features = functools.partial(nets.vgg, frozen["vgg"])
        table["vgg"] = (config.lambda_vgg, losses.perceptual(features(image), features(target)))
    if nets.discriminator is not None:
        score = functools.partial(_scores, nets.discriminator, dis, inputs)
        fake, real = score(image), score(target)
        matching = MATCHING * losses.feature_matching(real.features, fake.features)
        table["adversarial"] = (config.lambda_adversarial, losses.least_squares(fake.scores, 1.0))
        table["matching"] = (config.lambda_matching, matching)
    weights = {name: weight for name, (weight, _) in table.items() if weight}
    terms = {name: table[name][1] for name in weights}
    return losses.weighted_sum(terms, weights), (stats, terms)


def _generate(config: Config, nets: Nets, gen, stats, frozen, inputs) -> dict[str, jax.Array]:
    """Makes frames.

    Args:
      config: the system's.
      nets: the system's.
      gen: the generator's parameters.
      stats: as in training.
      frozen: with "morphable" and "appearance", whose reference has the size of the frames.
      inputs: motion and speaker of a batch, a window for each frame; or those of one stretch of N
        consecutive frames, identity [I], expression [N, E], pose [N, 6], blink [N] and speaker [],
        of which each is drawn once: B = N - 9, the first six and the last three are not made.

    Returns:
      image and render [B, H, W, 3] in [-1, 1], attention [B, H, W, 1].
    """
    del stats
    stretch = inputs["motion"]["pose"].ndim == 2
    seen = (of_stretch if stretch else of_windows)(config, frozen, inputs)
    image = nets.generator.apply({"params": gen}, seen.condition)
    return {"image": image, "render": seen.render, "attention": seen.attention}
