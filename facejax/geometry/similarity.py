"""Similarity transforms between point sets: target = scale * rotation @ source + translation.

Points are row vectors [..., N, 3] in any one frame and unit. Umeyama 1991 (IEEE TPAMI 13-4); the
derivative of the rotation is our own, by implicit differentiation, because the SVD's is NaN
whenever two singular values are equal.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from facejax import checks
from facejax.geometry import rotations

# A cross-covariance whose second singular value is below this share of its first is on a line.
COLLINEAR = 1e-5
# Directions in which the rotation is determined this weakly (share of the Frobenius norm) get a
# damped derivative; those in which it is free get a zero one.
DAMPING = 1e-4
# Points a partial sum.
BLOCK = 256


class Similarity(NamedTuple):
    """target = scale * rotation @ source + translation."""

    scale: jax.Array  # [...] >= 0
    rotation: jax.Array  # [..., 3, 3], determinant +1
    translation: jax.Array  # [..., 3] in the target's unit


def fit_similarity(
    source: jax.Array,
    target: jax.Array,
    weights: jax.Array | None = None,
    *,
    with_scale: bool = True,
) -> Similarity:
    """Returns the transform with the least sum_n weight_n |target_n - (s R source_n + t)|^2.

    The rotation is proper (determinant +1) for mirrored targets too. Where the best transform is
    not unique, the result is still defined, and so are finite derivatives:
      - weights all zero: the identity;
      - source collapsed to a point (or one point only): scale 1, no rotation, centroid to centroid;
      - target collapsed to a point: scale 0, no rotation;
      - either cloud on a line: the smallest of the best rotations, which turns one line into the
        other and not about it;
      - mirrored, and equally extended in two directions: one of the best rotations.

    Args:
      source: [..., N, 3].
      target: [..., N, 3], of the same batch axes.
      weights: [..., N] >= 0; none means equal weights. A point of weight 0 may hold anything.
      with_scale: False fits a rigid motion, scale 1.
    """
    checks.shapes(source=(source, "... N 3"), target=(target, "... N 3"))
    weights = normalized_weights(weights, source)
    centre_source, source = centred(source, weights)
    centre_target, target = centred(target, weights)
    variance = _variance(source, weights)
    flat_source = _collapsed(variance, centre_source)
    flat = flat_source | _collapsed(_variance(target, weights), centre_target)
    covariance = moments(target, source, weights)
    covariance = jnp.where(flat[..., None, None], 0.0, covariance)
    rotation = nearest_rotation(covariance)
    scale = jnp.ones_like(variance)
    if with_scale:
        gain = jnp.sum(rotation * covariance, axis=(-2, -1))
        scale = jnp.where(flat_source, 1.0, gain / jnp.where(flat_source, 1.0, variance))
    turned = jnp.matmul(rotation, centre_source[..., None], precision="highest")[..., 0]
    return Similarity(scale, rotation, centre_target - scale[..., None] * turned)


def apply_similarity(similarity: Similarity, points: jax.Array) -> jax.Array:
    """Returns scale * rotation @ points + translation, [..., N, 3].

    Args:
      similarity: of the same batch axes.
      points: [..., N, 3].
    """
    checks.shapes(points=(points, "... N 3"), rotation=(similarity.rotation, "... 3 3"))
    matrix = similarity.scale[..., None, None] * similarity.rotation
    turned = jnp.matmul(points, jnp.swapaxes(matrix, -1, -2), precision="highest")
    return turned + similarity.translation[..., None, :]


def invert_similarity(similarity: Similarity) -> Similarity:
    """Returns the transform from target to source. The scale must not be 0."""
    inverse = jnp.swapaxes(similarity.rotation, -1, -2)
    scale = 1.0 / similarity.scale
    turned = jnp.matmul(inverse, similarity.translation[..., None], precision="highest")[..., 0]
    return Similarity(scale, inverse, -scale[..., None] * turned)


def nearest_rotation(matrix: jax.Array) -> jax.Array:
    """Returns the proper rotation R, [..., 3, 3], with the largest trace(R^T matrix).

    It is the rotation nearest to any positive multiple of `matrix`. Zero gives the identity, a
    matrix of rank 1 the smallest of the best rotations.

    Args:
      matrix: [..., 3, 3].
    """
    checks.shapes(matrix=(matrix, "... 3 3"))
    square = jnp.sum(matrix**2, axis=(-2, -1), keepdims=True)
    null = square == 0
    norm = jnp.sqrt(jnp.where(null, 1.0, square))  # sqrt(0) has an infinite gradient
    return _polar(matrix / norm)


def normalized_weights(weights: jax.Array | None, points: jax.Array) -> jax.Array:
    """Returns weights [..., N] that sum to 1, or to 0 where all are 0; equal ones for None."""
    shape = points.shape[:-1]
    if weights is None:
        return jnp.full(shape, 1.0 / max(shape[-1], 1), points.dtype)
    checks.shapes(weights=(weights, "... N"), points=(points, "... N 3"))
    total = jnp.sum(weights, axis=-1, keepdims=True)
    return jnp.broadcast_to(weights / jnp.where(total == 0, 1.0, total), shape)


def centred(points: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the centroid [..., 3] and points - centroid [..., N, 3], zero where the weight is 0.

    The centroid is taken twice, the second time of the centred points, so that float32 loses no
    digits on clouds far from the origin.

    Args:
      points: [..., N, 3].
      weights: [..., N] that sum to 1, or to 0.
    """
    used = (weights > 0)[..., None]
    rough = _mean(jnp.where(used, points, 0.0), weights)
    offset = _mean(jnp.where(used, points - rough[..., None, :], 0.0), weights)
    centre = rough + offset
    return centre, jnp.where(used, points - centre[..., None, :], 0.0)


