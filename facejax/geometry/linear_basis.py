"""Coefficients of a linear basis that explain points best, in 3-D or seen through cameras.

A basis gives points mean + sum_k c_k basis_k. Each field basis_k is scaled by its deviation, so
that the coefficients c have unit variance and one ridge suits all of them: with noise of variance
`ridge` on every coordinate, the ridge solution is the most probable c.

`linear_basis` runs once, on the host, in float64. It turns the fields to their principal axes:
rows of mutually perpendicular fields, of which d are the coefficients, c = axes @ d. There a fit in
3-D is one product with the points and a division, d = rows @ offset / (squares + ridge), for any
ridge chosen at run time, and no normal equations lose digits to float32. Through a camera the rows
are no longer perpendicular. Their normal equations are put together from products of the rows,
prepared for each pair of coordinates (`gram`): the 2N x K matrix of a frame is never built.
"""

import functools
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax import checks
from facejax.geometry.least_squares import solver

# Principal axes shorter than this share of the longest are left out: float32 points know nothing
# of them.
RANK = 1e-6
# The pairs of coordinates in `gram`.
PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
# Numbers held at once while weighted normal equations are put together.
CHUNK = 2**24


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


def fit_coefficients(
    basis: LinearBasis,
    target: jax.Array,
    ridge: jax.Array | float,
    weights: jax.Array | None = None,
) -> jax.Array:
    """Returns the c, [..., K], with the least sum_n weight_n |target_n - point_n|^2 + ridge |c|^2.

    Without weights, all frames together are one product of the rows with the targets. With weights
    every frame has normal equations of its own, at 3N K^2 operations.

    Args:
      basis: of `linear_basis`.
      target: [..., N, 3] in the basis' frame and unit.
      ridge: scalar >= 0, in square units; 0 gives the least of the best coefficients. With
        weights it must be above 0.
      weights: [..., N] >= 0; none means 1. A point of weight 0 may hold anything.
    """
    checks.shapes(mean=(basis.mean, "N 3"), target=(target, "... N 3"))
    rest = target - jnp.broadcast_to(basis.mean, target.shape)
    if weights is not None:
        every_axis = jnp.broadcast_to(jnp.eye(3, dtype=rest.dtype), (*rest.shape[:-2], 3, 3))
        return _fit(basis, every_axis, rest, ridge, weights)
    principal = principal_coefficients(basis, rest, ridge)
    return jnp.matmul(principal, basis.axes.T, precision="highest")


def fit_coefficients_projected(
    basis: LinearBasis,
    camera: jax.Array,
    image_points: jax.Array,
    ridge: jax.Array | float,
    weights: jax.Array | None = None,
    *,
    refinements: int = 1,
) -> jax.Array:
    """Returns the c, [..., K], whose points are seen nearest to the image points, frame by frame.

    That is the least sum_n weight_n |image_point_n - camera @ (point_n, 1)|^2 + ridge |c|^2.
    Without weights the normal equations come from `gram`, at 6 K^2 operations a frame. Weights
    (visibility) leave only the explicit sum, at 2N K^2: fine for landmarks, dear for dense points.

    Args:
      basis: of `linear_basis`.
      camera: [..., 2, 4] affine cameras, image = camera @ (x, y, z, 1).
      image_points: [..., N, 2] pixels, of the same batch axes.
      ridge: scalar > 0, in square pixels: one view leaves depth to the ridge.
      weights: [..., N] >= 0; none means 1. A point of weight 0 may hold anything.
      refinements: of the solution, each solving anew for what the points still lack. With none
        coefficients of dense points are good to some 1e-4 of the largest, in less than half the
        time; with one, to some 1e-5.
    """
    checks.shapes(
        mean=(basis.mean, "N 3"), image_points=(image_points, "... N 2"), camera=(camera, "... 2 4")
    )
    linear, shift = camera[..., :3], camera[..., None, :, 3]
    mean = jnp.broadcast_to(basis.mean, (*image_points.shape[:-1], 3))
    rest = image_points - (see(linear, mean) + shift)
    return _fit(basis, linear, rest, ridge, weights, refinements)


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


def normal_matrix(
    basis: LinearBasis, linear: jax.Array, weights: jax.Array | None = None
) -> jax.Array:
    """Returns sum_n weight_n A_n A_n^T, [..., R, R], where A_n = (R x 3 rows at n) @ linear^T.

    Args:
      basis: of `linear_basis`.
      linear: [..., D, 3] what the points are seen through.
      weights: [..., N] >= 0, of the same batch axes; none means 1.
    """
    axes, size = basis.rows.shape
    if weights is None:
        metric = jnp.einsum("...di,...dj->...ij", linear, linear, precision="highest")
        pairs = jnp.stack([metric[..., i, j] for i, j in PAIRS], axis=-1)
        flat = jnp.matmul(pairs, jnp.reshape(basis.gram, (6, -1)), precision="highest")
        return jnp.reshape(flat, (*linear.shape[:-2], axes, axes))
    rows = jnp.reshape(basis.rows, (axes, -1, 3))

    def of_frame(frame: tuple[jax.Array, jax.Array]) -> jax.Array:
        seen = jnp.einsum("rni,di->rnd", rows, frame[0], precision="highest")
        weighted = seen * jnp.broadcast_to(frame[1][:, None], seen.shape)
        return jnp.einsum("rnd,snd->rs", weighted, seen, precision="highest")

    frames = jnp.reshape(linear, (-1, *linear.shape[-2:])), jnp.reshape(weights, (-1, size // 3))
    at_once = min(len(frames[0]), max(1, CHUNK // max(1, basis.rows.size)))
    found = jax.lax.map(of_frame, frames, batch_size=at_once)
    return jnp.reshape(found, (*linear.shape[:-2], axes, axes))


def _fit(
    basis: LinearBasis,
    linear: jax.Array,
    rest: jax.Array,
    ridge: jax.Array | float,
    weights: jax.Array | None,
    refinements: int = 1,
) -> jax.Array:
    """The c, [..., K], with the least sum_n weight_n |rest_n - linear @ offset_n|^2 + ridge |c|^2.

    Refined by solving for what is left of the points themselves: normal equations in float32 are
    good for four digits.
    """
    if weights is not None:
        checks.shapes(rest=(rest, "... N D"), weights=(weights, "... N"))
        rest = jnp.where((weights > 0)[..., None], rest, 0.0)
    normal = normal_matrix(basis, linear, weights)
    eye = jnp.broadcast_to(jnp.eye(normal.shape[-1], dtype=normal.dtype), normal.shape)
    solve = solver(normal + ridge * eye)

    def slope(left: jax.Array) -> jax.Array:
        weighted = left if weights is None else weights[..., None] * left
        return along_rows(basis, see(jnp.swapaxes(linear, -1, -2), weighted))[..., None]

    principal = solve(slope(rest))
    for _ in range(refinements):
        left = rest - see(linear, offsets(basis, principal[..., 0]))
        principal = principal + solve(slope(left) - ridge * principal)
    return jnp.matmul(principal[..., 0], basis.axes.T, precision="highest")
