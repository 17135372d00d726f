"""Coefficients of a linear basis that explain points best, in 3-D or seen through cameras.

In 3-D, without weights, a fit is one product of the basis' principal rows with the points: they are
perpendicular. Through a camera they no longer are. The normal equations of a frame are then put
together from products of the rows, prepared for each pair of coordinates (`LinearBasis.gram`), and
the 2N x K matrix of the frame is never built.

What float32 loses is in proportion to what is solved for. So the few longest rows explain the
points first, for little work, and the equations are solved for what these leave.
"""

import jax
import jax.numpy as jnp

from facejax import checks
from facejax.geometry.least_squares import Factored, factored, in_turn, solve
from facejax.geometry.linear_basis import (
    PAIRS,
    LinearBasis,
    along_rows,
    leading,
    offsets,
    principal_coefficients,
    see,
)

# Principal rows that explain the points first, at most half of all.
FEW = 20
# Numbers held at once while weighted normal equations are put together.
CHUNK = 2**24


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
        return _solve(basis, every_axis, rest, ridge, weights)
    principal = principal_coefficients(basis, rest, ridge)
    return jnp.matmul(principal, basis.axes.T, precision="highest")


def fit_coefficients_projected(
    basis: LinearBasis,
    camera: jax.Array,
    image_points: jax.Array,
    ridge: jax.Array | float,
    weights: jax.Array | None = None,
    *,
    refinements: int = 0,
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
      refinements: of the solution, each solving anew for what the points still lack, at once the
        cost again. Without, coefficients of dense points are good to 1e-5 of the largest for a
        ridge of N / 4000 times the mean square of the first field, as seen along one axis; and
        to 1e-4 and 2e-4, as with LAPACK in float32, for a fifth of that and fields that fall more
        slowly. One refinement brings 1e-5 there too.
    """
    checks.shapes(
        mean=(basis.mean, "N 3"), image_points=(image_points, "... N 2"), camera=(camera, "... 2 4")
    )
    linear, shift = camera[..., :3], camera[..., None, :, 3]
    mean = jnp.broadcast_to(basis.mean, (*image_points.shape[:-1], 3))
    rest = image_points - (see(linear, mean) + shift)
    return _solve(basis, linear, rest, ridge, weights, refinements)


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


def _solve(
    basis: LinearBasis,
    linear: jax.Array,
    rest: jax.Array,
    ridge: jax.Array | float,
    weights: jax.Array | None,
    refinements: int = 0,
) -> jax.Array:
    """The c, [..., K], with the least sum_n weight_n |rest_n - linear @ offset_n|^2 + ridge |c|^2.

    What is found first drops out of the result but for its rounding, and so out of derivatives.
    """
    count = min(FEW, len(basis.rows) // 2)
    if weights is not None:
        count, refinements = 0, refinements + 1  # for the price of their sums it costs nothing
        checks.shapes(rest=(rest, "... N D"), weights=(weights, "... N"))
        rest = jnp.where((weights > 0)[..., None], rest, 0.0)
    normal = normal_matrix(basis, linear, weights)
    eye = jnp.broadcast_to(jnp.eye(len(basis.rows), dtype=normal.dtype), normal.shape)
    normal = normal + ridge * eye
    equations = factored(normal)

    def slope(rows: LinearBasis, left: jax.Array) -> jax.Array:
        weighted = left if weights is None else weights[..., None] * left
        return along_rows(rows, see(jnp.swapaxes(linear, -1, -2), weighted))

    found, left = jnp.zeros(normal.shape[:-1], normal.dtype), rest
    if count:
        few = leading(basis, count)
        guess = _leading_solution(normal, equations, slope(few, rest))
        found = jnp.pad(guess, [(0, 0)] * (guess.ndim - 1) + [(0, len(basis.rows) - count)])
        left = rest - see(linear, offsets(few, guess))
    for again in range(refinements + 1):
        if again:
            found = jax.lax.stop_gradient(found)
            left = rest - see(linear, offsets(basis, found))
        right = slope(basis, left) - ridge * found
        found = found + solve(equations, right[..., None])[..., 0]
    return jnp.matmul(found, basis.axes.T, precision="highest")


def _leading_solution(normal: jax.Array, equations: Factored, slope: jax.Array) -> jax.Array:
    """The solution [..., M] for the first M unknowns alone, the others counted as noise.

    Rows are sorted by length: the square of the first one left out is the noise's variance.

    Args:
      normal: [..., R, R] of all unknowns.
      equations: `normal`, factored.
      slope: [..., M].
    """
    count = slope.shape[-1]
    noise = normal[..., count, count, None, None]
    eye = jnp.broadcast_to(jnp.eye(count, dtype=normal.dtype), (*slope.shape, count))
    first = in_turn(equations, normal[..., :count, :count] + noise * eye)
    return jax.lax.stop_gradient(solve(factored(first), slope[..., None])[..., 0])
