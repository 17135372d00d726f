"""What the face does: displacement fields of the neutral head, one an expression at full strength.

Names are in the order of the coefficients. Fields are linear: half the coefficient, half the way.
"""

from collections.abc import Callable

import numpy as np

from facejax.data.synthetic import features, skin
from facejax.data.synthetic.template import EYE, MOUTH, SKIN, TEETH, Template

_HINGE_Y, _HINGE_Z = -30.0, -70.0  # mm: the axis about which the jaw turns
_JAW_ANGLE = 0.24  # rad, wide open
_CORNER_Z = 16.0


def _bump(value: np.ndarray, centre: float, width: float) -> np.ndarray:
    return np.exp(-0.5 * ((value - centre) / width) ** 2)


def _smooth(value: np.ndarray) -> np.ndarray:
    value = np.clip(value, 0, 1)
    return value * value * (3 - 2 * value)


def _stack(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1).astype(float)


def jaw_share(head: Template) -> np.ndarray:
    """Returns how much of the jaw's turn each vertex takes part in, [V] in [0, 1]."""
    x, y, z = np.abs(head.vertices[:, 0]), head.vertices[:, 1], head.vertices[:, 2]
    slope = (_HINGE_Y - features.seam(np.array(24.0))) / (_CORNER_Z - _HINGE_Z)
    line = features.seam(np.array(24.0)) + (_CORNER_Z - z) * slope
    plain = _smooth((line - y + 14) / 34)
    side = np.where(head.lip != 0, head.lip, np.sign(y - features.seam(np.minimum(x, 24))))
    below = np.where(side < 0, 1.0, np.where(side > 0, 0.0, 0.5))
    parted = np.sqrt(np.maximum(0, 1 - (x / 26) ** 2)) * (z > -20)
    share = plain * (1 - parted) + below * parted
    share = np.where(head.inside == TEETH, head.lip < 0, share)
    share = np.where(head.inside == MOUTH, (1 - head.lip) / 2, share)
    return np.where(head.inside == EYE, 0.0, share)


def _jaw(head: Template) -> np.ndarray:
    y, z = head.vertices[:, 1] - _HINGE_Y, head.vertices[:, 2] - _HINGE_Z
    turn = _JAW_ANGLE * jaw_share(head)
    return _stack(np.zeros_like(y), -turn * z, 0.75 * turn * y)


