"""HeadGAN: one reference image, driving 3-D faces and speech -> frames.

Doukas, Zafeiriou & Sharmanska, ICCV 2021, arXiv:2012.08261. Two presets: `paper` follows its
supplement; `released` follows the published code where that differs.

A batch holds, in float32: reference and target [B, H, W, 3] in [-1, 1]; reference_motion and
driving_motion, dictionaries of identity [B, (K,) I], expression [B, (K,) E] and pose [B, (K,) 6], K
frames, the oldest first, the last that of the target; landmarks [B, 70, 2] px of the target; audio
[B, A]; and, where the mask loss is asked for and no parsing net is given, mask [B, H, W, 1].
`frozen` holds "morphable", a MorphableModel that the caller adds, and the nets read from files.
"""

import functools
import logging
from typing import Any

import jax
import jax.numpy as jnp

from facejax import losses
from facejax.nets import blocks, headgan
from facejax.system import PyTree, System
from facejax.systems import frozen_nets
from facejax.systems.headgan_config import PRESETS, Config, paper, released
from facejax.systems.headgan_inputs import Inputs, draw_inputs, image_shape, views
from facejax.systems.headgan_nets import Nets, build

__all__ = ["PRESETS", "Config", "make", "paper", "released"]

WARM_UP = 15  # power iterations before the first step: a random vector's estimate is meaningless


def make(config: Config) -> System:
    """Returns the system; reads the VGG and face-parsing files that the config names.

    `System.frozen` lacks "morphable" (a MorphableModel): the caller adds that of its data.

    Raises:
      InputError: a file is missing or is not what it should be.
    """
    nets = build(config)
    if config.lambda_vgg and not config.vgg:
        frozen_nets.warn_without_vgg()
    return System(
        init=functools.partial(_init, config, nets),
        discriminator_loss=functools.partial(_discriminator_loss, config, nets),
        generator_loss=functools.partial(_generator_loss, config, nets),
        generate=functools.partial(_generate, config, nets),
        frozen={name: net.load() for name, net in nets.frozen.items()},
    )


def _init(config: Config, nets: Nets, key: jax.Array, frozen: PyTree, batch: PyTree):
    """Returns (params, stats), each {"gen": tree, "dis": tree}. Only the batch's shapes matter."""
    del frozen
    _, height, width, _ = image_shape(config, batch)
    frames = batch["driving_motion"]["pose"].shape[1]
    zeros = jnp.zeros((1, height, width, 6 + 3 * frames))
    audio = jnp.zeros((1, batch["audio"].shape[-1])) if config.use_audio else None
    inputs = Inputs(zeros[..., :6], zeros[..., 6:], audio)
    key, key_gen = jax.random.split(key)
    gen_params, gen_stats = _init_net(nets.generator, key_gen, inputs)
    params, stats = {"gen": gen_params, "dis": {}}, {"gen": gen_stats, "dis": {}}
    seen = views(config, inputs, zeros[..., :3], jnp.zeros((1, 70, 2)))
    for name, net in nets.discriminators.items():
        key, key_dis = jax.random.split(key)
        params["dis"][name], stats["dis"][name] = _init_net(net, key_dis, seen[name])
    return params, stats


@functools.partial(jax.jit, static_argnums=0)  # compiled, all but the spectral part is dead code
def _init_net(net, key: jax.Array, inputs: tuple):
    """Returns a net's parameters, and its spectral vectors after the warm-up."""
    # threefry, the usual generator, is a loop to compile for each parameter: a minute on a CPU.
    quick = jax.random.wrap_key_data(jax.random.bits(key, (4,), jnp.uint32), impl="unsafe_rbg")
    variables = net.init(quick, *inputs, train=False)
    params = variables["params"]

    def iterate(_, stats):
        return _apply(net, params, stats, inputs)[1]

    return params, jax.lax.fori_loop(0, WARM_UP, iterate, variables.get(blocks.STATS, {}))


def _apply(net, params: PyTree, stats: PyTree, inputs: tuple):
    """Runs a net as in training; returns its output and its new stats."""
    variables = {"params": params, blocks.STATS: stats}
    output, updated = net.apply(variables, *inputs, train=True, mutable=[blocks.STATS])
    return output, updated.get(blocks.STATS, {})


def _evaluate(net, params: PyTree, stats: PyTree, inputs: tuple) -> Any:
    """Runs a net and leaves its stats as they are."""
    return net.apply({"params": params, blocks.STATS: stats}, *inputs, train=False)


