"""Broadcasts and sums over a few channels, term by term.

XLA's reductions over a short last axis are slow on CPU, several times as slow as adding up its
slices, and the gradient of a broadcast is such a reduction.
"""

import jax
import jax.numpy as jnp


def spread(column: jax.Array, count: int) -> jax.Array:
    """Returns [P, 1] in every column of [P, count]."""
    return jnp.concatenate([column] * count, axis=1)


def total(image: jax.Array) -> jax.Array:
    """Returns the sum over channels, [..., C] to [..., 1], C > 0."""
    first, *others = (image[..., k : k + 1] for k in range(image.shape[-1]))
    return sum(others, first)
