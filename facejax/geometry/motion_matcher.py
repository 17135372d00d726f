"""Which reference frame is nearest in head motion: Rhythmic Head Motion's Eq. 2.

Chen et al. 2020, arXiv:2007.08547. The nearest reference most likely shows the background of the
target. A cost is a function ([..., K, 6] references, [..., 6] target) -> [..., K]; motions are
those of `rigid_motion`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from facejax import checks

# Standard deviations of head motions over talking heads of 256 px: radians, then px (the published
# code's normalisation of its motion learner).
SPREAD = (0.066, 0.132, 0.071, 9.99, 9.24, 16.95)
SPREAD_SIZE = 256  # px
WORST = 0.75  # probability that training takes the worst reference (published code)


def standardised_cost(
    reference: jax.Array, target: jax.Array, size: int = SPREAD_SIZE
) -> jax.Array:
    """Returns ||h_t - h_k||^2 of motions in standard deviations, [..., K]: the default.

    Departs from the paper's letter, which does not say how px are set against radians: as they
    come, translations would be all that counts.

    Args:
      reference: [..., K, 6].
      target: [..., 6].
      size: px of the image whose px the translations are in.
    """
    checks.shapes(reference=(reference, "... K 6"), target=(target, "... 6"))
    spread = jnp.asarray(SPREAD) * jnp.asarray([1.0] * 3 + [size / SPREAD_SIZE] * 3)
    difference = reference - target[..., None, :]
    return jnp.sum((difference / jnp.broadcast_to(spread, difference.shape)) ** 2, axis=-1)


def rotation_cost(reference: jax.Array, target: jax.Array) -> jax.Array:
    """Returns the mean absolute difference of the rotation vectors, [..., K]: preset `released`.

    Args:
      reference: [..., K, 6].
      target: [..., 6].
    """
    checks.shapes(reference=(reference, "... K 6"), target=(target, "... 6"))
    return jnp.mean(jnp.abs(reference[..., :3] - target[..., None, :3]), axis=-1)


def match(reference: jax.Array, target: jax.Array, cost: Callable = standardised_cost) -> jax.Array:
    """Returns the number of the reference nearest in head motion (Eq. 2), [...] int32.

    Args:
      reference: [..., K, 6] motions of the K reference frames.
      target: [..., 6] motion to be shown.
      cost: `standardised_cost` or `rotation_cost`.
    """
    return jnp.argmin(cost(reference, target), axis=-1).astype(jnp.int32)


def match_for_training(
    key: jax.Array,
    reference: jax.Array,
    target: jax.Array,
    cost: Callable = standardised_cost,
    worst: float = WORST,
) -> jax.Array:
    """Returns the number of a reference chosen badly on purpose, [...] int32.

    "During training, we manipulate the selection by increasing the cost": with probability `worst`
    it is the reference of the largest cost, else any one, so that what composes the image learns
    to live with poor matches.

    Args:
      key: consumed.
      reference: [..., K, 6].
      target: [..., 6].
      cost: as of `match`.
      worst: probability of the worst.
    """
    costs = cost(reference, target)
    key_choice, key_any = jax.random.split(key)
    furthest = jnp.argmax(costs, axis=-1).astype(jnp.int32)
    anyone = jax.random.randint(key_any, furthest.shape, 0, costs.shape[-1], jnp.int32)
    return jnp.where(jax.random.bernoulli(key_choice, worst, furthest.shape), furthest, anyone)
