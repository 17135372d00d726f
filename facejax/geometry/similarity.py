"""Similarity transforms between point sets: target = scale * rotation @ source + translation.

Points are row vectors [..., N, 3] in any one frame and unit. Umeyama 1991 (IEEE TPAMI 13-4); the
rotation is that of `nearest_rotation`, by SVD or without. Sums over points run over coordinates
laid out [..., 3, N], taken from a point near their centre: long contiguous sums are fast, and
those of small numbers keep their digits.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from facejax import checks
from facejax.geometry.nearest_rotation import nearest_rotation

# Points that a cloud's rough centre is taken from.
SAMPLE = 64


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
    base_source, source = rows(source, weights)
    base_target, target = rows(target, weights)
    centre_source = base_source + mean(source, weights)
    centre_target = base_target + mean(target, weights)
    variance = _variance(source, weights)
    flat_source = _collapsed(variance, centre_source)
    flat = flat_source | _collapsed(_variance(target, weights), centre_target)
    correlation = jnp.where(flat[..., None, None], 0.0, covariance(target, source, weights))
    rotation = nearest_rotation(correlation, method)
    scale = jnp.ones_like(variance)
    if with_scale:
        gain = jnp.sum(rotation * correlation, axis=(-2, -1))
        scale = jnp.where(flat_source, 1.0, gain / jnp.where(flat_source, 1.0, variance))
    turned = jnp.sum(rotation * centre_source[..., None, :], axis=-1)
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


def normalized_weights(weights: jax.Array | None, points: jax.Array) -> jax.Array | None:
    """Returns weights [..., N] that sum to 1, or to 0 where all are 0; None (equal) for None."""
    if weights is None:
        return None
    checks.shapes(points=(points, "... N D"), weights=(weights, "... N"))
    total = jnp.sum(weights, axis=-1, keepdims=True)
    return jnp.broadcast_to(weights / jnp.where(total == 0, 1.0, total), points.shape[:-1])


def rows(points: jax.Array, weights: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Returns a point [..., D] near the centre, and the points' offsets from it, [..., D, N].

    Offsets are zero where the weight is 0. No derivative goes through the point: what is computed
    from both does not depend on its choice.

    Args:
      points: [..., N, D].
      weights: of `normalized_weights`.
    """
    if weights is None:
        stride = max(1, points.shape[-2] // SAMPLE)
        base = jnp.mean(points[..., ::stride, :], axis=-2)
    else:
        points = jnp.where((weights > 0)[..., None], points, 0.0)
        base = jnp.sum(weights[..., None] * points, axis=-2)
    base = jax.lax.stop_gradient(base)
    offsets = jnp.swapaxes(points - base[..., None, :], -1, -2)
    if weights is not None:
        offsets = jnp.where((weights > 0)[..., None, :], offsets, 0.0)
    return base, offsets


def mean(values: jax.Array, weights: jax.Array | None) -> jax.Array:
    """Returns the mean of values [..., D, N] over the points, [..., D].

    Args:
      values: [..., D, N].
      weights: of `normalized_weights`.
    """
    if weights is None:
        return jnp.sum(values, axis=-1) / max(values.shape[-1], 1)
    return jnp.sum(weights[..., None, :] * values, axis=-1)


def covariance(first: jax.Array, second: jax.Array, weights: jax.Array | None) -> jax.Array:
    """Returns the covariance [..., D, E] of rows [..., D, N] and rows [..., E, N]."""
    middle, other = mean(first, weights), mean(second, weights)
    if weights is not None:
        second = weights[..., None, :] * second
    products = jnp.sum(first[..., :, None, :] * second[..., None, :, :], axis=-1)
    if weights is None:
        products = products / max(first.shape[-1], 1)
    return products - middle[..., :, None] * other[..., None, :]


def centred(points: jax.Array) -> jax.Array:
    """Returns points [..., N, D] less their centroid."""
    base, offsets = rows(points, None)
    return points - (base + mean(offsets, None))[..., None, :]


def _variance(offsets: jax.Array, weights: jax.Array | None) -> jax.Array:
    """The mean squared distance [...] from the centroid, of rows [..., D, N]."""
    square = mean(jnp.sum(offsets**2, axis=-2, keepdims=True), weights)[..., 0]
    return square - jnp.sum(mean(offsets, weights) ** 2, axis=-1)


def _collapsed(variance: jax.Array, centre: jax.Array) -> jax.Array:
    """Whether a cloud's extent [...] is within the rounding of its centroid."""
    rounding = 8 * jnp.finfo(variance.dtype).eps
    return variance <= rounding**2 * jnp.sum(centre**2, axis=-1)
