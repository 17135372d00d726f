"""FACIAL-GAN: speech and an initial state -> head pose, blinks and expression.

Zhang et al., ICCV 2021, arXiv:2108.07938. Two presets: `paper` follows paper and supplement;
`released` follows the published code where that differs.

A batch holds, in float32: speech [B, T, 16, C], windows whose row 8 is the frame's own; attributes
[B, T, D], pose 6 (normalised with the speaker's statistics), blink 1 and expression D - 7; state
[B, D], the attributes of the first frame. T is a multiple of 4, or of 32 with the U-net.

`stats` holds batch norm's running statistics, which follow the weights in training. `generate`
takes them as they are, with the averaged weights: both are of one net only where nothing is
averaged (optim.ema = 0, as published); an average must not reach far beyond batch norm's 10 steps.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from facejax import losses
from facejax.errors import InputError
from facejax.nets import facial, patches, unet1d
from facejax.system import PyTree, System
from facejax.systems.facial_config import PRESETS, Config, paper, released
from facejax.systems.normed_nets import STATS, apply_net, init_net

__all__ = ["PRESETS", "Config", "make", "paper", "released"]

POSE, BLINK, EXPRESSION = slice(0, 6), slice(6, 7), slice(7, None)
UNET_FACTOR = 2**5  # its levels halve the length


def make(config: Config) -> System:
    """Returns the system. Its data freezes "speakers", which the losses do not need."""
    return System(
        init=functools.partial(_init, config),
        discriminator_loss=functools.partial(_discriminator_loss, config),
        generator_loss=functools.partial(_generator_loss, config),
        generate=functools.partial(_generate, config),
        frozen={},
    )


def generator(config: Config, attributes: int) -> facial.Generator:
    """Returns the generator that a config chooses, for D attributes."""
    dtype = jnp.bfloat16 if config.bfloat16 else jnp.float32
    encoder = facial.AudioEncoder(
        config.encoder_widths,  # type: ignore[arg-type]  # four, as the config has checked
        time_pads=facial.RELEASED_PADS if config.long_padding else facial.PAPER_PADS,
        norm_first=config.norm_first,
        dtype=dtype,
    )
    temporal = facial.TemporalNet(
        encoder,
        config.width,
        config.features,
        unet=unet1d.UNETS["tface"] if config.unet else None,
        norm_first=config.norm_first,
        final_norm=config.final_norm,
        dtype=dtype,
    )
    local = facial.LocalNet(
        config.local_widths, config.features, config.local_norm, config.step_norm, dtype
    )
    return facial.Generator(temporal, local, attributes)


def discriminator(config: Config) -> patches.SequenceDiscriminator:
    """Returns the discriminator, which sees attributes and their motion and no speech."""
    dtype = jnp.bfloat16 if config.bfloat16 else jnp.float32
    return patches.SequenceDiscriminator(config.dis_width, dtype)


def _init(config: Config, key: jax.Array, frozen: PyTree, batch: PyTree):
    """Returns (params, stats), each {"gen": tree, "dis": tree}. Only the batch's shapes matter.

    The generator begins at the speakers' mean face, whatever it hears: expressions are not centred,
    and to find where they lie would take it hundreds of steps.
    """
    frames = batch["attributes"].shape[1]
    if config.unet and frames % UNET_FACTOR:
        raise InputError(
            f"data.frames is {frames}; with the U-net due: a multiple of {UNET_FACTOR}"
        )
    speech, attributes, state = (
        jnp.zeros((1, *batch[name].shape[1:])) for name in ("speech", "attributes", "state")
    )
    key_gen, key_dis = jax.random.split(key)
    gen = init_net(generator(config, state.shape[-1]), key_gen, (speech, state))
    if "speakers" in frozen:
        table = frozen["speakers"]
        rest = jnp.zeros(6), jnp.mean(table["blink_mean"])[None]
        mean = jnp.concatenate([*rest, jnp.mean(table["expression_mean"], axis=0)])
        kernel = gen[0]["fusion"]["kernel"]
        gen[0]["fusion"] = {"kernel": jnp.zeros_like(kernel), "bias": mean}
    dis: tuple[PyTree, PyTree] = ({}, {})
    if config.lambda_adversarial:
        dis = init_net(discriminator(config), key_dis, (attributes,))
    return {"gen": gen[0], "dis": dis[0]}, {"gen": gen[1], "dis": dis[1]}


def _heard(config: Config, batch: PyTree, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What the generator is given in training: speech and state, with what the config spoils."""
    speech, state = batch["speech"], batch["state"]
    key_speech, key_state = jax.random.split(key)
    if config.speech_noise:
        speech = speech + config.speech_noise * jax.random.normal(key_speech, speech.shape)
    if config.state_dropout:
        kept = jax.random.bernoulli(key_state, 1 - config.state_dropout, (state.shape[0], 1))
        state = state * jnp.broadcast_to(kept, state.shape)
    return speech, state


