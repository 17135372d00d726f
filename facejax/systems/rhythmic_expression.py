"""Psi of Rhythmic Head Motion: raw sound and a reference face -> expression.

Chen et al., ECCV 2020, sections 3.2 and A.2. A batch holds, in float32: audio [B, n], the sound
around one frame in [-1, 1]; reference [B, K], landmark components of the person's reference face;
target [B, K], those of the displacement from it (or, as published, of the face brought onto a
template). Components are in pixels; inside they are multiples of the root mean square of their
deviations, which the data freezes with the basis ("landmarks"): they keep their weights, and the
net's outputs are of size one.

The two presets differ in the loudness that the net expects. What else the published code does
otherwise lies in the data: see configs/rhythmic_expression.py.
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
LEAST_DEVIATION = 1e-3  # px, of components that hardly move


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that a run may tune in the net and its loss.

    Raises:
      InputError: a value out of its range.
    """

    widths: tuple[int, ...] = nets.EXPRESSION_WIDTHS  # channels of the convolutions
    hidden: int = 256
    dropout: float = 0.2
    audio_scale: float = 1.0  # on sound in [-1, 1]; released: 32768, that of 16-bit numbers
    scaled: bool = True  # components are multiples of their mean deviation; released: False, px
    bfloat16: bool = False  # parameters, statistics, results and losses stay float32

    def __post_init__(self):
        if not self.widths or min(*self.widths, self.hidden) < 1:
            raise InputError(f"model.widths is {self.widths}; due: one number or more, 1 or more")
        if not 0 <= self.dropout < 1:
            raise InputError(f"model.dropout is {self.dropout}; due: 0 <= dropout < 1")
        if not self.audio_scale > 0:
            raise InputError(f"model.audio_scale is {self.audio_scale}; due: above 0")


def paper() -> dict[str, Any]:
    """Returns Config's arguments for what the paper says: the defaults."""
    return {}


def released() -> dict[str, Any]:
    """Returns Config's arguments for what the published code does."""
    return {"audio_scale": 32768.0, "scaled": False}


PRESETS = {"paper": paper, "released": released}


def make(config: Config) -> System:
    """Returns the system. Its data freezes "landmarks", the basis of expressions."""
    return System(
        init=functools.partial(_init, config),
        discriminator_loss=_discriminator_loss,
        generator_loss=functools.partial(_generator_loss, config),
        generate=functools.partial(_generate, config),
        frozen={},
    )


def net_of(config: Config) -> nets.ExpressionNet:
    """Returns the net of a config."""
    dtype = jnp.bfloat16 if config.bfloat16 else jnp.float32
    return nets.ExpressionNet(config.widths, config.hidden, config.dropout, dtype)


def _init(config: Config, key: jax.Array, frozen: PyTree, batch: PyTree):
    """Returns (params, stats), each {"gen": tree, "dis": {}}. Only the batch's shapes matter."""
    del frozen
    inputs = (jnp.zeros((1, *batch[name].shape[1:])) for name in ("audio", "reference"))
    variables = _init_net(net_of(config), key, tuple(inputs))
    return {"gen": variables["params"], "dis": {}}, {"gen": variables[STATS], "dis": {}}


@functools.partial(jax.jit, static_argnums=0)
def _init_net(net: Any, key: jax.Array, inputs: tuple) -> PyTree:
    # threefry, the usual generator, is a loop to compile for each parameter: slow on a CPU.
    quick = jax.random.wrap_key_data(jax.random.bits(key, (4,), jnp.uint32), impl="unsafe_rbg")
    return net.init(quick, *inputs, train=False)


def _unit(config: Config, frozen: PyTree) -> jax.Array:
    """What a component of 1 of the net is worth, px."""
    if not config.scaled:
        return jnp.ones(())
    mean = jnp.mean(jnp.square(jnp.asarray(frozen["landmarks"]["deviations"])))
    return jnp.maximum(jnp.sqrt(mean), LEAST_DEVIATION)


def _discriminator_loss(dis, gen, stats, frozen, batch, key):
    """0 and no terms: there is no discriminator."""
    del dis, gen, frozen, batch, key
    return jnp.zeros(()), (stats, {})


def _generator_loss(config: Config, gen, dis, stats, frozen, batch, key):
    """Mean squared error of the components."""
    del dis
    unit = _unit(config, frozen)
    made, updated = net_of(config).apply(
        {"params": gen, STATS: stats["gen"]},
        config.audio_scale * batch["audio"],
        batch["reference"] / unit,
        train=True,
        mutable=[STATS],
        rngs={"dropout": key},
    )
    due = batch["target"] / unit
    terms = {"components": jnp.mean(jnp.square(made - jax.lax.stop_gradient(due)))}
    loss = losses.weighted_sum(terms, {"components": 1.0})
    return loss, ({"gen": updated[STATS], "dis": stats["dis"]}, terms)


def _generate(config: Config, gen, stats, frozen, inputs) -> dict[str, jax.Array]:
    """Makes expressions.

    Args:
      config: the system's.
      gen: the net's parameters.
      stats: as in training; not changed.
      frozen: with "landmarks".
      inputs: audio [B, n]; reference [B, K] px.

    Returns:
      expression [B, K] px: what `landmark_basis.with_expressions` adds to a person's face.
    """
    unit = _unit(config, frozen)
    made: Any = net_of(config).apply(
        {"params": gen, STATS: stats["gen"]},
        config.audio_scale * inputs["audio"],
        inputs["reference"] / unit,
        train=False,
    )
    return {"expression": made * unit}