def _mouth_zone(head: Template, height: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns x / half width (decaying outside), a weight, and the height above the seam."""
    x, y = head.vertices[:, 0], head.vertices[:, 1]
    over = np.maximum(np.abs(x) - features.MOUTH_WIDTH, 0)
    along = np.clip(x / features.MOUTH_WIDTH, -1, 1) * np.exp(-0.5 * (over / 13) ** 2)
    above = y - features.seam(np.clip(x, -24, 24))
    weight = np.exp(-0.5 * (above / height) ** 2) * np.exp(-0.5 * (over / 13) ** 2)
    return along, weight * (head.inside == SKIN) * (head.vertices[:, 2] > -25), above


def _wide(head: Template) -> np.ndarray:
    along, weight, above = _mouth_zone(head, 15)
    return _stack(7.0 * along, -0.12 * above, -3.5 * along**2) * weight[:, None]


def _round(head: Template) -> np.ndarray:
    along, weight, above = _mouth_zone(head, 15)
    apart = np.where(head.lip != 0, 2.2 * head.lip, 0.0) * np.sqrt(np.maximum(0, 1 - along**2))
    return _stack(-8.5 * along, 0.10 * above + apart, 5.0 * (1 - 0.6 * along**2)) * weight[:, None]


def _press(head: Template) -> np.ndarray:
    along, weight, above = _mouth_zone(head, 9)
    squeeze = -0.45 * above * (np.abs(above) < 14)
    return _stack(0.8 * along, squeeze, -2.2 * (1 - along**2)) * weight[:, None]


def _part(head: Template) -> np.ndarray:
    along, weight, above = _mouth_zone(head, 12)
    side = np.where(head.lip != 0, head.lip, np.sign(above))
    arch = 1 - np.clip(np.abs(along), 0, 1) ** 2.5
    lift = np.where(side > 0, 3.6, -4.2) * arch
    return _stack(np.zeros_like(lift), lift, 0.5 * arch) * weight[:, None]


def _corners(head: Template, out: float, up: float, back: float) -> np.ndarray:
    along, weight, _ = _mouth_zone(head, 16)
    pull = np.abs(along) ** 2.2
    return _stack(out * along, up * pull, back * pull) * weight[:, None]


def _smile(head: Template) -> np.ndarray:
    x, y, z = head.vertices.T
    cheek = _bump(np.abs(x), 40, 14) * _bump(y, -26, 13) * (head.inside == SKIN) * (z > -30)
    pouch = _bump(np.abs(x), 31, 12) * _bump(y, -9, 4.5) * (head.inside == SKIN)
    lift = _stack(np.zeros_like(x), 3.5 * cheek + 1.2 * pouch, 3.0 * cheek + 0.8 * pouch)
    return _corners(head, 6.0, 8.0, -4.5) + lift


def _frown(head: Template) -> np.ndarray:
    return _corners(head, 1.0, -6.5, -1.0)


def _brow(head: Template) -> np.ndarray:
    x, y, z = head.vertices.T
    high = np.where(y > 23, _bump(y, 23, 15), _bump(y, 23, 7))
    zone = high * _bump(np.abs(x), 30, 24) * (head.inside == SKIN) * (z > -30)
    return zone * _smooth((head.eye_distance - 2) / 9)


def _brow_up(head: Template) -> np.ndarray:
    zone = _brow(head)
    return _stack(0 * zone, 7.5 * zone, -1.0 * zone)


def _brow_down(head: Template) -> np.ndarray:
    zone = _brow(head) * (1.2 - np.abs(head.vertices[:, 0]) / 70)
    inwards = -3.0 * np.sign(head.vertices[:, 0]) * _bump(np.abs(head.vertices[:, 0]), 17, 9)
    return _stack(inwards * _brow(head), -5.5 * zone, 1.2 * zone)


def _blink(head: Template) -> np.ndarray:
    """Upper lids follow the eyeballs down to the lower ones, which rise a little."""
    x, y = np.abs(head.vertices[:, 0]), head.vertices[:, 1]
    inner, outer = features.EYE_INNER, features.EYE_OUTER
    place = np.clip((x - inner[0]) / (outer[0] - inner[0]), 0, 1)
    opening = (features.lid(place, upper=True) - features.lid(place, upper=False))[:, 1]
    near = np.clip(1 - head.eye_distance / skin.EYE_RINGS[-1], 0, 1) ** 1.3
    down = np.where(head.upper_lid, -0.90 * opening, 0.14 * opening) * near
    deeper = features.eyeball_depth(x, y + down) - features.eyeball_depth(x, y)
    forward = np.where(head.upper_lid, deeper + 0.9, 0.0) * near
    return _stack(0 * x, down, forward) * (head.inside == SKIN)[:, None]


def _gaze(head: Template, dx: float, dy: float) -> np.ndarray:
    """The eyes' fronts shift, their rims stay; the lids go along with what is vertical."""
    x, y = head.vertices[:, 0], head.vertices[:, 1]
    out = np.abs(x) - features.EYEBALL[0], y - features.EYEBALL[1]
    rim = np.hypot(out[0] / features.EYEBALL_RADII[0], out[1] / features.EYEBALL_RADII[1])
    free = (head.inside == EYE) * (1 - np.clip(rim, 0, 1) ** 6)
    depth = features.eyeball_depth(np.abs(x) + np.sign(x) * dx * free, y + dy * free)
    deeper = np.clip(depth - features.eyeball_depth(np.abs(x), y), -2.5, 2.5) * (free > 0)
    near = np.clip(1 - head.eye_distance / skin.EYE_RINGS[-1], 0, 1) * (head.inside == SKIN)
    lids = np.where(head.upper_lid, 0.45, 0.15) * dy * near
    return _stack(dx * free, dy * free + lids, 0.7 * deeper)


FIELDS: dict[str, Callable[[Template], np.ndarray]] = {
    "jaw": _jaw,
    "wide": _wide,
    "round": _round,
    "press": _press,
    "part": _part,
    "smile": _smile,
    "frown": _frown,
    "brow_up": _brow_up,
    "brow_down": _brow_down,
    "blink": _blink,
    "gaze_right": lambda head: _gaze(head, 4.6, 0.0),
    "gaze_up": lambda head: _gaze(head, 0.0, 3.2),
}
NAMES = tuple(FIELDS)
# Deviations of the strengths (0 to 1, gaze -1 to 1) over the data set's clips: coefficient =
# strength / deviation, so that coefficients have a variance of about one.
DEVIATIONS = np.array([0.22, 0.24, 0.3, 0.22, 0.19, 0.2, 0.12, 0.2, 0.12, 0.25, 0.36, 0.19])


def basis(head: Template) -> np.ndarray:
    """Returns the fields in mm per unit coefficient, [E, V, 3]."""
    fields = np.stack([field(head) for field in FIELDS.values()])
    return fields * DEVIATIONS[:, None, None]


def coefficients(strengths: dict[str, np.ndarray]) -> np.ndarray:
    """Returns coefficients [T, E] of strengths [T] by name; those not named are zero.

    Raises:
      ValueError: a name that is no expression.
    """
    unknown = set(strengths) - set(NAMES)
    if unknown:
        raise ValueError(f"no expression {sorted(unknown)}; there are: {', '.join(NAMES)}")
    length = len(next(iter(strengths.values())))
    columns = [np.asarray(strengths.get(name, np.zeros(length)), float) for name in NAMES]
    return np.stack(columns, axis=-1) / DEVIATIONS
