"""A morphable model at some of its vertices, as one linear basis of identity and expression."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax.geometry.linear_basis import LinearBasis, linear_basis
from facejax.geometry.morphable import MorphableModel


class FaceBasis(NamedTuple):
    """Both bases merged and prepared, K = I + E: identity first, then expression."""

    linear: LinearBasis  # of N vertices, millimetres
    identity_axes: jax.Array  # [I, R] the first rows of linear.axes
    expression_axes: jax.Array  # [E, R] the others


def face_basis(model: MorphableModel, vertices: np.ndarray) -> FaceBasis:
    """Returns the basis of a model at the given vertices, computed in float64.

    Args:
      model: with concrete arrays (numpy, or jax outside of a jit).
      vertices: [N] int, such as `model.points`, or `model.landmarks[:68]`.
    """
    merged = np.concatenate([model.identity_basis, model.expression_basis])
    vertices = np.asarray(vertices)
    linear = linear_basis(np.asarray(model.mean)[vertices], merged[:, vertices])
    identities = len(model.identity_basis)
    return FaceBasis(linear, linear.axes[:identities], linear.axes[identities:])


def split(basis: FaceBasis, principal: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns identity [..., I] and expression [..., E] of principal coefficients [..., R]."""
    axes = basis.identity_axes, basis.expression_axes
    identity, expression = (jnp.matmul(principal, a.T, precision="highest") for a in axes)
    return identity, expression


def merge(basis: FaceBasis, identity: jax.Array, expression: jax.Array) -> jax.Array:
    """Returns the principal coefficients [..., R] of identity [..., I] and expression [..., E]."""
    principal = jnp.matmul(identity, basis.identity_axes, precision="highest")
    return principal + jnp.matmul(expression, basis.expression_axes, precision="highest")