def _discriminator_loss(config: Config, nets: Nets, dis, gen, stats, frozen, batch, key):
    """Hinge losses of D and D_m (supplement eq. 2, 3, 7); 0 and no terms without discriminators.

    The generator's new stats are dropped: its forward pass is then the same computation as in
    `_generator_loss`, and a compiler that sees both does it once.
    """
    del key
    if not nets.discriminators:
        return jnp.zeros(()), (stats, {})
    inputs = draw_inputs(config, nets.draw, frozen["morphable"], batch)
    output, _ = _apply(nets.generator, gen, stats["gen"], inputs)
    image = jax.lax.stop_gradient(output.image)
    both = jax.tree.map(
        lambda real, fake: jnp.concatenate([real, fake]),
        views(config, inputs, batch["target"], batch["landmarks"]),
        views(config, inputs, image, batch["landmarks"]),
    )
    terms, new_stats = {}, {}
    for name, net in nets.discriminators.items():
        result, new_stats[name] = _apply(net, dis[name], stats["dis"][name], both[name])
        real, fake = zip(*(jnp.split(score, 2) for score in result.scores), strict=True)
        terms[f"hinge_{name}"] = losses.hinge_discriminator(real, fake)
    weights = {"hinge_image": 1.0, "hinge_mouth": config.dis_mouth_weight}
    loss = losses.weighted_sum(terms, {name: weights[name] for name in terms})
    return loss, ({"gen": stats["gen"], "dis": new_stats}, terms)


def _generator_loss(config: Config, nets: Nets, gen, dis, stats, frozen, batch, key):
    """Supplement eq. 6, and the mask loss of the published code where it is asked for.

    The discriminators' spectral vectors stay: they move when the discriminators do.
    """
    del key
    inputs = draw_inputs(config, nets.draw, frozen["morphable"], batch)
    output, gen_stats = _apply(nets.generator, gen, stats["gen"], inputs)
    table = _reconstruction_terms(config, inputs, output, batch["target"])
    table |= _perceptual_terms(config, nets, frozen, output, batch["target"])
    table |= _mask_terms(config, nets, frozen, output.mask, batch)
    table |= _adversarial_terms(config, nets, dis, stats["dis"], inputs, output.image, batch)
    weights = {name: weight for name, (weight, _) in table.items() if weight}
    terms = {name: table[name][1] for name in weights}
    return losses.weighted_sum(terms, weights), ({"gen": gen_stats, "dis": stats["dis"]}, terms)


# Each of the following returns name -> (weight, term).


def _reconstruction_terms(config: Config, inputs: Inputs, output: headgan.Output, target):
    distance = losses.l1
    if config.masked_l1:
        distance = functools.partial(losses.masked_l1, mask=losses.face_region(inputs.face))
    table = {"l1": (config.lambda_l1, distance(output.image, target))}
    if config.use_flow:
        table["l1_warped"] = (config.lambda_l1, distance(output.warped, target))
    return table


def _perceptual_terms(config: Config, nets: Nets, frozen, output: headgan.Output, target):
    if "vgg" not in nets.frozen:
        return {}
    features = functools.partial(nets.frozen["vgg"].apply, frozen["vgg"])
    due = features(target)
    table = {"vgg": (config.lambda_vgg, losses.perceptual(features(output.image), due))}
    if config.use_flow:
        distance = losses.perceptual(features(output.warped), due)
        table["vgg_warped"] = (config.lambda_vgg, distance)
    return table


def _mask_terms(config: Config, nets: Nets, frozen, mask: jax.Array, batch):
    """The target is where the target or the reference shows the person."""
    if not config.lambda_mask:
        return {}
    if "parsing" in nets.frozen:
        person = functools.partial(nets.frozen["parsing"].apply, frozen["parsing"])
        due = jnp.clip(person(batch["target"]) + person(batch["reference"]), 0, 1)
    elif "mask" in batch:
        due = batch["mask"]
    else:
        logging.warning(
            "the data has no masks: the mask loss is off. To turn it on, give the face-parsing "
            "weights: --config.model.parsing=79999_iter.pth"
        )
        return {}
    return {"mask": (config.lambda_mask, losses.l1(mask, due))}


def _adversarial_terms(config: Config, nets: Nets, dis, stats, inputs: Inputs, image, batch):
    if not nets.discriminators:
        return {}
    table = {}
    fakes = views(config, inputs, image, batch["landmarks"])
    reals = views(config, inputs, batch["target"], batch["landmarks"])
    for name, net in nets.discriminators.items():
        fake = _evaluate(net, dis[name], stats[name], fakes[name])
        real = _evaluate(net, dis[name], stats[name], reals[name])
        matching = losses.feature_matching(real.features, fake.features)
        adversarial = losses.hinge_generator(fake.scores)
        table[f"adversarial_{name}"] = (config.lambda_adversarial, adversarial)
        table[f"matching_{name}"] = (config.lambda_matching, matching)
    return table


def _generate(config: Config, nets: Nets, gen, stats, frozen, inputs) -> dict[str, jax.Array]:
    """Makes frames.

    Args:
      config: the system's.
      nets: the system's.
      gen: the generator's parameters.
      stats: as in training; not changed.
      frozen: with "morphable".
      inputs: reference [R, H, W, 3] and reference_motion [R, ...], R = B or 1; driving_motion
        [B, K, ...]; audio [B, A].

    Returns:
      image, warped, face [B, H, W, 3]; reference_face [R, H, W, 3]; flow [B, H, W, 2] px; mask
      [B, H, W, 1]. Faces and mask in [0, 1], images in [-1, 1].
    """
    nets_inputs = draw_inputs(config, nets.draw, frozen["morphable"], inputs)
    output = _evaluate(nets.generator, gen, stats["gen"], nets_inputs)
    faces = {"face": nets_inputs.face, "reference_face": nets_inputs.reference_face}
    return output._asdict() | faces
