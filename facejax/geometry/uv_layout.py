"""A place in the unit square for every vertex of a face mesh, without folds.

The outer rim of the largest piece goes onto a circle, holes (eyes, mouth) are closed by a vertex in
their middle, and every other vertex is a weighted mean of its neighbours: a Tutte embedding, which
has no folds whatever the surface does (Tutte 1963; mean value weights of Floater 2003, "Mean value
coordinates"), so lips that roll inwards unroll. Smaller pieces, as ears, go into the corners.
Computed with numpy and scipy on the host, once a mesh.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
import scipy.sparse.linalg

from facejax import checks

RADIUS = 0.49  # of the circle around the middle of the square
CORNERS = ((0.08, 0.92), (0.92, 0.92), (0.08, 0.08), (0.92, 0.08))  # of smaller pieces
CORNER_RADIUS = 0.07
LEAST_WEIGHT = 1e-3  # of a neighbour, over the largest: no vertex sticks to another


class UvLayout(NamedTuple):
    """A mesh with its holes closed, and where its vertices lie in the unit square."""

    uv: np.ndarray  # [V + Q, 2] float32, u to the right, v downwards
    faces: np.ndarray  # [F', 3] int32 over V + Q vertices: those of the mesh, then of its Q holes
    middle: np.ndarray  # [Q, V] float32: weights of the mesh's vertices in the holes' middles


def uv_layout(vertices: np.ndarray, faces: np.ndarray) -> UvLayout:
    """Returns the layout of a mesh in one or a few pieces, each with a rim.

    Args:
      vertices: [V, 3] the mean shape, model frame: y up, so that the top of the head has v = 0.
      faces: [F, 3]; vertices that no face names get the middle of the square.

    Raises:
      ValueError: a piece has no rim; more pieces than corners; or a mesh that is no surface.
    """
    checks.shapes(vertices=(vertices, "V 3"), faces=(faces, "F 3"))
    vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces, np.int64)
    uv = np.full((len(vertices), 2), 0.5)
    all_faces, middles, middle_uv = [faces], [], []  # type: ignore[var-annotated]
    for number, piece in enumerate(_pieces(faces, len(vertices))):
        rings = sorted(boundary_loops(piece), key=lambda ring: -_length(vertices[ring]))
        if not rings or number > len(CORNERS):
            raise ValueError(f"piece {number} of the mesh has {len(rings)} rims; due: 1 or more")
        rim, holes = rings[0], rings[1:]
        closing, weights = _closed(holes, len(vertices), len(middles))
        middles += weights
        whole = np.concatenate([piece, *closing])
        points = np.concatenate([vertices, np.stack(middles) @ vertices]) if middles else vertices
        circle = _circle(points, rim, _place(vertices[piece].mean((0, 1)), number))
        placed = _embedded(points, whole, rim, circle)
        used = np.unique(piece)
        uv[used] = placed[used]
        middle_uv += [
            placed[len(vertices) + len(middles) - len(holes) + k] for k in range(len(holes))
        ]
        all_faces += closing
    middle = np.stack(middles) if middles else np.zeros((0, len(vertices)))
    return UvLayout(
        np.concatenate([uv, np.reshape(middle_uv, (-1, 2))]).astype(np.float32),
        np.concatenate(all_faces).astype(np.int32),
        middle.astype(np.float32),
    )


def boundary_loops(faces: np.ndarray) -> list[np.ndarray]:
    """Returns the rims of a mesh, each as vertex numbers in the order of its triangles' sides.

    Raises:
      ValueError: rims touch or cross, so that they are no rings.
    """
    sides = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    there = {(int(a), int(b)) for a, b in sides}
    after: dict[int, int] = {}
    for a, b in there:
        if (b, a) not in there:
            if a in after:
                raise ValueError(f"rims of the mesh touch at vertex {a}; due: separate rings")
            after[a] = b
    loops = []
    while after:
        start, at = next(iter(after.items()))
        loop = [start]
        del after[start]
        while at != start:
            loop.append(at)
            at = after.pop(at)
        loops.append(np.array(loop))
    return loops


def _pieces(faces: np.ndarray, count: int) -> list[np.ndarray]:
    """The connected parts of a mesh, that of most triangles first."""
    ends = np.concatenate([faces[:, :2], faces[:, 1:]]).T
    graph = scipy.sparse.coo_matrix((np.ones(ends.shape[1]), ends), (count, count))
    label = scipy.sparse.csgraph.connected_components(graph, directed=False)[1][faces[:, 0]]
    names, sizes = np.unique(label, return_counts=True)
    return [faces[label == name] for name in names[np.argsort(-sizes, kind="stable")]]


def _length(ring: np.ndarray) -> float:
    return float(np.linalg.norm(ring - np.roll(ring, 1, axis=0), axis=-1).sum())


def _closed(holes: list[np.ndarray], count: int, before: int) -> tuple[list, list]:
    """Fans over the holes, whose middles are numbered after `count` and `before` others."""
    fans, weights = [], []
    for number, ring in enumerate(holes):
        middle = np.full(len(ring), count + before + number)
        fans.append(np.stack([np.roll(ring, -1), ring, middle], axis=-1))
        weights.append(np.bincount(ring, minlength=count) / len(ring))
    return fans, weights


def _place(middle: np.ndarray, number: int) -> tuple[np.ndarray, float]:
    """Centre and radius of a piece: the square's middle, or the corner on its side of the head."""
    if number == 0:
        return np.array([0.5, 0.5]), RADIUS
    column = 0 if middle[0] < 0 else 1
    return np.array(CORNERS[column + 2 * ((number - 1) // 2)]), CORNER_RADIUS


def _circle(points: np.ndarray, rim: np.ndarray, place: tuple[np.ndarray, float]) -> np.ndarray:
    """Where the rim lies on its circle, [R, 2]: by its length, its highest middle point on top."""
    ring = points[rim]
    steps = np.linalg.norm(np.roll(ring, -1, axis=0) - ring, axis=-1)
    turn = np.concatenate([[0], np.cumsum(steps)[:-1]]) / steps.sum() * 2 * np.pi
    middle = np.abs(ring[:, 0] - ring[:, 0].mean()) <= 0.05 * np.ptp(ring[:, 0])
    top = np.flatnonzero(middle)[np.argmax(ring[middle, 1])]
    # Triangles are counter-clockwise seen from outside, so their rim runs counter-clockwise too.
    angle = turn - turn[top] + np.pi / 2
    centre, radius = place
    return centre + radius * np.stack([np.cos(angle), -np.sin(angle)], axis=-1)


def _embedded(
    points: np.ndarray, faces: np.ndarray, rim: np.ndarray, circle: np.ndarray
) -> np.ndarray:
    """Every vertex as the weighted mean of its neighbours, with the rim held: [n, 2]."""
    weights = _mean_value_weights(points, faces)
    used = np.unique(faces)
    inner = np.setdiff1d(used, rim)
    placed = np.full((len(points), 2), 0.5)
    placed[rim] = circle
    total = scipy.sparse.diags(np.asarray(weights.sum(axis=1)).ravel())
    system = (total - weights).tocsr()
    right = -system[inner][:, rim] @ circle
    placed[inner] = scipy.sparse.linalg.spsolve(system[inner][:, inner].tocsc(), right)
    return placed


def _mean_value_weights(points: np.ndarray, faces: np.ndarray) -> scipy.sparse.csr_matrix:
    """w_ij = (tan(a / 2) + tan(b / 2)) / |i - j|, a and b the angles at i beside the edge."""
    rows, columns, values = [], [], []
    for k in range(3):
        at, one, other = (faces[:, (k + step) % 3] for step in range(3))
        u, v = points[one] - points[at], points[other] - points[at]
        length_u, length_v = (np.maximum(np.linalg.norm(x, axis=-1), 1e-9) for x in (u, v))
        cosine = np.clip(np.sum(u * v, axis=-1) / (length_u * length_v), -1 + 1e-6, 1)
        tangent = np.sqrt((1 - cosine) / (1 + cosine))
        rows += [at, at]
        columns += [one, other]
        values += [tangent / length_u, tangent / length_v]
    count = len(points)
    index = (np.concatenate(rows), np.concatenate(columns))
    weights = scipy.sparse.coo_matrix((np.concatenate(values), index), (count, count)).tocsr()
    largest = np.maximum(weights.max(axis=1).toarray().ravel(), 1e-12)
    at = np.repeat(np.arange(count), np.diff(weights.indptr))
    weights.data = np.maximum(weights.data, LEAST_WEIGHT * largest[at])
    return weights
