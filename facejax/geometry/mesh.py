"""Triangle meshes: which vertices, edges and corners belong together.

Prepared once per mesh on the host; every array is then an ordinary argument of compiled functions.
"""

from typing import NamedTuple

import jax
import numpy as np

from facejax import checks


class MeshTopology(NamedTuple):
    """The connectivity of one mesh.

    A corner is a (triangle, place) pair, numbered place * F + triangle, so that corner c of the
    flattened `faces` is one vertex of triangle c % F.
    """

    faces: jax.Array | np.ndarray  # [3, F] int32: one row per corner
    edges: jax.Array | np.ndarray  # [2, E] int32: each edge once, lower vertex first
    edge_opposite: jax.Array | np.ndarray  # [2, E] int32: third vertices of its triangles, -1 none
    corner_table: jax.Array | np.ndarray  # [V, D] int32: the corners at each vertex, padded with -1


def mesh_topology(faces: np.ndarray, num_vertices: int) -> MeshTopology:
    """Returns the connectivity of a mesh, computed with numpy on the host.

    The width D of the corner table is the largest number of triangles that meet at one vertex (at
    least 1). An edge that more than two triangles share keeps the first two.

    Args:
      faces: [F, 3] vertex numbers; F may be 0. Counter-clockwise seen from outside.
      num_vertices: V.

    Raises:
      ValueError: wrong shape, or a vertex number outside [0, V).
    """
    checks.shapes(faces=(faces, "F 3"))
    corners = np.ascontiguousarray(np.asarray(faces).T, dtype=np.int32)
    if corners.size and not 0 <= corners.min() <= corners.max() < num_vertices:
        raise ValueError(
            f"faces name vertices {corners.min()} to {corners.max()}; due: 0 to {num_vertices - 1}"
        )
    edges, edge_opposite = _edges(corners)
    return MeshTopology(corners, edges, edge_opposite, _corner_table(corners, num_vertices))


def _edges(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns edges [2, E] and the vertices opposite them [2, E]."""
    a, b, c = corners
    ends = np.sort(np.stack([np.r_[b, c, a], np.r_[c, a, b]]), axis=0)
    edges, owner = np.unique(ends, axis=1, return_inverse=True)
    rank = _rank_in_group(owner.ravel())
    opposite = np.full(edges.shape, -1, np.int32)
    kept = rank < 2
    opposite[rank[kept], owner.ravel()[kept]] = corners.ravel()[kept]
    return edges.astype(np.int32), opposite


def _corner_table(corners: np.ndarray, num_vertices: int) -> np.ndarray:
    """Returns the corners at each vertex, [V, D], -1 where there are fewer than D."""
    vertex = corners.ravel()
    rank = _rank_in_group(vertex)
    table = np.full((num_vertices, int(rank.max(initial=0)) + 1), -1, np.int32)
    table[vertex, rank] = np.arange(vertex.size, dtype=np.int32)
    return table


def _rank_in_group(group: np.ndarray) -> np.ndarray:
    """Returns for each element how many equal ones stand before it."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    first = np.searchsorted(ordered, ordered, side="left")
    rank = np.empty_like(order)
    rank[order] = np.arange(group.size) - first
    return rank