def moments(first: jax.Array, second: jax.Array, weights: jax.Array) -> jax.Array:
    """Returns sum_n weights_n first_n second_n^T, [..., 3, 3], of points [..., N, 3]."""
    weighted = weights[..., None] * second
    return jnp.einsum("...ni,...nj->...ij", first, weighted, precision="highest")


def _mean(points: jax.Array, weights: jax.Array) -> jax.Array:
    """Weighted sum over points, [..., 3], in blocks: one long float32 sum rounds away digits."""
    weighted = weights[..., None] * points
    *batch, count, _ = weighted.shape
    blocks = -(-count // BLOCK)
    padding = [(0, 0)] * len(batch) + [(0, blocks * BLOCK - count), (0, 0)]
    weighted = jnp.reshape(jnp.pad(weighted, padding), (*batch, blocks, BLOCK, 3))
    return jnp.sum(jnp.sum(weighted, axis=-2), axis=-2)


def _variance(centred_points: jax.Array, weights: jax.Array) -> jax.Array:
    return jnp.sum(weights * jnp.sum(centred_points**2, axis=-1), axis=-1)


def _collapsed(variance: jax.Array, centre: jax.Array) -> jax.Array:
    """Whether a cloud's extent [...] is within the rounding of its centroid."""
    rounding = 8 * jnp.finfo(variance.dtype).eps
    return variance <= rounding**2 * jnp.sum(centre**2, axis=-1)


def _smallest_rotation(start: jax.Array, end: jax.Array) -> jax.Array:
    """The rotation of least angle from one unit vector to another, [..., 3, 3]."""
    cosine = jnp.sum(start * end, axis=-1)[..., None, None]
    opposite = cosine < -0.999999
    k = rotations.cross_matrix(jnp.cross(start, end))
    eye = jnp.broadcast_to(jnp.eye(3, dtype=start.dtype), k.shape)
    turn = eye + k + jnp.matmul(k, k, precision="highest") / jnp.where(opposite, 1.0, 1 + cosine)
    side = jax.nn.one_hot(jnp.argmin(jnp.abs(start), axis=-1), 3, dtype=start.dtype)
    axis = jnp.cross(start, side)
    axis = axis / jnp.linalg.norm(axis, axis=-1, keepdims=True)
    half_turn = 2 * axis[..., :, None] * axis[..., None, :] - eye
    return jnp.where(opposite, half_turn, turn)


@jax.custom_jvp
def _polar(matrix: jax.Array) -> jax.Array:
    """The rotation of `nearest_rotation` for matrices of Frobenius norm 1 (or 0)."""
    u, singular, vt = jnp.linalg.svd(matrix)
    mirrored = (jnp.linalg.det(u) * jnp.linalg.det(vt) < 0)[..., None]
    last = jnp.where(mirrored, -vt[..., 2, :], vt[..., 2, :])
    proper = jnp.concatenate([vt[..., :2, :], last[..., None, :]], axis=-2)
    general = jnp.matmul(u, proper, precision="highest")
    line = _smallest_rotation(vt[..., 0, :], u[..., :, 0])
    rotation = jnp.where((singular[..., 1] < COLLINEAR)[..., None, None], line, general)
    eye = jnp.broadcast_to(jnp.eye(3, dtype=matrix.dtype), matrix.shape)
    return jnp.where((singular[..., 0] < COLLINEAR)[..., None, None], eye, rotation)


@_polar.defjvp
def _polar_jvp(primals, tangents):
    """Implicit derivative: dR = R [w]x, (trace(S) I - S) w = vee(R^T dM - dM^T R), S = R^T M.

    S is symmetric, and the matrix left of w has the eigenvalues s_i + s_j, zero where the rotation
    is free. So w is the real part of the solution for trace(S) I - S + i DAMPING I, as a real
    6 x 6 system: for an eigenvalue e well above DAMPING that is 1 / e, and 0 where e is 0.
    """
    (matrix,), (tangent,) = primals, tangents
    rotation = _polar(matrix)
    transpose = jnp.swapaxes(rotation, -1, -2)
    stretch = jnp.matmul(transpose, matrix, precision="highest")
    stretch = (stretch + jnp.swapaxes(stretch, -1, -2)) / 2
    eye = jnp.broadcast_to(jnp.eye(3, dtype=matrix.dtype), matrix.shape)
    left = jnp.trace(stretch, axis1=-2, axis2=-1)[..., None, None] * eye - stretch
    damping = DAMPING * eye
    system = jnp.block([[left, -damping], [damping, left]])
    turn = jnp.matmul(transpose, tangent, precision="highest")
    turn = turn - jnp.swapaxes(turn, -1, -2)
    right = jnp.stack([turn[..., 2, 1], turn[..., 0, 2], turn[..., 1, 0]], axis=-1)
    right = jnp.concatenate([right, jnp.zeros_like(right)], axis=-1)
    spin = jnp.linalg.solve(system, right[..., None])[..., :3, 0]
    return rotation, jnp.matmul(rotation, rotations.cross_matrix(spin), precision="highest")
