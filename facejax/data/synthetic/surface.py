"""The neutral head as a surface: a loft through profile curves, then sculpted features.

Frame: the model frame (README), origin midway between the outer eye corners, which are 90 mm apart.
Half the head (x >= 0) is described; the other half is its mirror image. A point is addressed by its
azimuth (0 in front, pi/2 at the ear, pi at the back) and level (0 at the crown, 16 at the neck).
"""

import numpy as np
from scipy.interpolate import CubicSpline

# Rows from the crown to the neck, mm: the slice's front (y, z), side (x, y, z) and back (y, z),
# and the exponent of the front half (2 is an ellipse, more is boxier).
PROFILE = np.array(
    [
        [126, -72, 0, 126, -72, 126, -72, 2.0],
        [122, -38, 42, 116, -76, 119, -112, 2.1],
        [106, -9, 63, 95, -78, 100, -144, 2.2],
        [82, 8, 72, 70, -79, 72, -160, 2.3],
        [60, 14, 75.5, 48, -80, 46, -166, 2.4],
        [40, 18, 76.5, 28, -80, 24, -166, 2.4],
        [20, 19, 76, 10, -79, 2, -160, 2.4],
        [0, 15, 74, -6, -76, -18, -150, 2.45],
        [-20, 16, 71.5, -20, -72, -36, -140, 2.5],
        [-40, 20, 69, -33, -67, -50, -132, 2.45],
        [-56, 23, 66.5, -43, -63, -60, -127, 2.3],
        [-72, 21, 64, -52, -60, -67, -124, 2.0],
        [-88, 18, 61, -60, -57, -72, -122, 1.8],
        [-101, 13, 57, -67, -56, -76, -120, 1.7],
        [-107, 1, 51, -73, -58, -79, -118, 1.65],
        [-107, -20, 45, -79, -62, -82, -116, 1.8],
        [-106, -42, 42, -85, -66, -85, -115, 2.0],
    ]
)
LEVELS = len(PROFILE) - 1
BACK_EXPONENT = 2.1
_SPLINE = CubicSpline(np.arange(LEVELS + 1), PROFILE)

# Centre (x, y, z), radii (x, y, z) and push (x, y, z) of soft brushes, all in mm.
BRUSHES = np.array(
    [
        [33, 1, 10, 13, 9, 40, 0, 0, -6.5],  # eye socket
        [12, -3, 15, 5, 9, 40, 0, 0, -4.0],  # inner corner, beside the bridge
        [34, 19, 10, 16, 6, 40, 0, 0, 3.2],  # brow ridge
        [10, 19, 19, 10, 7, 40, 0, 0, 1.8],  # glabella
        [43, -21, 5, 13, 10, 40, 0, 0, 3.2],  # cheekbone
        [35, -52, 12, 12, 14, 40, 0, 0, -2.0],  # hollow beside the mouth
        [17, -45, 18, 6, 9, 40, 0, 0, 1.5],  # muzzle
        [0, -84, 19, 16, 4.5, 40, 0, 0, -3.0],  # crease above the chin
        [0, -96, 16, 13, 8, 40, 0, 0, 4.0],  # chin
        [60, 16, -34, 12, 18, 16, -3, 0, 0],  # temple
        [58, -68, -42, 12, 12, 20, 2.5, -1, 0],  # angle of the jaw
        [22, 45, 16, 14, 14, 40, 0, 0, 1.2],  # frontal eminence
    ]
)

# The nose: heights above the loft (z) and half-widths at stations down the middle, mm.
NOSE_Y = np.array([14, 6, 0, -8, -16, -22, -27, -31, -35, -39, -42.5, -46, -52])
NOSE_Z = np.array([0.0, 2.0, 5.5, 12.5, 20.0, 25.5, 28.0, 27.5, 23.5, 15.5, 7.5, 2.2, 0.0])
NOSE_W = np.array([8.0, 7.0, 6.3, 6.4, 7.0, 8.0, 9.5, 12.0, 13.5, 13.0, 11.5, 10.0, 9.0])
_NOSE_Z = CubicSpline(NOSE_Y[::-1], NOSE_Z[::-1], bc_type="clamped")
_NOSE_W = CubicSpline(NOSE_Y[::-1], NOSE_W[::-1], bc_type="clamped")


def loft(azimuth: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Returns the smooth base head at (azimuth [n] in [0, pi], level [n]), [n, 3]."""
    front_y, front_z, side_x, side_y, side_z, back_y, back_z, exponent = _SPLINE(level).T
    ahead = azimuth <= np.pi / 2
    power = 2 / np.where(ahead, exponent, BACK_EXPONENT)
    along = np.abs(np.cos(azimuth)) ** power
    out = np.abs(np.sin(azimuth)) ** power
    end_y, end_z = np.where(ahead, front_y, back_y), np.where(ahead, front_z, back_z)
    y = side_y + (end_y - side_y) * along
    z = side_z + (end_z - side_z) * along
    x = np.where(np.isclose(azimuth, np.pi), 0.0, np.maximum(side_x, 0) * out)
    return np.stack([x, y, z], axis=-1)


def locate(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (azimuth, level) of the frontal points of the loft with these x >= 0 and y [n]."""

    def azimuth(level: np.ndarray) -> np.ndarray:
        side, exponent = _SPLINE(level)[:, 2], _SPLINE(level)[:, 7]
        return np.arcsin(np.clip(x / np.maximum(side, 1e-9), 0, 1) ** (exponent / 2))

    low, high = np.full(x.shape, 0.5), np.full(x.shape, 14.0)
    for _ in range(48):  # bisection: y falls with the level
        middle = (low + high) / 2
        above = loft(azimuth(middle), middle)[:, 1] > y
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return azimuth(low), low


def sculpt(points: np.ndarray) -> np.ndarray:
    """Returns loft points [n, 3] with sockets, brows, nose, cheeks and chin pushed into them."""
    total = points.copy()
    for brush in BRUSHES:
        centre, radii, push = brush[:3], brush[3:6], brush[6:]
        for side in (1.0, -1.0) if centre[0] else (1.0,):
            mirror = np.array([side, 1, 1])
            offset = (points - centre * mirror) / radii
            total += np.exp(-0.5 * np.sum(offset**2, -1, keepdims=True)) * push * mirror
    total[:, 0] = np.where(points[:, 0] == 0, 0.0, total[:, 0])
    total[:, 2] += nose(points[:, 0], points[:, 1]) * (points[:, 2] > -20)
    return total


def nose(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns how far the nose stands out from the face, mm."""
    inside = np.clip(y, NOSE_Y[-1], NOSE_Y[0])
    height, width = np.maximum(_NOSE_Z(inside), 0), _NOSE_W(inside)
    ridge = height * np.exp(-(np.abs(x / width) ** 2.6))
    wing = 5.0 * np.exp(-(((np.abs(x) - 13.5) / 4.2) ** 2 + ((y + 33.5) / 5.5) ** 2))
    groove = -1.6 * np.exp(-(((np.abs(x) - 19.5) / 3) ** 2 + ((y + 32) / 8) ** 2))
    return ridge + wing + groove
