"""The neutral head, whole: skin, eyeballs, mouth and ears in one mesh, with its landmarks."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from facejax.data.synthetic import features, skin

SKIN, EYE, MOUTH, TEETH = range(4)  # parts, by triangle
NUM_POINTS = 320  # dense points

# Where the iBUG landmarks of one side (x >= 0) are sought, mm.
_JAW = [[68, -8, -50], [67, -24, -51], [65, -39, -50], [61, -55, -46], [55, -69, -38],
        [46, -83, -22], [36, -93, -8], [20, -102, 6], [0, -105, 12]]  # fmt: skip
_NOSE = [[0, 5], [0, -7], [0, -19], [0, -28.5]]
_NOSTRILS = [[12.0, -39.5], [6.2, -42], [0, -43]]


class Template(NamedTuple):
    """The neutral head. Rows of the first six belong to vertices."""

    vertices: np.ndarray  # [V, 3] mm
    eye_distance: np.ndarray  # [V] mm from the lids' margin on the skin, skin.FAR elsewhere
    lip: np.ndarray  # [V] +1 upper lip and what hangs on the skull, -1 lower lip and on the jaw
    lip_share: np.ndarray  # [V] of the way from the seam to the lip's border, -1 off the lips
    upper_lid: np.ndarray  # [V] bool
    inside: np.ndarray  # [V] 0 skin, else the part (EYE, MOUTH, TEETH)
    faces: np.ndarray  # [F, 3] int32
    part: np.ndarray  # [F] int32
    landmarks: np.ndarray  # [70] int32
    points: np.ndarray  # [NUM_POINTS] int32


class _Piece(NamedTuple):
    """One of the meshes that make up the head; fields as in Template."""

    vertices: np.ndarray
    eye_distance: np.ndarray
    lip: np.ndarray
    lip_share: np.ndarray
    upper_lid: np.ndarray
    faces: np.ndarray
    part: int


def build() -> Template:
    """Returns the template; the same at every call."""
    pieces = [_skin(), *_both(_eyeball()), *_both(_ear()), *_mouth()]
    counts = [len(piece.vertices) for piece in pieces]
    starts = np.cumsum([0, *counts[:-1]])
    faces = [piece.faces + start for piece, start in zip(pieces, starts, strict=True)]
    parts = np.array([piece.part for piece in pieces])
    head = Template(
        vertices=np.concatenate([piece.vertices for piece in pieces]),
        eye_distance=np.concatenate([piece.eye_distance for piece in pieces]),
        lip=np.concatenate([piece.lip for piece in pieces]),
        lip_share=np.concatenate([piece.lip_share for piece in pieces]),
        upper_lid=np.concatenate([piece.upper_lid for piece in pieces]),
        inside=np.repeat(parts, counts),
        faces=np.concatenate(faces).astype(np.int32),
        part=np.repeat(parts, [len(face) for face in faces]).astype(np.int32),
        landmarks=np.empty(0, np.int32),
        points=np.empty(0, np.int32),
    )
    pupils = starts[[2, 1]]  # the first vertex of the left-hand (x < 0), then of the other eyeball
    landmarks = np.r_[_landmarks(head), pupils].astype(np.int32)
    points = _dense(head.vertices[: counts[0]], landmarks[:68]).astype(np.int32)
    return head._replace(landmarks=landmarks, points=points)


def _skin() -> _Piece:
    half, faces = skin.half()
    off = np.flatnonzero(half.points[:, 0] > 1e-6)
    twin = np.arange(len(half.points))
    twin[off] = len(half.points) + np.arange(len(off))
    points = np.concatenate([half.points, half.points[off] * [-1, 1, 1]])
    distance, lip, share, upper = (np.r_[field, field[off]] for field in half[2:])
    faces = np.concatenate([faces, twin[faces][:, ::-1]])
    # The rows of the crown and the back are one point each; what they span has no area.
    key = np.c_[points.round(6), lip]  # but the lips, which may touch, stay apart
    _, first, same = np.unique(key, axis=0, return_index=True, return_inverse=True)
    faces = first[same.ravel()][faces]
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    used, faces = np.unique(faces, return_inverse=True)
    points, distance, lip, share, upper = (f[used] for f in (points, distance, lip, share, upper))
    return _Piece(points, distance, lip, share, upper, faces.reshape(-1, 3), SKIN)


def _plain(
    points: np.ndarray, faces: np.ndarray, part: int, side: np.ndarray | float = 0
) -> _Piece:
    n = len(points)
    lip = np.broadcast_to(side, n).astype(float)
    return _Piece(
        points, np.full(n, skin.FAR), lip, np.full(n, -1.0), np.zeros(n, bool), faces, part
    )


def _both(piece: _Piece) -> tuple[_Piece, _Piece]:
    """Returns the piece with x > 0 and its mirror image."""
    mirrored = piece.vertices * [-1, 1, 1]
    return piece, piece._replace(vertices=mirrored, faces=piece.faces[:, ::-1])


def grid_faces(rows: int, columns: int, *, closed: bool = False) -> np.ndarray:
    """Returns triangles of a grid of vertices, row by row; `closed` joins the last column to 0."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns - (not closed)), indexing="ij")
    right = (j + 1) % columns
    a, b, c, d = (r * columns + q for r, q in ((i, j), (i, right), (i + 1, j), (i + 1, right)))
    return np.stack([np.stack([a, c, b], -1), np.stack([b, c, d], -1)]).reshape(-1, 3)


def _disc(rings: int, spokes: int) -> np.ndarray:
    """Returns triangles of a centre (vertex 0) and rings of vertices around it."""
    k = np.arange(spokes)
    fan = np.stack([np.zeros_like(k), 1 + k, 1 + (k + 1) % spokes], -1)
    return np.concatenate([fan, 1 + grid_faces(rings, spokes, closed=True)])


