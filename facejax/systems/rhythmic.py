"""Rhythmic Head Motion's generator: K references, landmarks and a projected face -> frames.

Chen et al., ECCV 2020, arXiv:2007.08547. Presets: `paper`; `released`, the published model that its
authors evaluated; `released_new`, their later recipe.

A batch holds the references of R clips and B targets, B / R of each clip in turn. In float32,
landmarks being the 68 of iBUG in px: references [R, K, H, W, 3] in [-1, 1], reference_landmarks
[R, K, 68, 2], reference_motion {expression [R, K, E], pose [R, K, 6]}; key_frame {image
[R, H, W, 3], identity [R, I], expression [R, E], pose [R, 6], head [R, 6]}, the most frontal frame;
target [B, H, W, 3], its landmarks [B, 68, 2], target_motion {expression [B, E], pose [B, 6]}, head
motion head [B, 6] (`geometry.rigid_motion`), and matched [B], the number of the reference that is
warped. `frozen` holds "morphable", a MorphableModel that the caller adds, and "vgg" if its file is
given.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from facejax import losses
from facejax.errors import InputError
from facejax.nets import blocks, patches, rhythmic
from facejax.system import PyTree, System
from facejax.systems import frozen_nets
from facejax.systems.rhythmic_config import (
    ABLATIONS,
    PRESETS,
    Config,
    paper,
    released,
    released_new,
)
from facejax.systems.rhythmic_inputs import cropped_to, draw_inputs, flow_targets
from facejax.systems.rhythmic_nets import Nets, build

__all__ = ["ABLATIONS", "PRESETS", "Config", "make", "paper", "released", "released_new"]

WARM_UP = 15  # power iterations before the first step: a random vector's estimate is meaningless
COLLECTIONS = (blocks.STATS, "batch_stats")  # what moves beside the parameters


def make(config: Config) -> System:
    """Returns the system; reads the VGG file that the config names.

    `System.frozen` lacks "morphable" (a MorphableModel): the caller adds that of its data.

    Raises:
      InputError: the file is missing or is not what it should be.
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
    """Returns (params, stats), each {"gen": tree, "dis": tree}. Only the batch's shapes matter.

    Raises:
      InputError: the batch's sizes do not fit the config.
    """
    count = batch["references"].shape[1]
    if count != config.shots:
        raise InputError(
            f"data.references is {count} and model.shots is {config.shots}; set both alike"
        )
    one = jax.tree.map(lambda x: jnp.zeros((1, *x.shape[1:]), x.dtype), batch)
    shapes = jax.eval_shape(functools.partial(draw_inputs, config, frozen), one)
    inputs = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    key_gen, key_dis = jax.random.split(key)
    gen, gen_stats = _init_net(nets.generator, key_gen, (inputs,), config.raw_loss)
    params, stats = {"gen": gen, "dis": {}}, {"gen": gen_stats, "dis": {}}
    if nets.discriminator is not None:
        seen = _view(inputs, inputs.matched)
        params["dis"], stats["dis"] = _init_net(nets.discriminator, key_dis, (seen,), None)
    return params, stats


@functools.partial(jax.jit, static_argnums=(0, 3))  # compiled, all but the spectral part is dead
def _init_net(net, key: jax.Array, inputs: tuple, raw: bool | None):
    """Returns a net's parameters, and its statistics after the warm-up."""
    options = {} if raw is None else {"raw": raw}
    # threefry, the usual generator, is a loop to compile for each parameter: a minute on a CPU.
    quick = jax.random.wrap_key_data(jax.random.bits(key, (4,), jnp.uint32), impl="unsafe_rbg")
    variables = net.init(quick, *inputs, train=False, **options)
    params = variables["params"]
    moving = {name: variables[name] for name in COLLECTIONS if name in variables}

    def iterate(_, stats):
        after = _apply(net, params, stats, inputs, **options)[1]
        return stats | {name: after[name] for name in (blocks.STATS,) if name in after}

    return params, jax.lax.fori_loop(0, WARM_UP, iterate, moving)


def _apply(net, params: PyTree, stats: PyTree, inputs: tuple, **options):
    """Runs a net as in training; returns its output and its new statistics."""
    variables = {"params": params} | stats
    return net.apply(variables, *inputs, train=True, mutable=list(stats), **options)


def _evaluate(net, params: PyTree, stats: PyTree, inputs: tuple) -> Any:
    """Runs a net and leaves its statistics as they are."""
    return net.apply({"params": params} | stats, *inputs, train=False)


def _view(inputs: rhythmic.Inputs, image: jax.Array) -> jax.Array:
    """Returns what the discriminator sees, [B, H, W, 8]: matched reference, landmarks, image."""
    parts = [inputs.matched_sketch, inputs.matched, inputs.sketch, image]
    return jnp.concatenate(parts, axis=-1)


def _judged(output: rhythmic.Output) -> list[jax.Array]:
    """Returns the images that adversarial and perceptual terms are summed over."""
    return [image for image in (output.image, output.raw, output.blend) if image is not None]


def _discriminator_loss(config: Config, nets: Nets, dis, gen, stats, frozen, batch, key):
    """Hinge loss of D_1, D_2 (eq. 8), summed over the generator's outputs; 0 without them.

    The generator's new statistics are dropped, as in HeadGAN's.
    """
    del key
    if nets.discriminator is None:
        return jnp.zeros(()), (stats, {})
    inputs = draw_inputs(config, frozen, batch)
    output, _ = _apply(nets.generator, gen, stats["gen"], (inputs,), raw=config.raw_loss)
    fakes = [jax.lax.stop_gradient(image) for image in _judged(output)]
    seen = jnp.concatenate([_view(inputs, image) for image in (batch["target"], *fakes)])
    result, new = _apply(nets.discriminator, dis, stats["dis"], (seen,))
    scores = [jnp.split(score, 1 + len(fakes)) for score in result.scores]
    real = [parts[0] for parts in scores]
    terms = [
        losses.hinge_discriminator(real, [parts[1 + k] for parts in scores])
        for k in range(len(fakes))
    ]
    loss = jnp.sum(jnp.stack(terms))
    return loss, ({"gen": stats["gen"], "dis": new}, {"hinge": loss})


