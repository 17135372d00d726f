"""Small dense least-squares problems in float32, given by their normal equations."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from facejax import checks

# Added to the unit diagonal of scaled normal equations, so that float32 can factor them.
FLOOR = 1e-5


def solver(normal: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """Returns the function that solves normal @ x = right for x, given right, both [..., R, M].

    Cholesky in float32 of the matrix with its diagonal scaled to 1 + FLOOR, corrected once for
    FLOOR. Singular equations have a finite solution too.

    Args:
      normal: [..., R, R] symmetric, positive semidefinite.
    """
    diagonal = jnp.diagonal(normal, axis1=-2, axis2=-1)
    null = diagonal <= 0
    scale = jnp.where(null, 0.0, jax.lax.rsqrt(jnp.where(null, 1.0, diagonal)))[..., None]
    even = scale * normal * jnp.swapaxes(scale, -1, -2)
    floor = jnp.where(null, 1.0, FLOOR)[..., None]
    eye = jnp.broadcast_to(jnp.eye(normal.shape[-1], dtype=normal.dtype), normal.shape)
    factor = jnp.linalg.cholesky(even + floor * eye)

    def solve(right: jax.Array) -> jax.Array:
        found = jax.scipy.linalg.cho_solve((factor, True), scale * right)
        left = scale * right - jnp.matmul(even, found, precision="highest")
        return scale * (found + jax.scipy.linalg.cho_solve((factor, True), left))

    return solve


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
