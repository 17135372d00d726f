"""One training step for any `System`: discriminator first, then generator, then the average.

The step is pure: (state, frozen, batch, key) -> (state, terms). It is compiled, with the state
donated, by `facejax.sharding.compile_step`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from facejax.system import PyTree, System, TrainState

Step = Callable[[TrainState, PyTree, PyTree, jax.Array], tuple[TrainState, dict[str, jax.Array]]]


def init_state(
    system: System,
    gen_tx: optax.GradientTransformation,
    dis_tx: optax.GradientTransformation,
    key: jax.Array,
    batch: PyTree,
) -> TrainState:
    """Returns the state before the first step.

    Args:
      system: what is trained.
      gen_tx: the generator's optimiser.
      dis_tx: the discriminator's optimiser.
      key: of the initial parameters (consumed).
      batch: one batch, for its shapes.
    """
    params, stats = system.init(key, system.frozen, batch)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        stats=stats,
        opt={"gen": gen_tx.init(params["gen"]), "dis": dis_tx.init(params["dis"])},
        ema=jax.tree.map(jnp.copy, params["gen"]),  # a copy: both are donated to the step
    )


def make_step(
    system: System,
    gen_tx: optax.GradientTransformation,
    dis_tx: optax.GradientTransformation,
    *,
    ema_decay: float,
    dis_every: int = 1,
    accumulate: int = 1,
) -> Step:
    """Returns the step. Its key is folded with the step number, so a resumed run draws the same.

    Terms are those of the system, under "gen/" and "dis/", with "loss" (the weighted sum) and
    "grad_norm". The discriminator's are those before its update.

    Args:
      system: what is trained.
      gen_tx: the generator's optimiser.
      dis_tx: the discriminator's; it is applied every `dis_every` steps.
      ema_decay: of the generator's moving average, in [0, 1); 0 keeps the generator itself. The
        first steps use (1 + n) / (10 + n) where that is smaller.
      dis_every: steps between updates of the discriminator; its losses are computed each step.
      accumulate: micro-batches that a batch is cut into, to need less memory. Their gradients are
        averaged; running statistics pass from one to the next.
    """

    def discriminator(dis: PyTree, opt: PyTree, gradient: PyTree) -> tuple[PyTree, PyTree]:
        update, opt = dis_tx.update(gradient, opt, dis)
        return optax.apply_updates(dis, update), opt

    def step(
        state: TrainState, frozen: PyTree, batch: PyTree, key: jax.Array
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        key_dis, key_gen = jax.random.split(jax.random.fold_in(key, state.step))
        gen, dis = state.params["gen"], state.params["dis"]

        def dis_loss(trained: PyTree, stats: PyTree, micro: PyTree, key: jax.Array) -> Any:
            return system.discriminator_loss(trained, gen, stats, frozen, micro, key)

        def dis_turn() -> Any:
            gradient, stats, terms = _gradients(
                dis_loss, dis, state.stats, batch, key_dis, accumulate
            )
            return *discriminator(dis, state.opt["dis"], gradient), stats, terms

        def dis_rest() -> Any:
            stats, terms = _evaluate(dis_loss, dis, state.stats, batch, key_dis, accumulate)
            return dis, state.opt["dis"], stats, terms

        if dis_every == 1:
            dis, opt_dis, stats, dis_terms = dis_turn()
        else:
            turn = state.step % dis_every == 0
            dis, opt_dis, stats, dis_terms = jax.lax.cond(turn, dis_turn, dis_rest)

        def gen_loss(trained: PyTree, stats: PyTree, micro: PyTree, key: jax.Array) -> Any:
            return system.generator_loss(trained, dis, stats, frozen, micro, key)

        gradient, stats, gen_terms = _gradients(gen_loss, gen, stats, batch, key_gen, accumulate)
        update, opt_gen = gen_tx.update(gradient, state.opt["gen"], gen)
        gen = optax.apply_updates(gen, update)
        terms = {f"dis/{name}": value for name, value in dis_terms.items()}
        terms |= {f"gen/{name}": value for name, value in gen_terms.items()}
        following = TrainState(
            step=state.step + 1,
            params={"gen": gen, "dis": dis},
            stats=stats,
            opt={"gen": opt_gen, "dis": opt_dis},
            ema=_average(state.ema, gen, state.step, ema_decay),
        )
        return following, terms

    return step


def _average(ema: PyTree, gen: PyTree, step: jax.Array, decay: float) -> PyTree:
    """Returns ema moved towards gen; warmed up, or a short run would average its first weights."""
    weight = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda a, b: (weight * a + (1 - weight) * b).astype(b.dtype), ema, gen)


def _gradients(
    loss: Callable, trained: PyTree, stats: PyTree, batch: PyTree, key: jax.Array, count: int
) -> tuple[PyTree, PyTree, dict[str, jax.Array]]:
    """Returns the gradient, the new stats and the terms, each a mean over `count` micro-batches."""

    def one(stats: PyTree, micro: PyTree, key: jax.Array) -> Any:
        value_and_gradient = jax.value_and_grad(loss, has_aux=True)
        (value, (stats, terms)), gradient = value_and_gradient(trained, stats, micro, key)
        return stats, (gradient, terms | {"loss": value})

    stats, (gradient, terms) = _over_micro_batches(one, stats, batch, key, count)
    return gradient, stats, terms | {"grad_norm": optax.tree.norm(gradient)}


def _evaluate(
    loss: Callable, trained: PyTree, stats: PyTree, batch: PyTree, key: jax.Array, count: int
) -> tuple[PyTree, dict[str, jax.Array]]:
    """As `_gradients`, without one: the gradient's norm is 0, for none was applied."""

    def one(stats: PyTree, micro: PyTree, key: jax.Array) -> Any:
        value, (stats, terms) = loss(trained, stats, micro, key)
        return stats, terms | {"loss": value}

    stats, terms = _over_micro_batches(one, stats, batch, key, count)
    return stats, terms | {"grad_norm": jnp.zeros(())}


def _over_micro_batches(
    one: Callable, stats: PyTree, batch: PyTree, key: jax.Array, count: int
) -> tuple[PyTree, PyTree]:
    """Runs `one(stats, micro-batch, key) -> stats, values`; returns the last stats, mean values."""
    if count == 1:
        return one(stats, batch, key)

    def body(stats: PyTree, inputs: Any) -> Any:
        micro, number = inputs
        return one(stats, micro, jax.random.fold_in(key, number))

    stats, values = jax.lax.scan(body, stats, (_cut(batch, count), jnp.arange(count)))
    return stats, jax.tree.map(lambda v: jnp.mean(v, 0), values)


def _cut(batch: PyTree, count: int) -> PyTree:
    """[B, ...] -> [count, B / count, ...]; each micro-batch has rows of every device."""

    def leaf(x: jax.Array) -> jax.Array:
        if x.shape[0] % count:
            raise ValueError(f"a batch of {x.shape[0]} cannot be cut into {count} micro-batches")
        return jnp.moveaxis(x.reshape(x.shape[0] // count, count, *x.shape[1:]), 1, 0)

    return jax.tree.map(leaf, batch)
