"""What a head needs to be a person: hair around it, a neck and shoulders below it.

Both meshes have the same topology for everyone. Hair is fastened to the head. The neck's top goes
with the head and its foot with the shoulders.
"""

import numpy as np

from facejax.data.synthetic import look, surface
from facejax.data.synthetic.template import grid_faces

STRANDS, STRAND_ROWS = 73, 22  # around the head (first and last coincide, at the back) and along
BUN_RINGS, BUN_SPOKES = 7, 14
BODY_COLUMNS = 36
AXIS_Z = -75.0  # mm: the head's vertical axis

# The neck and shoulders: y, half-width, half-depth and z of each ring (mm), and how much of it
# goes with the head.
_BODY = np.array(
    [
        [-50, 44, 47, -78, 1.0],
        [-66, 46, 48, -77, 0.95],
        [-86, 47, 48, -76, 0.75],
        [-106, 49, 50, -75, 0.45],
        [-122, 54, 52, -75, 0.2],
        [-134, 68, 55, -76, 0.05],
        [-143, 98, 58, -76, 0.0],
        [-152, 132, 62, -76, 0.0],
        [-166, 165, 68, -74, 0.0],
        [-190, 186, 76, -70, 0.0],
        [-240, 196, 84, -66, 0.0],
        [-330, 196, 88, -64, 0.0],
    ]
)  # fmt: skip


def hair_faces() -> np.ndarray:
    """Returns the triangles of the hair and of the bun behind it, [F, 3]."""
    cap = grid_faces(STRAND_ROWS, STRANDS)
    bun = grid_faces(BUN_RINGS, BUN_SPOKES + 1) + STRANDS * STRAND_ROWS
    return np.concatenate([cap, bun])


def hair(person: look.Look) -> tuple[np.ndarray, np.ndarray]:
    """Returns the hair of the neutral head [n, 3] and its texture coordinates [n, 3].

    The coordinates are azimuth (rad), share of the strand from the crown (0) to the tip (1), and
    length from the crown in mm.
    """
    azimuth = np.linspace(-np.pi, np.pi, STRANDS)
    top, side, hang, wave, parting, bun = np.asarray(person.hair_shape)
    phase = np.asarray(person.phase)
    ends = np.interp(np.abs(azimuth), look.AZIMUTHS, np.asarray(person.hair_ends))
    ends = ends + 5.0 * parting * np.sin(azimuth) * (np.abs(azimuth) < 1.2)
    fringe = np.clip((58 - ends) / 15, 0.15, 1)  # hair that hangs free ends raggedly
    jag = fringe * np.sin(azimuth * 17 + phase[0]) + fringe * np.sin(azimuth * 29 + phase[1])
    ends = ends + jag * (1.2 + 0.6 * wave)
    rows = [
        _strand(a, end, hang, np.array([top, side]), wave, phase)
        for a, end in zip(azimuth, ends, strict=True)
    ]
    points = np.stack([row[0] for row in rows], axis=1).reshape(-1, 3)
    place = np.stack([row[1] for row in rows], axis=1).reshape(-1, 3)
    knot, knot_place = _bun(float(bun), phase)
    return np.concatenate([points, knot]), np.concatenate([place, knot_place])


