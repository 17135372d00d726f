"""Linear bases of points, prepared for fits.

A basis gives points mean + sum_k c_k basis_k. Each field basis_k is scaled by its deviation, so
that the coefficients c have unit variance and one ridge suits all of them: with noise of variance
`ridge` on every coordinate, the ridge solution is the most probable c.

`linear_basis` runs once, on the host, in float64. It turns the fields to their principal axes:
rows of mutually perpendicular fields, of which d are the coefficients, c = axes @ d. There a fit in
3-D is one product with the points and a division, d = rows @ offset / (squares + ridge), for any
ridge chosen at run time, and no normal equations lose digits to float32.
"""

import functools
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax import checks

# Principal axes shorter than this share of the longest are left out: float32 points know nothing
# of them.
RANK = 1e-6
# The pairs of coordinates in `gram`.
PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


class LinearBasis(NamedTuple):
    """A prepared basis, float32, with R = min(K, 3N) principal axes."""

    mean: jax.Array  # [N, 3]
    rows: jax.Array  # [R, 3N] principal fields, perpendicular to each other
    axes: jax.Array  # [K, R] c = axes @ d; perpendicular columns of length 1
    squares: jax.Array  # [R] squared lengths of the rows, falling; 0 where left out
    gram: jax.Array  # [6, R, R] rows_i @ rows_j^T, plus its transpose where i != j, of PAIRS


def linear_basis(
    mean: np.ndarray, basis: np.ndarray, deviations: np.ndarray | None = None
) -> LinearBasis:
    """Returns the basis prepared for fits, computed in float64.

    Args:
      mean: [N, 3], in any one unit.
      basis: [K, N, 3] fields, concrete (numpy, or jax outside of a jit).
      deviations: [K] standard deviations of the fields' coefficients; none means that the fields
        are scaled by them already, as those of a `MorphableModel` are.
    """
    mean, basis = np.asarray(mean, np.float64), np.asarray(basis, np.float64)
    checks.shapes(mean=(mean, "N 3"), basis=(basis, "K N 3"))
    fields = basis.reshape(len(basis), mean.size)
    if deviations is not None:
        checks.shapes(basis=(basis, "K N 3"), deviations=(deviations, "K"))
        fields = fields * np.asarray(deviations, np.float64)[:, None]
    squares, axes = np.linalg.eigh(fields @ fields.T)
    falling = np.argsort(-squares)[: mean.size]
    squares, axes = squares[falling], axes[:, falling]
    kept = squares > RANK**2 * squares.max(initial=0.0)
    axes = np.where(kept, axes, 0.0)
    rows = axes.T @ fields
    parts = [np.ascontiguousarray(rows[:, i::3]) for i in range(3)]
    products = [parts[i] @ parts[j].T for i, j in PAIRS]
    gram = [p if i == j else p + p.T for p, (i, j) in zip(products, PAIRS, strict=True)]
    arrays = mean, rows, axes, np.where(kept, squares, 0.0), np.stack(gram)
    return LinearBasis(*(jnp.asarray(array, jnp.float32) for array in arrays))


def blend(basis: LinearBasis, coefficients: jax.Array) -> jax.Array:
    """Returns the points mean + sum_k coefficients_k basis_k, [..., N, 3].

    Args:
      basis: of `linear_basis`.
      coefficients: [..., K].
    """
    checks.shapes(axes=(basis.axes, "K R"), coefficients=(coefficients, "... K"))
    offset = offsets(basis, jnp.matmul(coefficients, basis.axes, precision="highest"))
    return offset + jnp.broadcast_to(basis.mean, offset.shape)


def principal_coefficients(
    basis: LinearBasis, offset: jax.Array, ridge: jax.Array | float
) -> jax.Array:
    """Returns the d, [..., R], with the least |offset - rows^T d|^2 + ridge |d|^2.

    Args:
      basis: of `linear_basis`.
      offset: [..., N, 3] points less mean.
      ridge: scalar >= 0.
    """
    along = along_rows(basis, offset)
    squares = jnp.broadcast_to(basis.squares, along.shape)
    left_out = squares == 0
    return jnp.where(left_out, 0.0, along / jnp.where(left_out, 1.0, squares + ridge))


def leading(basis: LinearBasis, count: int) -> LinearBasis:
    """Returns the basis of the first `count` principal axes alone."""
    return basis._replace(
        rows=basis.rows[:count],
        axes=basis.axes[:, :count],
        squares=basis.squares[:count],
        gram=basis.gram[:, :count, :count],
    )


def see(linear: jax.Array, points: jax.Array) -> jax.Array:
    """Returns linear @ point, [..., N, D], of points [..., N, M] and matrices [..., D, M].

    Sums of products that compilers fuse with their neighbours; as a matmul, so few columns would
    be slower, and the result an array of its own.
    """
    columns = (linear[..., None, :, i] * points[..., i, None] for i in range(points.shape[-1]))
    return functools.reduce(operator.add, columns)


def along_rows(basis: LinearBasis, points: jax.Array) -> jax.Array:
    """Returns rows @ vec(points), [..., R], of points [..., N, 3]: one product for all frames."""
    flat = jnp.reshape(points, (-1, basis.rows.shape[1]))
    product = jnp.matmul(basis.rows, flat.T, precision="highest").T  # the fastest layout
    return jnp.reshape(product, (*points.shape[:-2], -1))


def offsets(basis: LinearBasis, principal: jax.Array) -> jax.Array:
    """Returns sum_r principal_r row_r, [..., N, 3], of principal coefficients [..., R]."""
    flat = jnp.matmul(principal, basis.rows, precision="highest")
    return jnp.reshape(flat, (*principal.shape[:-1], *basis.mean.shape))
