"""Similarity transforms between point sets: target = scale * rotation @ source + translation.

Points are row vectors [..., N, 3] in any one frame and unit. Umeyama 1991 (IEEE TPAMI 13-4); the
rotation is that of `nearest_rotation`, by SVD or without.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from facejax import checks
from facejax.geometry.nearest_rotation import nearest_rotation

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
    method: str = "svd",
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
      method: of `nearest_rotation`: "svd", or "horn" for accelerators.
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
    rotation = nearest_rotation(covariance, method)
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
    *batch, count, size = weighted.shape
    blocks = -(-count // BLOCK)
    padding = [(0, 0)] * len(batch) + [(0, blocks * BLOCK - count), (0, 0)]
    weighted = jnp.reshape(jnp.pad(weighted, padding), (*batch, blocks, BLOCK, size))
    return jnp.sum(jnp.sum(weighted, axis=-2), axis=-2)


def _variance(centred_points: jax.Array, weights: jax.Array) -> jax.Array:
    return jnp.sum(weights * jnp.sum(centred_points**2, axis=-1), axis=-1)


def _collapsed(variance: jax.Array, centre: jax.Array) -> jax.Array:
    """Whether a cloud's extent [...] is within the rounding of its centroid."""
    rounding = 8 * jnp.finfo(variance.dtype).eps
    return variance <= rounding**2 * jnp.sum(centre**2, axis=-1)
