"""The skin of the neutral head as a mesh: rings around eyes and mouth, a grid elsewhere.

Half of it is triangulated in the plane of (azimuth, distance from the crown), where eyes are holes
and the closed mouth is opened to a slit; the other half is the mirror image.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial import Delaunay, cKDTree

from facejax.data.synthetic import features, surface

EYE_RINGS = (0.0, 1.5, 3.6, 6.4, 10.0)  # mm from the lids' margin
LIP_SHARES = (0.0, 0.25, 0.55, 0.85, 1.0)  # of the way from the seam to the border
MOUTH_RINGS = (2.2, 5.0, 9.0)  # mm outside the lips
FAR = 14.0  # mm: the eye distance of skin beyond the rings
_PLANE = 70.0  # mm per radian of azimuth
_SLIT = 4.0  # mm: half the opening of the mouth in the plane


class Skin(NamedTuple):
    """Vertices with what the sculptor knows of them."""

    points: np.ndarray  # [n, 3] mm
    plane: np.ndarray  # [n, 2] where it lies in the plane of triangulation
    eye_distance: np.ndarray  # [n] mm from the lids' margin, FAR beyond the rings
    lip: np.ndarray  # [n] +1 upper lip, -1 lower lip, 0 elsewhere and at the corners
    lip_share: np.ndarray  # [n] of the way from the seam to the border, -1 off the lips
    upper_lid: np.ndarray  # [n] bool: on the rings, above the eye


def half() -> tuple[Skin, np.ndarray]:
    """Returns the half with x >= 0: its vertices and its triangles [f, 3]."""
    eye, eye_hole = _eye()
    mouth, mouth_hole, mouth_rim = _mouth()
    rings = _concatenate([eye, mouth, _make(*features.BROW.T)])
    grid = _without(_concatenate([_nose_grid(), _head_grid()]), rings, eye_hole, mouth_rim)
    skin = _concatenate([rings, grid])
    faces = Delaunay(skin.plane).simplices
    middle = skin.plane[faces].mean(1)
    faces = faces[~(_inside(middle, eye.plane[eye_hole[0]]) | _inside(middle, mouth_hole))]
    (ax, ay), (bx, by), (cx, cy) = (skin.plane[faces[:, k]].T for k in range(3))
    turned = (bx - ax) * (cy - ay) > (by - ay) * (cx - ax)
    faces[turned] = faces[turned][:, ::-1]  # counter-clockwise seen from outside
    return _relieve(skin), faces


def _make(x: np.ndarray, y: np.ndarray, **known: np.ndarray) -> Skin:
    """Puts frontal points (x, y) on the loft."""
    azimuth, level = surface.locate(x, y)
    return _address(azimuth, level, x, **known)


def _address(azimuth: np.ndarray, level: np.ndarray, x: np.ndarray, **known: np.ndarray) -> Skin:
    plane = np.stack([azimuth * _PLANE, _descent(level)], -1)
    points = surface.loft(azimuth, level)
    points[np.abs(x) < 1e-9, 0] = 0.0
    far, none, off = np.full(len(x), FAR), np.zeros(len(x)), np.full(len(x), -1.0)
    blank = Skin(points, plane, far, none, off, np.zeros(len(x), bool))
    return blank._replace(**known)


def _descent(level: np.ndarray) -> np.ndarray:
    """Returns the distance from the crown along the front profile, mm."""
    fine = np.linspace(0, surface.LEVELS, 801)
    line = surface.loft(np.zeros_like(fine), fine)
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))]
    return np.interp(level, fine, length)


def _eye() -> tuple[Skin, np.ndarray]:
    """Returns the rings around an eye and the vertex numbers of each ring, [rings, points]."""
    place = (1 - np.cos(np.linspace(0, np.pi, 15))) / 2
    upper, lower = features.lid(place, upper=True), features.lid(place, upper=False)
    margin = np.concatenate([upper, lower[-2:0:-1]])
    is_upper = np.r_[np.ones(len(upper), bool), np.zeros(len(lower) - 2, bool)]
    away = (margin - features.EYE) / np.array([15.0, 8.0]) ** 2
    away /= np.linalg.norm(away, axis=-1, keepdims=True)
    rings = np.concatenate([margin + away * distance for distance in EYE_RINGS])
    count = len(margin)
    skin = _make(
        rings[:, 0],
        rings[:, 1],
        eye_distance=np.repeat(EYE_RINGS, count),
        upper_lid=np.tile(is_upper, len(EYE_RINGS)),
    )
    return skin, np.arange(len(rings)).reshape(len(EYE_RINGS), count)


def _mouth() -> tuple[Skin, np.ndarray, np.ndarray]:
    """Returns lips and rings of half a mouth, the slit and the outermost ring in the plane."""
    x = np.linspace(0, 22.2, 11)
    corner = (np.array([features.MOUTH_WIDTH]), np.array([features.seam(features.MOUTH_WIDTH)]))
    upper, lower = features.upper_border(x), features.lower_border(x)
    line = features.seam(x)
    lips = [(x, line + (border - line) * s) for border in (upper, lower) for s in LIP_SHARES]
    border = np.stack([np.r_[x, corner[0], x[::-1]], np.r_[upper, corner[1], lower[::-1]]], -1)
    away = (border - [0, corner[1][0]]) / np.array([24.0, 12.0]) ** 2
    away /= np.linalg.norm(away, axis=-1, keepdims=True)
    rings = [tuple((border + away * distance).T) for distance in MOUTH_RINGS]
    px, py = (np.concatenate(parts) for parts in zip(*lips, corner, *rings, strict=True))
    side, share = np.zeros(len(px)), np.full(len(px), -1.0)
    num = len(x) * len(LIP_SHARES)
    side[:num], side[num : 2 * num] = 1.0, -1.0
    share[: 2 * num] = np.tile(np.repeat(LIP_SHARES, len(x)), 2)
    skin = _make(px, py, lip=side, lip_share=share)
    around = np.r_[np.tile(np.r_[np.ones(len(x)), 0, -np.ones(len(x))], len(MOUTH_RINGS))]
    sign = np.r_[side[: 2 * num], 0, around]
    closeness = np.exp(-np.maximum(np.abs(py - features.seam(px)) - 8, 0) / 6)
    opening = 1 - np.clip(np.abs(px) / features.MOUTH_WIDTH, 0, 1) ** 2
    skin.plane[:, 1] -= sign * _SLIT * closeness * opening
    first, last = np.arange(len(x)), num + np.arange(len(x))
    slit = skin.plane[np.r_[first, 2 * num, last[::-1]]]
    return skin, slit, skin.plane[-len(border) :]


def _nose_grid() -> Skin:
    y, x = np.meshgrid(np.linspace(8, -47, 20), np.linspace(0, 21, 9), indexing="ij")
    x = x * np.interp(y, [-47, -20, 8], [1.0, 1.0, 0.5])
    return _make(x.ravel(), y.ravel())


def _head_grid() -> Skin:
    """Rows from the crown to the neck, finer in front and on the face."""
    fine = np.linspace(0, surface.LEVELS, 801)
    spacing = np.interp(fine, [0, 2, 3.5, 5, 13.5, 16], [15, 13, 8, 6, 5, 8])
    rows = np.cumsum(np.gradient(_descent(fine)) / spacing)
    levels = np.interp(np.linspace(0, rows[-1], int(rows[-1]) + 1), rows, fine)
    azimuths, all_levels = [], []
    turn = np.linspace(0, np.pi, 601)
    for number, level in enumerate(levels):
        curve = surface.loft(turn, np.full_like(turn, level))
        length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))]
        step = np.interp(turn, [0, 0.9, 1.6, np.pi], [6.0, 6.5, 10.0, 15.0])
        step = np.maximum(step, np.interp(level, [0, 3, 5], [13, 8, 0]))
        count = np.r_[0, np.cumsum(np.diff(length) / step[1:])]
        stops = np.linspace(0, count[-1], max(int(count[-1]) + 1, 3))
        if number % 2 and len(stops) > 3:  # stagger
            stops = np.r_[stops[0], (stops[1:] + stops[:-1]) / 2, stops[-1]]
        azimuths.append(np.interp(stops, count, turn))
        all_levels.append(np.full(len(stops), level))
    azimuth, level = np.concatenate(azimuths), np.concatenate(all_levels)
    return _address(azimuth, level, np.where(azimuth == 0, 0.0, 1.0))


def _without(grid: Skin, rings: Skin, eye_hole: np.ndarray, mouth_rim: np.ndarray) -> Skin:
    """Drops grid points inside the rings, close to them, or close to an earlier grid point."""
    rim = np.concatenate([mouth_rim, [[-9.0, mouth_rim[-1, 1]], [-9.0, mouth_rim[0, 1]]]])
    keep = ~_inside(grid.plane, rings.plane[eye_hole[-1]]) & ~_inside(grid.plane, rim)
    keep &= cKDTree(rings.points).query(grid.points)[0] > 2.6
    nose = np.arange(len(grid.points)) < 180
    near_nose = cKDTree(grid.points[nose & keep]).query(grid.points)[0] < 3.4
    keep &= nose | ~near_nose
    return Skin(*(field[keep] for field in grid))


def _relieve(skin: Skin) -> Skin:
    """Gives the loft its features: sculpted forms, lids on the eyeball, lips."""
    x, y = skin.points[:, 0], skin.points[:, 1]
    points = surface.sculpt(skin.points)
    reach = np.clip(skin.eye_distance / EYE_RINGS[-1], 0, 1)
    share = 1 - reach**1.5 * (2.5 - 1.5 * reach)  # 1 at the margin, 0 beyond the rings
    crease = -0.9 * np.exp(-(((skin.eye_distance - 4.2) / 1.5) ** 2)) * skin.upper_lid
    lid = features.eyeball_depth(x, y) + features.LID_THICKNESS
    points[:, 2] += share * (lid - points[:, 2]) + crease
    relief = features.lip_relief(x, skin.lip_share, skin.lip > 0)
    points[:, 2] += np.where(skin.lip != 0, relief, 0.0)
    return skin._replace(points=points)


def _inside(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Returns whether points [n, 2] lie inside a polygon [m, 2] (even-odd rule)."""
    a, b = polygon, np.roll(polygon, -1, axis=0)
    x, y = points[:, :1], points[:, 1:]
    rises = (a[:, 1] > y) != (b[:, 1] > y)
    slope = (b[:, 0] - a[:, 0]) / np.where(b[:, 1] == a[:, 1], 1.0, b[:, 1] - a[:, 1])
    return np.sum(rises & (x < a[:, 0] + (y - a[:, 1]) * slope), axis=1) % 2 == 1


def _concatenate(parts: list[Skin]) -> Skin:
    return Skin(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))
