"""Pinhole cameras, and the screen coordinates of other rasterisers.

The camera's axes are the image's: x right, y down, z away from the viewer. Matrices act on column
vectors; points are row vectors in arrays.
"""

import jax
import jax.numpy as jnp

from facejax import checks

NEAR = 1e-2  # in the unit of the vertices


def project_perspective(
    vertices: jax.Array, intrinsics: jax.Array, extrinsics: jax.Array, *, near: float = NEAR
) -> jax.Array:
    """Returns image points [..., V, 3]: x, y in pixels, z the depth along the optical axis.

    z keeps the unit of the vertices: `rasterize` and `fragments` with perspective=True need it for
    weights that are those of the triangle in space. A vertex at depth `near` or less has no image:
    it becomes NaN, its triangles are not drawn (they are dropped, not clipped), and no gradient
    reaches it.

    Args:
      vertices: [..., V, 3] in any frame.
      intrinsics: [..., 3, 3] to pixels; the last row is 0, 0, 1.
      extrinsics: [..., 3, 4] from the vertices' frame to the camera's.
      near: > 0.

    Raises:
      ValueError: wrong shapes, or near is not above 0.
    """
    checks.shapes(
        vertices=(vertices, "... V 3"),
        intrinsics=(intrinsics, "... 3 3"),
        extrinsics=(extrinsics, "... 3 4"),
    )
    if not near > 0:
        raise ValueError(f"near = {near}; due: above 0")
    turned = _times(vertices, extrinsics[..., :3]) + extrinsics[..., None, :, 3]
    depth = turned[..., 2:]
    seen = depth > near
    # Twice where: neither the value nor the gradient divides by a depth near 0.
    flat = turned[..., :2] / jnp.where(seen, depth, 1.0)
    pixels = _times(flat, intrinsics[..., :2, :2]) + intrinsics[..., None, :2, 2]
    return jnp.where(seen, jnp.concatenate([pixels, depth], axis=-1), jnp.nan)


def from_face3d(vertices: jax.Array, height: int) -> jax.Array:
    """Returns image points of vertices as face3d, PRNet and kin take them, [..., V, 3].

    There x counts columns and y rows from the bottom, pixel centres lie at whole numbers, and a
    larger z is nearer.

    Args:
      vertices: [..., V, 3], y up. (After face3d's `to_image`, which turns y down, only the half
        pixel and the sign of z differ: height - 1 - y brings it back.)
      height: of the image in pixels.
    """
    checks.shapes(vertices=(vertices, "... V 3"))
    x, y, z = vertices[..., 0], vertices[..., 1], vertices[..., 2]
    return jnp.stack([x + 0.5, height - 0.5 - y, -z], axis=-1)


def _times(points: jax.Array, matrix: jax.Array) -> jax.Array:
    """The matrix times each of the points [..., V, n]."""
    return jnp.matmul(points, jnp.swapaxes(matrix, -1, -2), precision="highest")