def _eyeball() -> _Piece:
    radius = np.array([0.12, 0.25, 0.38, 0.52, 0.66, 0.8, 0.91, 0.975])
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    out = np.r_[0, np.repeat(radius, len(turn))]
    angle = np.r_[0, np.tile(turn, len(radius))]
    x = features.EYEBALL[0] + features.EYEBALL_RADII[0] * out * np.cos(angle)
    y = features.EYEBALL[1] + features.EYEBALL_RADII[1] * out * np.sin(angle)
    points = np.stack([x, y, features.eyeball_depth(x, y)], -1)
    return _plain(points, _disc(len(radius), len(turn)), EYE)


def _ear() -> _Piece:
    """A dished leaf that leans out and back from the side of the head."""
    radius, turn = np.linspace(0.2, 1, 6), np.linspace(0, 2 * np.pi, 20, endpoint=False)
    out = np.r_[0, np.repeat(radius, len(turn))]
    angle = np.r_[0, np.tile(turn, len(radius))]
    up, back = np.sin(angle) * out, -np.cos(angle) * out  # back = -1 at the attachment
    height = np.where(up > 0, 26.0, 29.0) * up
    width = (15.5 + 3.5 * np.sin(angle)) * back
    dish = 5.5 * out**2 - 4.0 * (out > 0.95) + 1.5 * np.exp(-(((out - 0.72) / 0.12) ** 2))
    root = np.array([70.0, -12.0, -72.0])
    axis_up, axis_back = np.array([0.06, 1.0, -0.14]), np.array([0.36, 0.05, -0.93])
    normal = np.array([0.93, 0.0, 0.36])
    points = root + height[:, None] * axis_up + (width + 12)[:, None] * axis_back
    points += dish[:, None] * normal
    return _plain(points, _disc(len(radius), len(turn))[:, ::-1], SKIN)


def _mouth() -> list[_Piece]:
    """Returns the cavity behind the lips, the upper and the lower teeth."""
    pieces = []
    for half, top, bottom, rows, front, curve, part in (
        (31.0, 10.0, -13.0, 8, 9.0, 0.010, MOUTH),
        (17.5, 5.0, -2.6, 3, 20.0, 0.022, TEETH),
        (16.0, -3.0, -10.0, 3, 18.0, 0.024, TEETH),
    ):
        x = np.tile(np.linspace(-half, half, 15), rows)
        y = np.repeat(np.linspace(top, bottom, rows), 15)
        points = np.stack([x, features.MOUTH_Y + y, front - curve * x**2], -1)
        side = np.clip(y / 10, -1, 1) if part == MOUTH else np.sign(top)
        pieces.append(_plain(points, grid_faces(rows, 15), part, side))
    return pieces


def _landmarks(head: Template) -> np.ndarray:
    """Returns the 68 iBUG landmarks as vertices; the side with x < 0 is the subject's right."""
    vertices, lip = head.vertices, head.lip
    x = vertices[:, 0]
    face = (head.inside == SKIN) & (np.abs(x) < 71)
    border, line = face & (head.lip_share == 1), face & (head.lip_share == 0)
    margin = face & (head.eye_distance == 0)
    jaw, mirrored = np.array(_JAW, float), np.array([-1, 1, 1])
    found = [_nearest(vertices, face, np.r_[jaw[:-1] * mirrored, jaw[-1:], jaw[-2::-1]])]
    place, bow = np.array([0.0, 0.34, 0.68, 1.0]), np.array([-13.32, -6.66, 0.0, 6.66, 13.32])
    lower_lid = features.lid(place[2:0:-1], upper=False)
    eye = np.concatenate([features.lid(place, upper=True), lower_lid])
    across = mirrored[:2]
    end = np.array([[features.MOUTH_WIDTH, features.seam(np.array(features.MOUTH_WIDTH))]])
    nostrils = np.array(_NOSTRILS)
    part = np.array([-17.76, -6.66, 0.0, 6.66, 17.76])
    for mask, target in (
        (face, np.concatenate([features.BROW[::-1] * across, features.BROW])),
        (face & (x == 0), np.array(_NOSE)),
        (face, np.concatenate([nostrils * across, nostrils[-2::-1]])),
        (margin, eye[[3, 2, 1, 0, 5, 4]] * across),
        (margin, eye),
        (face, end * across),
        (border & (lip > 0), np.stack([bow, features.upper_border(bow)], -1)),
        (face, end),
        (border & (lip < 0), np.stack([bow, features.lower_border(bow)], -1)[::-1]),
        (line & (lip > 0), np.stack([part, features.seam(part)], -1)),
        (line & (lip < 0), np.stack([part, features.seam(part)], -1)[3:0:-1]),
    ):
        found.append(_nearest(vertices[:, :2], mask & (vertices[:, 2] > -60), target))
    return np.concatenate(found)


def _nearest(points: np.ndarray, allowed: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Returns for each target the number of the nearest allowed point."""
    numbers = np.flatnonzero(allowed)
    return numbers[cKDTree(points[numbers]).query(targets)[1]]


def _dense(points: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Returns the dense points: the landmarks, then skin of the face spread as far as it goes."""
    allowed = (points[:, 2] > -50) & (points[:, 1] > -107) & (points[:, 1] < 62)
    chosen = list(dict.fromkeys(landmarks.tolist()))
    nearest = np.min(np.linalg.norm(points[:, None] - points[chosen], axis=-1), axis=1)
    while len(chosen) < NUM_POINTS:
        pick = int(np.argmax(np.where(allowed, nearest, -1)))
        chosen.append(pick)
        nearest = np.minimum(nearest, np.linalg.norm(points - points[pick], axis=-1))
    return np.array(chosen)
