"""Errors of landmarks and of head poses."""

import jax
import jax.numpy as jnp

from facejax import checks


def nme(landmarks: jax.Array, truth: jax.Array) -> jax.Array:
    """Returns the normalised mean error of landmarks, [...]: a share of the face's size.

    Mean distance over the square root of the area of the annotated landmarks' bounding box, as is
    usual for AFLW2000-3D (Zhu et al. 2016, arxiv.org/abs/1511.07212).

    Args:
      landmarks: [..., N, 2] px.
      truth: [..., N, 2] px.
    """
    checks.shapes(landmarks=(landmarks, "... N 2"), truth=(truth, "... N 2"))
    sides = jnp.max(truth, axis=-2) - jnp.min(truth, axis=-2)
    distance = jnp.mean(jnp.linalg.norm(landmarks - truth, axis=-1), axis=-1)
    return distance / jnp.sqrt(jnp.prod(sides, axis=-1))


def rotation_error(rotation: jax.Array, truth: jax.Array) -> jax.Array:
    """Returns the angle between two rotations, [...] radians in [0, pi].

    Args:
      rotation: [..., 3, 3] proper.
      truth: [..., 3, 3] proper.
    """
    checks.shapes(rotation=(rotation, "... 3 3"), truth=(truth, "... 3 3"))
    # |R - Q|_F = 2 sqrt(2) sin(angle / 2): exact for small angles, where acos of a trace is not.
    half = jnp.linalg.norm(rotation - truth, axis=(-2, -1)) / (2 * jnp.sqrt(2.0))
    return 2 * jnp.arcsin(jnp.clip(half, 0, 1))
