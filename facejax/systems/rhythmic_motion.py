"""Phi of Rhythmic Head Motion: a short reference and speech -> the motion of the head.

Chen et al., ECCV 2020, sections 3.3 and A.1. A batch holds, in float32: known_motion [B, t, 6] and
known_chunks [B, t + 6, n], the head motion of a reference and the raw sound that goes with it;
motion [B, T, 6] and chunks [B, T + 6, n], those that follow. Motions are normalised with numbers
that the data freezes ("head_motion"); sound is in [-1, 1], a row for each frame and three before
and after.

An encoder turns the reference into the weights of a linear layer, which makes of each frame's sound
that frame's motion. A discriminator compares mean and standard deviation of made and true motion.
The published code never lets it teach the generator; the paper gives no weight, 0.01 is ours.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from facejax import losses
from facejax.errors import InputError
from facejax.nets import rhythmic_motion as nets
from facejax.system import PyTree, System

STATS = "batch_stats"
REFERENCE = ("known_motion", "known_chunks")


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that a run may tune in the nets and losses.

    Raises:
      InputError: a value out of its range.
    """

    image_widths: tuple[int, ...] = (8, 16)  # of the sound's two convolutions over chunks
    width: int = 512  # of the convolutions in time
    features: int = 256  # numbers of sound a frame, into the predicted layer
    motion_widths: tuple[int, ...] = (128, 256)  # of the reference motion's two layers
    hidden: int = 256  # before the predicted weights
    dropout: float = 0.1
    differences: bool = False  # the discriminator sees those of motion's differences; released
    lambda_motion: float = 1.0  # squared error
    lambda_adversarial: float = 0.01  # released: 0; the discriminator then learns and teaches not
    bfloat16: bool = False  # parameters, statistics, results and losses stay float32

    def __post_init__(self):
        for name in ("image_widths", "motion_widths"):
            widths = getattr(self, name)
            if len(widths) != 2 or min(widths) < 1:
                raise InputError(f"model.{name} is {widths}; due: two numbers, 1 or more each")
        for name in ("width", "features", "hidden"):
            if getattr(self, name) < 1:
                raise InputError(f"model.{name} is {getattr(self, name)}; due: 1 or more")
        for name in ("lambda_motion", "lambda_adversarial"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"model.{name} is {getattr(self, name)}; due: 0 or more")
        if not 0 <= self.dropout < 1:
            raise InputError(f"model.dropout is {self.dropout}; due: 0 <= dropout < 1")


def paper() -> dict[str, Any]:
    """Returns Config's arguments for what the paper says: the defaults."""
    return {}


def released() -> dict[str, Any]:
    """Returns Config's arguments for what the published code does."""
    return {"differences": True, "lambda_adversarial": 0.0}


PRESETS = {"paper": paper, "released": released}


def make(config: Config) -> System:
    """Returns the system."""
    return System(
        init=functools.partial(_init, config),
        discriminator_loss=functools.partial(_discriminator_loss, config),
        generator_loss=functools.partial(_generator_loss, config),
        generate=functools.partial(_generate, config),
        frozen={},
    )


def net_of(config: Config) -> nets.HeadMotionNet:
    """Returns the generator of a config."""
    dtype = jnp.bfloat16 if config.bfloat16 else jnp.float32
    sound = nets.SoundNet(
        config.image_widths,  # type: ignore[arg-type]  # two, as the config has checked
        config.width,
        config.features,
        config.dropout,
        dtype,
    )
    habit = nets.HabitNet(
        config.motion_widths,  # type: ignore[arg-type]
        config.width,
        config.hidden,
        config.dropout,
        dtype,
    )
    return nets.HeadMotionNet(sound, habit)


def _discriminator(config: Config) -> nets.MotionDiscriminator:
    return nets.MotionDiscriminator(config.differences)