def _strand(
    azimuth: float, end: float, hang: float, thick: np.ndarray, wave: float, phase: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One column of the hair: down the skull, then hanging as far as y = end."""
    level = np.linspace(0, surface.LEVELS, 161)
    curve = surface.loft(np.full_like(level, abs(azimuth)), level)
    curve[:, 0] *= np.sign(azimuth)
    # Below the widest place, hair may fall straight instead of following the neck.
    radius = np.hypot(curve[:, 0], curve[:, 2] - AXIS_Z)
    wider = np.maximum.accumulate(np.where(curve[:, 1] > -70, radius, 0))
    swell = 1 + hang * (wider / np.maximum(radius, 1e-6) - 1)
    curve[:, 0] *= swell
    curve[:, 2] = AXIS_Z + (curve[:, 2] - AXIS_Z) * swell
    below = np.minimum(curve[-1, 1] - 1, -110.0)
    tail = np.linspace(below, -180, 8)
    curve = np.concatenate(
        [curve, np.stack([curve[-1, 0] + 0 * tail, tail, curve[-1, 2] + 0 * tail], -1)]
    )
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))]
    # The strand ends where it first comes below `end`.
    reach = length[np.argmax(curve[:, 1] <= end)]
    share = np.linspace(0, 1, STRAND_ROWS) ** 0.9
    at = share * reach
    points = np.stack([np.interp(at, length, curve[:, k]) for k in range(3)], -1)
    return points + _lift(points, share, azimuth, thick, wave, phase), np.stack(
        [np.full_like(share, azimuth), share, at], -1
    )


def _lift(
    points: np.ndarray,
    share: np.ndarray,
    azimuth: float,
    thick: np.ndarray,
    wave: float,
    phase: np.ndarray,
) -> np.ndarray:
    """Returns how far the hair stands off the skull, [rows, 3] mm."""
    x, y, z = points.T
    high = np.maximum(y - 30, 0)
    away = np.stack([x / 76**2, high / 95**2, (z - AXIS_Z) / 92**2], -1)
    away /= np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-9)
    on_top = np.clip((y - 20) / 75, 0, 1)
    amount = thick[1] + (thick[0] - thick[1]) * on_top**1.3
    front = np.exp(-((azimuth / 0.9) ** 2))
    amount = amount * (1 - share**6 * np.where(y > -60, 0.75, 0.35)) * (1 + 0.25 * front * share)
    ripple = np.sin(azimuth * 9 + y / 11 + phase[2]) + np.sin(azimuth * 14 - y / 8 + phase[3])
    return away * np.maximum(amount + wave * ripple * np.clip(share * 3, 0, 1), 1.2)[:, None]


def _bun(size: float, phase: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A knot on the back of the head; without one, a point inside it."""
    polar = np.repeat(np.linspace(0, np.pi, BUN_RINGS), BUN_SPOKES + 1)
    turn = np.tile(np.linspace(0, 2 * np.pi, BUN_SPOKES + 1), BUN_RINGS)
    ball = np.stack([np.sin(polar) * np.cos(turn), np.cos(polar), np.sin(polar) * np.sin(turn)], -1)
    wound = 1 + 0.06 * np.sin(4 * turn + phase[4])[:, None]
    centre = np.array([0.0, 112.0, -132.0])
    points = centre * size + np.array([0, 0, -80.0]) * (1 - size) + 36.0 * size * ball * wound
    return points, np.stack([turn, polar / np.pi, 40 * polar], -1)


def body_faces() -> np.ndarray:
    """Returns the triangles of neck and shoulders, [F, 3]."""
    return grid_faces(len(_BODY), BODY_COLUMNS, closed=True)


def body(person: look.Look) -> tuple[np.ndarray, np.ndarray]:
    """Returns neck and shoulders under the neutral head [n, 3], and its share in them [n]."""
    turn = np.linspace(0, 2 * np.pi, BODY_COLUMNS, endpoint=False)[None]
    y, width, depth, z, share = (column[:, None] for column in _BODY.T)
    neck, shoulders = np.asarray(person.build)
    wide = np.clip((-y - 121) / 40, 0, 1)
    width = width * (neck * (1 - wide) + shoulders * wide)
    depth = depth * (neck * (1 - wide) + wide)
    x = width * np.sin(turn)
    ahead = np.cos(turn)
    drop = -14.0 * wide * np.clip(np.abs(x) / 150, 0, 1) ** 2
    # The collar bones and the neck's two cords.
    cords = 2.5 * np.exp(-(((np.abs(x) - 26) / 9) ** 2)) * (1 - wide) * (ahead > 0)
    points = np.stack(np.broadcast_arrays(x, y + drop, z + depth * ahead + cords), -1)
    return points.reshape(-1, 3), np.broadcast_to(share, x.shape).ravel()
