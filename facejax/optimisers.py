"""Optimisers and their learning rates, from the config's section `optim`."""

import dataclasses
import fnmatch
from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax

from facejax.errors import InputError

SCHEDULES = ("epochs", "linear", "halving", "constant")


@dataclasses.dataclass(frozen=True)
class Optim:
    """Adam for both nets; the defaults are HeadGAN's (published code; the paper is silent).

    `schedule`: "epochs" holds the rate for `constant_epochs`, then lowers it epoch by epoch over
    `decay_epochs`; "linear" holds it for the fraction `constant_part` of the run, then lowers it
    step by step to 0; "halving" holds it for `constant_epochs`, then lowers it epoch by epoch, to
    a half every `decay_epochs`; "constant" holds it.
    """

    gen_lr: float = 2e-4
    dis_lr: float = 2e-4
    b1: float = 0.5
    b2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0  # times a weight, added to its gradient: torch's Adam, not AdamW
    schedule: str = "epochs"
    constant_epochs: int = 6
    decay_epochs: int = 4
    zero_last: bool = False  # released: the last epoch has rate 0, so it trains nothing
    constant_part: float = 0.5  # of the run
    warmup_steps: int = 0  # the rate rises to its value over these
    clip: float = 0.0  # largest norm of a gradient; 0: any
    dis_every: int = 1  # steps between updates of the discriminator; released: 4
    accumulate: int = 1  # micro-batches in a batch
    ema: float = 0.0  # decay of the generator's average, in [0, 1); 0: none
    trained: str = ""  # patterns, by commas, of the generator's parameters that move; "": all
    flat: bool = False  # the generator's parameters as one vector: many small ones compile faster

    def __post_init__(self):
        if self.schedule not in SCHEDULES:
            due = " or ".join(SCHEDULES)
            raise InputError(f"optim.schedule is {self.schedule!r}; due: {due}")
        ranges = {"b1": (0, 1), "b2": (0, 1), "ema": (0, 1)}
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value < high:
                raise InputError(f"optim.{name} is {value}; due: {low} <= {name} < {high}")
        for name in ("gen_lr", "dis_lr", "clip", "warmup_steps", "constant_part", "weight_decay"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"optim.{name} is {getattr(self, name)}; due: 0 or more")
        for name in ("dis_every", "accumulate"):
            if getattr(self, name) < 1:
                raise InputError(f"optim.{name} is {getattr(self, name)}; due: 1 or more")


def rate_factor(
    optim: Optim, total: int, epoch_end: Callable[[int], int]
) -> Callable[[jax.Array], jax.Array]:
    """Returns the function from the step to the factor, in [0, 1], on every learning rate.

    Args:
      optim: the settings.
      total: steps of the run.
      epoch_end: number of epochs -> number of steps in them.
    """
    warmup = lambda step: jnp.minimum(1.0, (step + 1) / max(optim.warmup_steps, 1))
    if optim.schedule == "constant":
        return warmup
    if optim.schedule == "linear":
        hold = optim.constant_part * total
        fall = max(total - hold, 1)
        return lambda step: warmup(step) * jnp.clip((total - step) / fall, 0.0, 1.0)
    if optim.schedule == "halving":
        return _halving(optim, total, epoch_end, warmup)
    last = optim.constant_epochs + optim.decay_epochs
    ends = np.asarray([epoch_end(epoch) for epoch in range(1, last)], np.int32)
    parts = optim.decay_epochs + (0 if optim.zero_last else 1)
    past = np.maximum(np.arange(1, last + 1) - optim.constant_epochs, 0)
    factors = np.asarray(1 - past / max(parts, 1), np.float32)
    return lambda step: (
        warmup(step) * jnp.asarray(factors)[jnp.searchsorted(jnp.asarray(ends), step, "right")]
    )


def _halving(
    optim: Optim, total: int, epoch_end: Callable[[int], int], warmup: Callable
) -> Callable[[jax.Array], jax.Array]:
    ends = [epoch_end(1)]
    while ends[-1] < total:
        ends.append(epoch_end(len(ends) + 1))
    past = np.maximum(np.arange(len(ends) + 1) - optim.constant_epochs + 1, 0)
    factors = np.asarray(0.5 ** (past / max(optim.decay_epochs, 1)), np.float32)
    return lambda step: (
        warmup(step)
        * jnp.asarray(factors)[jnp.searchsorted(jnp.asarray(ends, np.int32), step, "right")]
    )


def make_optimisers(
    optim: Optim, total: int, epoch_end: Callable[[int], int]
) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
    """Returns the generator's and the discriminator's optimiser; arguments as in `rate_factor`."""
    factor = rate_factor(optim, total, epoch_end)

    def adam(rate: float, every: int) -> optax.GradientTransformation:
        # Optimisers count their own updates; the discriminator may make fewer than there are steps.
        schedule = lambda count: rate * factor(count * every)
        inner = optax.adam(schedule, b1=optim.b1, b2=optim.b2, eps=optim.eps)
        if optim.weight_decay:
            inner = optax.chain(optax.add_decayed_weights(optim.weight_decay), inner)
        return optax.chain(optax.clip_by_global_norm(optim.clip), inner) if optim.clip else inner

    gen = adam(optim.gen_lr, 1)
    gen = optax.flatten(gen) if optim.flat else gen
    if optim.trained:
        gen = _only(optim.trained, gen)
    return gen, adam(optim.dis_lr, optim.dis_every)


def _only(trained: str, optimiser: optax.GradientTransformation) -> optax.GradientTransformation:
    """Returns the optimiser of the parameters whose name, "module/.../leaf", fits a pattern.

    Raises:
      InputError: when it is initialised with parameters that do not fit one of the patterns.
    """
    patterns = [pattern.strip() for pattern in trained.split(",")]

    def labels(params: Any) -> Any:
        flat = flax.traverse_util.flatten_dict(params, sep="/")
        for pattern in patterns:
            if not fnmatch.filter(flat, pattern):
                parts = ", ".join(sorted({name.split("/")[0] for name in flat}))
                raise InputError(
                    f"optim.trained: no parameter is named like {pattern!r}; the parts are: "
                    f"{parts}; due: patterns like part/*, separated by commas"
                )
        fits = lambda name: any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
        named = {name: "trained" if fits(name) else "held" for name in flat}
        return flax.traverse_util.unflatten_dict(named, sep="/")

    return optax.multi_transform({"trained": optimiser, "held": optax.set_to_zero()}, labels)