def _discriminator_loss(config: Config, dis, gen, stats, frozen, batch, key):
    """Least-squares loss, real + generated; 0 and no terms without a discriminator.

    The generator's new statistics are dropped: they move when the generator does.
    """
    del frozen
    if not config.lambda_adversarial:
        return jnp.zeros(()), (stats, {})
    real = batch["attributes"]
    inputs = _heard(config, batch, key)
    made, _ = apply_net(generator(config, real.shape[-1]), gen, stats["gen"], *inputs)
    net, terms = discriminator(config), {}
    # In two calls: the statistics of batch norm are those of the real, then of the generated.
    scores, after = apply_net(net, dis, stats["dis"], real)
    terms["real"] = losses.least_squares(scores.scores, 1.0)
    scores, after = apply_net(net, dis, after, jax.lax.stop_gradient(made))
    terms["generated"] = losses.least_squares(scores.scores, 0.0)
    loss = losses.weighted_sum(terms, {"real": 1.0, "generated": 1.0})
    return loss, ({"gen": stats["gen"], "dis": after}, terms)


def _generator_loss(config: Config, gen, dis, stats, frozen, batch, key):
    """The weighted sum of the terms; the discriminator's statistics stay."""
    del frozen
    target = batch["attributes"]
    inputs = _heard(config, batch, key)
    net = generator(config, target.shape[-1])
    made, gen_stats = apply_net(net, gen, stats["gen"], *inputs)
    table = _attribute_terms(config, made, target)
    if config.lambda_adversarial:
        scores, _ = apply_net(discriminator(config), dis, stats["dis"], made)
        due = losses.least_squares(scores.scores, 1.0)
        table["adversarial"] = (config.lambda_adversarial, due)
    weights = {name: weight for name, (weight, _) in table.items() if weight}
    terms = {name: table[name][1] for name in weights}
    return losses.weighted_sum(terms, weights), ({"gen": gen_stats, "dis": stats["dis"]}, terms)


def _attribute_terms(config: Config, made: jax.Array, target: jax.Array) -> dict[str, tuple]:
    """Returns name -> (weight, term)."""
    table: dict[str, tuple] = {}
    parts = {"expression": EXPRESSION, "pose": POSE, "blink": BLINK}
    for name, part in parts.items():
        pair = made[..., part], target[..., part], config.reduction
        table[name] = (getattr(config, f"lambda_{name}"), losses.square(*pair))
        weight = getattr(config, f"lambda_{name}_motion")
        table[f"{name}_motion"] = (weight, losses.motion_square(*pair))
    if config.state_blink_twice:
        parts["expression"] = slice(BLINK.start, None)
    first = [
        losses.first_frame(made[..., part], target[..., part], config.reduction)
        for part in parts.values()
    ]
    table["state"] = (config.lambda_state, sum(first))
    return table


def _generate(config: Config, gen, stats, frozen, inputs) -> dict[str, jax.Array]:
    """Makes attributes.

    Args:
      config: the system's.
      gen: the generator's parameters.
      stats: as in training; not changed.
      frozen: not used.
      inputs: speech [B, T, 16, C]; state [B, D], attributes of the first frame, 0 where speech
        begins.

    Returns:
      attributes [B, T, D], the pose still normalised.
    """
    del frozen
    net = generator(config, inputs["state"].shape[-1])
    variables = {"params": gen, STATS: stats["gen"]}
    made: Any = net.apply(variables, inputs["speech"], inputs["state"], train=False)
    return {"attributes": made}