def _generator_loss(config: Config, nets: Nets, gen, dis, stats, frozen, batch, key):
    """Eq. 8, and L1 where it is asked for.

    The discriminators' spectral vectors stay: they move when the discriminators do.
    """
    del key
    inputs = draw_inputs(config, frozen, batch)
    output, gen_stats = _apply(nets.generator, gen, stats["gen"], (inputs,), raw=config.raw_loss)
    table = {"l1": (config.lambda_l1, losses.l1(output.image, batch["target"]))}
    table |= _extra_l1_terms(config, output, batch["target"])
    table |= _warp_terms(config, frozen, inputs, output, batch)
    table |= _perceptual_terms(config, nets, frozen, output, batch["target"])
    table |= _adversarial_terms(config, nets, dis, stats["dis"], inputs, output, batch["target"])
    weights = {name: weight for name, (weight, _) in table.items() if weight}
    terms = {name: table[name][1] for name in weights}
    return losses.weighted_sum(terms, weights), ({"gen": gen_stats, "dis": stats["dis"]}, terms)


# Each of the following returns name -> (weight, term).


def _extra_l1_terms(config: Config, output: rhythmic.Output, target: jax.Array):
    named = {"l1_raw": output.raw, "l1_blend": output.blend}
    if not config.raw_loss:
        del named["l1_raw"]
    return {
        name: (config.lambda_l1, losses.l1(image, target))
        for name, image in named.items()
        if image is not None
    }


def _warp_terms(config: Config, frozen, inputs, output: rhythmic.Output, batch):
    """L_W: L1 of the warped images, and of the flows where they have a target."""
    if not config.lambda_warp:
        return {}
    target, table = batch["target"], {}
    pairs = {
        "matched": (output.matched, target),
        "projection": (output.projection, cropped_to(target, inputs.projection)),
    }
    seen = any(found is not None for found, _ in pairs.values())
    due = flow_targets(config, frozen, batch) if config.flow_target == "mesh" and seen else {}
    for name, (found, image) in pairs.items():
        if config.use_warp and found is not None:
            table[f"warp_{name}"] = (config.lambda_warp, losses.l1(found.image, image))
            if name in due:
                flow, weight = due[name]
                distance = losses.l1(found.flow * weight, flow * weight)
                table[f"flow_{name}"] = (config.lambda_warp, distance)
    return table


def _perceptual_terms(config: Config, nets: Nets, frozen, output: rhythmic.Output, target):
    if "vgg" not in nets.frozen:
        return {}
    features = functools.partial(nets.frozen["vgg"].apply, frozen["vgg"])
    due = features(target)
    terms = [losses.perceptual(features(image), due) for image in _judged(output)]
    return {"vgg": (config.lambda_vgg, jnp.sum(jnp.stack(terms)))}


def _adversarial_terms(config: Config, nets: Nets, dis, stats, inputs, output, target):
    """Summed over the outputs; the discriminator is the mean over its scales."""
    if nets.discriminator is None:
        return {}
    score = lambda image: _evaluate(nets.discriminator, dis, stats, (_view(inputs, image),))
    fool = losses.hinge_generator if config.hinge == "plain" else losses.hinge_saturating
    real: patches.Scores = score(target)
    adversarial, matching = [], []
    for image in _judged(output):
        fake = score(image)
        adversarial.append(fool(fake.scores))
        matching.append(losses.feature_matching(real.features, fake.features))
    return {
        "adversarial": (config.lambda_adversarial, jnp.sum(jnp.stack(adversarial))),
        "matching": (config.lambda_matching, jnp.sum(jnp.stack(matching))),
    }


def _generate(config: Config, nets: Nets, gen, stats, frozen, inputs) -> dict[str, jax.Array]:
    """Makes frames.

    Args:
      config: the system's.
      nets: the system's.
      gen: the generator's parameters.
      stats: as in training; not changed.
      frozen: with "morphable", where the inputs have a key frame.
      inputs: references [R, K, H, W, 3] and reference_landmarks [R, K, 68, 2], R divides B; matched
        [B]; landmarks [B, 68, 2] px due; and either projection [B, H, W, 3], black beside the face,
        with projection_landmarks [B, 68, 2]; or key_frame (R rows) and head [B, 6] of a batch, from
        which they are drawn.

    Returns:
      image, matched and projection as given, warped, warped_projection [B, H, W, 3] in [-1, 1];
      sketch [B, H, W, 1] in [0, 1]; flow, flow_projection [B, H, W, 2] px; weight,
      weight_projection [B, H, W, 1]; attention [B, K, H / 4, W / 4]. Without what the config leaves
      out.
    """
    seen = draw_inputs(config, frozen, inputs, in_use=True)
    output = _evaluate(nets.generator, gen, stats["gen"], (seen,))
    made = {"image": output.image, "sketch": seen.sketch, "attention": output.attention}
    if output.matched is not None:
        warped = output.matched
        made |= {"matched": seen.matched, "warped": warped.image}
        made |= {"flow": warped.flow, "weight": warped.weight}
    if output.projection is not None:
        warped = output.projection
        made |= {"projection": seen.projection, "warped_projection": warped.image}
        made |= {"flow_projection": warped.flow, "weight_projection": warped.weight}
    return made
