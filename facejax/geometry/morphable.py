"""Linear morphable face models: shape = mean + identity basis @ a + expression basis @ b."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from facejax import checks


class MorphableModel(NamedTuple):
    """A 3DMM in millimetres, in the model frame. Bases are scaled to unit-variance coefficients."""

    mean: jax.Array  # [V, 3]
    identity_basis: jax.Array  # [I, V, 3]
    expression_basis: jax.Array  # [E, V, 3]
    faces: jax.Array  # [F, 3] int32, counter-clockwise seen from outside
    colors: jax.Array  # [V, 3] in [0, 1]: mean albedo (grey where the model has none)
    points: jax.Array  # [N] int32: the vertices that a dense landmark detector observes
    landmarks: jax.Array  # [70] int32: the 68 iBUG landmarks, then the right and left pupil


def face_shape(model: MorphableModel, identity: jax.Array, expression: jax.Array) -> jax.Array:
    """Returns vertices [..., V, 3] in the model frame, millimetres.

    Args:
      model: the morphable model.
      identity: [..., I] coefficients, unit variance.
      expression: [..., E] coefficients, unit variance. Its batch axes broadcast with identity's,
        and of unequal rank the shorter gains axes in front: a clip's identity [I] serves all of
        its expressions [T, E].
    """
    checks.shapes(
        mean=(model.mean, "V 3"),
        identity_basis=(model.identity_basis, "I V 3"),
        expression_basis=(model.expression_basis, "E V 3"),
        identity=(identity, "... I"),
        expression=(expression, "... E"),
    )
    batch = jnp.broadcast_shapes(identity.shape[:-1], expression.shape[:-1])
    mean = jnp.broadcast_to(model.mean, (*batch, *model.mean.shape))
    mean = mean + _blend(identity, model.identity_basis, batch)
    return mean + _blend(expression, model.expression_basis, batch)


def _blend(coefficients: jax.Array, basis: jax.Array, batch: tuple[int, ...]) -> jax.Array:
    """sum_k coefficients_k basis_k, broadcast to [*batch, V, 3]. One matmul over all vertices."""
    components, vertices, _ = basis.shape
    flat = jnp.reshape(basis, (components, 3 * vertices))
    offset = jnp.matmul(coefficients, flat, precision="highest")
    offset = jnp.reshape(offset, (*coefficients.shape[:-1], vertices, 3))
    return jnp.broadcast_to(offset, (*batch, vertices, 3))