def _init(config: Config, key: jax.Array, frozen: PyTree, batch: PyTree):
    """Returns (params, stats), each {"gen": tree, "dis": tree}. Only the batch's shapes matter."""
    del frozen
    names = (*REFERENCE, "chunks")
    inputs = tuple(jnp.zeros((1, *batch[name].shape[1:])) for name in names)
    gen = _init_net(net_of(config), key, inputs)
    motion = jnp.zeros((1, *batch["motion"].shape[1:]))
    dis = _discriminator(config).init(jax.random.fold_in(key, 1), motion)
    params = {"gen": gen["params"], "dis": dis["params"]}
    return params, {"gen": gen[STATS], "dis": {}}


@functools.partial(jax.jit, static_argnums=0)
def _init_net(net: Any, key: jax.Array, inputs: tuple) -> PyTree:
    # threefry, the usual generator, is a loop to compile for each parameter: slow on a CPU.
    quick = jax.random.wrap_key_data(jax.random.bits(key, (4,), jnp.uint32), impl="unsafe_rbg")
    return net.init(quick, *inputs, train=False)


def _made(config: Config, gen: PyTree, stats: PyTree, batch: PyTree, key: jax.Array) -> Any:
    """Returns the motion made as in training, and the new statistics."""
    motion, updated = net_of(config).apply(
        {"params": gen, STATS: stats["gen"]},
        *(batch[name] for name in (*REFERENCE, "chunks")),
        train=True,
        mutable=[STATS],
        rngs={"dropout": key},
    )
    return motion, updated[STATS]


def _discriminator_loss(config: Config, dis, gen, stats, frozen, batch, key):
    """Cross entropy: 1 is due of true motion, 0 of made. Statistics move with the generator."""
    del frozen
    made, _ = _made(config, gen, stats, batch, key)
    pairs = {"real": (batch["motion"], 1.0), "generated": (jax.lax.stop_gradient(made), 0.0)}
    terms = {name: _cross_entropy(config, dis, *pair) for name, pair in pairs.items()}
    return losses.weighted_sum(terms, {"real": 1.0, "generated": 1.0}), (stats, terms)


def _cross_entropy(config: Config, dis: PyTree, motion: jax.Array, due: float) -> jax.Array:
    logits: Any = _discriminator(config).apply({"params": dis}, motion)
    return losses.cross_entropy(logits, due)


def _generator_loss(config: Config, gen, dis, stats, frozen, batch, key):
    """Squared error, and what the discriminator takes for made."""
    del frozen
    made, gen_stats = _made(config, gen, stats, batch, key)
    terms = {"motion": losses.square(made, batch["motion"])}
    weights = {"motion": config.lambda_motion}
    if config.lambda_adversarial:
        terms["adversarial"] = _cross_entropy(config, dis, made, 1.0)
        weights["adversarial"] = config.lambda_adversarial
    return losses.weighted_sum(terms, weights), ({"gen": gen_stats, "dis": stats["dis"]}, terms)


def _generate(config: Config, gen, stats, frozen, inputs) -> dict[str, jax.Array]:
    """Makes head motion.

    Args:
      config: the system's.
      gen: the generator's parameters.
      stats: as in training; not changed.
      frozen: not used.
      inputs: chunks [B, T + 6, n], and the reference: either known_motion [B, t, 6] and
        known_chunks [B, t + 6, n], or what an earlier call made of it, weights and biases.

    Returns:
      motion [B, T, 6], normalised; weights [B, A, 6] and biases [B, 6].
    """
    del frozen
    net, variables = net_of(config), {"params": gen, STATS: stats["gen"]}
    if "weights" in inputs:
        weights, biases = inputs["weights"], inputs["biases"]
    else:
        known = (inputs[name] for name in REFERENCE)
        weights, biases = net.apply(variables, *known, train=False, method="habits")
    arguments = weights, biases, inputs["chunks"]
    motion: Any = net.apply(variables, *arguments, train=False, method="extrapolate")
    return {"motion": motion, "weights": weights, "biases": biases}
