"""Position maps: a face mesh as an image of the unit square whose pixels hold where it is.

After Feng et al. 2018 (PRNet, arXiv:1803.07835), over a layout of our own (`uv_layout`): a map
[S, S, 3] holds at each pixel the place, in whatever frame and unit the vertices have, of the point
of the mesh that lies there. Where no triangle lies it repeats the nearest pixel that is covered, so
that bilinear samples at the rim are right. A map is linear in the vertices; holes of the mesh
(eyes, mouth) are covered by membranes.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage
from scipy.spatial import Delaunay

from facejax import checks
from facejax.geometry.mesh import mesh_topology
from facejax.geometry.rasterize import Fragments, fragments, interpolate, rasterize
from facejax.geometry.texture import sample_texture
from facejax.geometry.uv_layout import uv_layout

LANDMARK_WEIGHT, FEATURE_WEIGHT, FACE_WEIGHT = 16.0, 4.0, 3.0  # PRNet's; 0 beside the mesh
FEATURES = (range(27, 36), range(36, 42), range(42, 48), range(48, 68))  # nose, eyes, mouth
FEATURE_MARGIN = 1.25  # of a feature's hull about its middle


class MapLayout(NamedTuple):
    """One mesh over the pixels of a map, prepared once. A tree of arrays."""

    uv: Any  # [V + Q, 2] of vertices, then of the middles of Q closed holes
    middle: Any  # [Q, V]: weights of the vertices in those
    landmarks: Any  # [N, 2] where the landmarks lie, u and v
    triangle: Any  # [S, S] int32: of the closed mesh, of the nearest covered pixel
    barycentric: Any  # [S, S, 3]
    faces: Any  # [3, F'] int32 of the closed mesh: one row a corner
    covered: Any  # [S, S] bool
    weight: Any  # [S, S]: of errors; mean 1 over the covered pixels, 0 beside them


def map_layout(mean: np.ndarray, faces: np.ndarray, landmarks: np.ndarray, size: int) -> MapLayout:
    """Returns the layout of a mesh for maps of S x S pixels, in numpy.

    Args:
      mean: [V, 3] mean shape, model frame.
      faces: [F, 3].
      landmarks: [N] vertex numbers, the first 68 those of iBUG.
      size: S.

    Raises:
      ValueError: see `uv_layout`.
    """
    flat = uv_layout(np.asarray(mean), np.asarray(faces))
    topology = mesh_topology(flat.faces, len(flat.uv))
    screen = jnp.asarray(np.c_[flat.uv * size, np.zeros(len(flat.uv))], jnp.float32)
    seen = jax.tree.map(
        np.asarray, fragments(screen, topology, rasterize(screen, topology, size, size))
    )
    covered = seen.mask
    row, column = scipy.ndimage.distance_transform_edt(
        ~covered, return_distances=False, return_indices=True
    )
    places = flat.uv[np.asarray(landmarks)]
    return MapLayout(
        uv=flat.uv,
        middle=flat.middle,
        landmarks=places,
        triangle=seen.triangle_id[row, column],
        barycentric=seen.barycentric[row, column],
        faces=topology.faces,
        covered=covered,
        weight=_weights(covered, places, row, column),
    )


def position_map(vertices: jax.Array, layout: MapLayout) -> jax.Array:
    """Returns the map of a mesh, [..., S, S, C].

    Args:
      vertices: [..., V, C] places, or anything else that vertices carry.
      layout: of the mesh.
    """
    checks.shapes(vertices=(vertices, "... V C"), middle=(layout.middle, "Q V"))
    middles = jnp.einsum("qv,...vc->...qc", layout.middle, vertices, precision="highest")
    whole = jnp.concatenate([vertices, middles], axis=-2)
    batch = whole.shape[:-2]

    def spread(table: jax.Array) -> jax.Array:
        return jnp.broadcast_to(table, (*batch, *table.shape))

    triangle = jnp.asarray(layout.triangle)
    everywhere = jnp.ones(triangle.shape, bool)
    flat = (triangle, jnp.asarray(layout.barycentric), everywhere * 0.0, everywhere)
    seen = Fragments(*(spread(jnp.asarray(part)) for part in flat))
    # No corner table is read by `interpolate` beyond its number of rows.
    topology = mesh_topology(np.zeros((0, 3), np.int32), whole.shape[-2])
    return interpolate(whole, topology._replace(faces=layout.faces), seen)


def sample(position: jax.Array, uv: jax.Array) -> jax.Array:
    """Returns what a map [..., S, S, C] holds at places uv [N, 2], bilinearly: [..., N, C]."""
    checks.shapes(position=(position, "... S S C"), uv=(uv, "N 2"))
    places = jnp.broadcast_to(jnp.asarray(uv), (*position.shape[:-3], 1, *uv.shape))
    return sample_texture(position, places)[..., 0, :, :]


def vertices_of(position: jax.Array, layout: MapLayout) -> jax.Array:
    """Returns the mesh's vertices from its map, [..., V, C]: the inverse of `position_map`.

    Exact up to the map's resolution; vertices that no triangle names get the middle of the map.
    """
    return sample(position, layout.uv[: layout.middle.shape[-1]])


def landmarks_of(position: jax.Array, layout: MapLayout) -> jax.Array:
    """Returns the landmarks from a map, [..., N, C]."""
    return sample(position, layout.landmarks)


def map_mesh(covered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mesh whose vertices are a map's covered pixels.

    Two triangles between any four neighbours, one where only three are covered; counter-clockwise
    seen from outside, as the layout's own.

    Args:
      covered: [H, W] bool.

    Returns:
      Pixel numbers row * W + column [P], and faces [F, 3] over them, both int32.
    """
    checks.shapes(covered=(covered, "H W"))
    number = np.full(covered.shape, -1, np.int32)
    number[covered] = np.arange(covered.sum())
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    corners = [(a, c, b), (b, c, d), (a, c, d), (a, d, b)]
    whole = (a >= 0) & (b >= 0) & (c >= 0) & (d >= 0)
    faces = [np.stack(three, -1)[whole] for three in corners[:2]]
    for three in corners:  # three of four
        there = np.logical_and.reduce([corner >= 0 for corner in three]) & ~whole
        faces.append(np.stack(three, -1)[there])
    return np.flatnonzero(covered).astype(np.int32), np.concatenate(faces).astype(np.int32)


def _weights(
    covered: np.ndarray, landmarks: np.ndarray, row: np.ndarray, column: np.ndarray
) -> np.ndarray:
    """How much the pixels' errors count, [S, S]: 16 : 4 : 3 : 0 as in PRNet, over our own layout.

    Landmarks' pixels, then those of nose, eyes and mouth, then the rest of the mesh. `row` and
    `column` name the covered pixel nearest to each.
    """
    size = len(covered)
    weight = np.where(covered, FACE_WEIGHT, 0.0)
    down, across = np.indices(covered.shape)
    centre = (np.stack([across, down], -1) + 0.5) / size
    for numbers in FEATURES:
        points = landmarks[list(numbers)]
        hull = points.mean(0) + FEATURE_MARGIN * (points - points.mean(0))
        weight[covered & (Delaunay(hull).find_simplex(centre) >= 0)] = FEATURE_WEIGHT
    across, down = np.clip((landmarks[:68] * size).astype(int), 0, size - 1).T
    weight[row[down, across], column[down, across]] = LANDMARK_WEIGHT
    return (weight / weight[covered].mean()).astype(np.float32)
