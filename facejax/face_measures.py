"""What is read off Face Mesh's points directly: the 70 landmarks, and how far the eyes are open."""

import numpy as np

from facejax.face_topology import IBUG_68, LEFT_EYE, RIGHT_EYE

AU45 = 5.0  # a shut eye on the scale of FACS intensities
USUAL_OPENNESS = 0.28  # of an open eye, where a clip gives no better idea
OPEN_PERCENTILE = 75  # of a clip's openness: its open eye; people blink a tenth of the time
# Shares of the open eye's openness at which a blink begins, and at which the eye counts as shut.
BEGINS, SHUT = 0.85, 0.62  # as Face Mesh draws them: its shut eyes keep 0.54 to 0.66
# Eyelids of the right and the left eye, outer corner first, as the iBUG landmarks number them.
_EYES = ((36, 37, 38, 39, 40, 41), (45, 44, 43, 42, 47, 46))


def landmarks_70(points: np.ndarray) -> np.ndarray:
    """Returns the 68 iBUG landmarks, then the right and the left pupil, [..., 70, C].

    The pupils are the middles of the eyes' outlines.

    Args:
      points: [..., 468, C] Face Mesh points.
    """
    pupils = [points[..., list(eye), :].mean(axis=-2) for eye in (RIGHT_EYE, LEFT_EYE)]
    return np.concatenate([points[..., list(IBUG_68), :], np.stack(pupils, axis=-2)], axis=-2)


def openness(landmarks: np.ndarray) -> np.ndarray:
    """Returns height over width of the eyes, mean of both, [...]; an open eye has some 0.3.

    Eye aspect ratio (Soukupova & Cech 2016), in three dimensions, so that a turned head does not
    look like a blink.

    Args:
      landmarks: [..., 70, 3].
    """
    ratios = []
    for outer, upper1, upper2, inner, lower2, lower1 in _EYES:
        height = _distance(landmarks, upper1, lower1) + _distance(landmarks, upper2, lower2)
        width = np.maximum(_distance(landmarks, outer, inner), 1e-6)  # points on one spot
        ratios.append(height / (2 * width))
    return np.mean(ratios, axis=0)


def blink(open_ratio: np.ndarray) -> np.ndarray:
    """Returns eye closure on AU45's scale, 0 (open) to 5 (shut), float32 [T].

    Args:
      open_ratio: [T] openness of one person's frames. An upper percentile is taken for the open
        eye, unless all frames could be of a shut one.
    """
    wide = max(float(np.percentile(open_ratio, OPEN_PERCENTILE)), 0.6 * USUAL_OPENNESS)
    closed = (BEGINS - open_ratio / wide) / (BEGINS - SHUT)
    return (AU45 * np.clip(closed, 0, 1)).astype(np.float32)


def _distance(landmarks: np.ndarray, one: int, other: int) -> np.ndarray:
    return np.linalg.norm(landmarks[..., one, :] - landmarks[..., other, :], axis=-1)
