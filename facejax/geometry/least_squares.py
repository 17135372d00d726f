"""Small dense least-squares problems in float32, given by their normal equations."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from facejax import checks

# Added to the unit diagonal of scaled normal equations, so that float32 can factor them.
FLOOR = 1e-5


class Factored(NamedTuple):
    """Normal equations with their diagonal scaled to 1 + FLOOR, as a Cholesky factor."""

    lower: jax.Array  # [..., R, R], lower @ lower^T = scale * normal * scale^T + floor * identity
    scale: jax.Array  # [..., R, 1]
    floor: jax.Array  # [..., R, 1]


def factored(normal: jax.Array) -> Factored:
    """Returns the equations made ready for `solve`.

    Args:
      normal: [..., R, R] symmetric, positive semidefinite.
    """
    diagonal = jnp.diagonal(normal, axis1=-2, axis2=-1)
    null = diagonal <= 0
    scale = jnp.where(null, 0.0, jax.lax.rsqrt(jnp.where(null, 1.0, diagonal)))[..., None]
    floor = jnp.where(null, 1.0, FLOOR)[..., None]
    eye = jnp.broadcast_to(jnp.eye(normal.shape[-1], dtype=normal.dtype), normal.shape)
    even = scale * normal * jnp.swapaxes(scale, -1, -2) + floor * eye
    # symmetric as it is; transposed it already has LAPACK's layout
    columns = jnp.swapaxes(even, -1, -2)
    return Factored(jax.lax.linalg.cholesky(columns, symmetrize_input=False), scale, floor)


def solve(equations: Factored, right: jax.Array) -> jax.Array:
    """Returns the solution x, [..., R, M], of normal @ x = right, corrected once for FLOOR.

    Singular equations have a finite solution too.

    Args:
      equations: of `factored`.
      right: [..., R, M].
    """
    lower, scale, floor = equations
    found = jax.scipy.linalg.cho_solve((lower, True), scale * right)
    return scale * (found + jax.scipy.linalg.cho_solve((lower, True), floor * found))


def in_turn(first: Factored, normal: jax.Array) -> jax.Array:
    """Returns `normal`, [..., R, R], to be factored once other equations are.

    On a CPU two batched factorisations at once can wait for each other forever (jaxlib 0.10): each
    holds a thread of XLA's pool while it waits for tasks that no thread is left to run.

    Args:
      first: other equations of the same program and batch axes.
      normal: [..., R, R].
    """
    return normal + 0.0 * first.lower[..., :1, :1]


def bounded_least_squares(
    gram: jax.Array, target: jax.Array, bound: jax.Array, steps: int
) -> jax.Array:
    """Returns the x, [..., K], with the least x^T gram x / 2 - target^T x and |x| <= bound.

    Args:
      gram: [K, K] symmetric, its eigenvalues in [0, 1].
      target: [..., K].
      bound: [K] > 0.
      steps: accelerated projected gradient steps.
    """
    checks.shapes(gram=(gram, "K K"), target=(target, "... K"), bound=(bound, "K"))
    bound = jnp.broadcast_to(bound, target.shape)

    def step(_, state):
        x, ahead, momentum = state
        slope = jnp.matmul(ahead, gram, precision="highest") - target
        new = jnp.clip(ahead - slope, -bound, bound)
        # the step went uphill: forget the momentum
        uphill = jnp.sum((ahead - new) * (new - x), axis=-1, keepdims=True) > 0
        momentum = jnp.where(uphill, 1.0, momentum)
        after = (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2
        return new, new + (momentum - 1) / after * (new - x), after

    start = jnp.zeros_like(target)
    state = start, start, jnp.ones_like(target[..., :1])
    return jax.lax.fori_loop(0, steps, step, state)[0]
