"""How often and how long eyes blink, read off the closure of the lids over time.

Closure is on the scale of AU45, 0 (open) to 5 (shut), as OpenFace measures it; how far eyes are
open, read off landmarks, becomes such a curve by `face_measures.blink`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from facejax import checks

# Of AU45: what a blink must reach. The paper states none. In the sample that FACIAL published, 24 s
# as OpenFace measured them, three blinks reach 0.7 to 1.8, and eyes that narrow up to 0.5.
THRESHOLD = 0.5


class Blinks(NamedTuple):
    """The blinks of one curve, in the order of time."""

    frames: np.ndarray  # [n] int, where each is at its height
    widths: np.ndarray  # [n] frames at half of its height or above; NaN where an end cuts it off


def find(closure: np.ndarray, threshold: float = THRESHOLD) -> Blinks:
    """Returns the blinks of a curve.

    A blink is a peak of `threshold` or more. Its width reaches to where the curve crosses half of
    the peak's height, between frames by linear interpolation. Of peaks whose widths overlap only
    the highest is a blink: noise does not make two of one. A peak that falls to half of its height
    on neither side is none: those eyes are always so.

    Args:
      closure: [T], finite.
      threshold: above 0.

    Raises:
      ValueError: another shape, or a threshold of 0 or less.
    """
    checks.shapes(closure=(closure, "T"))
    if threshold <= 0:
        raise ValueError(f"threshold is {threshold}; due: above 0")
    curve = np.asarray(closure, np.float64)
    # The last frame of a plateau stands for it.
    later = np.append(curve[1:], -np.inf)
    earlier = np.append(-np.inf, curve[:-1])
    peaks = np.flatnonzero((curve >= threshold) & (curve >= earlier) & (curve > later))
    found: list[tuple[int, float, float]] = []
    for peak in peaks[np.argsort(-curve[peaks], kind="stable")]:
        first, end = _half_height(curve, peak)
        if all(end < other or first > last for _, other, last in found):
            found.append((int(peak), first, end))
    whole = [one for one in sorted(found) if np.isfinite(one[1:]).any()]
    frames = np.asarray([peak for peak, _, _ in whole], np.int64)
    ends = np.asarray([one[1:] for one in whole], np.float64).reshape(-1, 2)
    widths = np.where(np.isfinite(ends).all(1), ends[:, 1] - ends[:, 0], np.nan)
    return Blinks(frames, widths)


def _half_height(curve: np.ndarray, peak: int) -> tuple[float, float]:
    """Returns the times, in frames, between which the curve is above half of a peak's height.

    Infinite where it does not fall so far before its end.
    """
    half = curve[peak] / 2
    before, after = np.flatnonzero(curve[:peak] <= half), np.flatnonzero(curve[peak:] <= half)
    first, end = -np.inf, np.inf
    if len(before):
        low = before[-1]
        first = low + (half - curve[low]) / (curve[low + 1] - curve[low])
    if len(after):
        low = peak + after[0]
        end = low - (half - curve[low]) / (curve[low - 1] - curve[low])
    return first, end


def figures(
    curves: Sequence[np.ndarray], fps: float, threshold: float = THRESHOLD
) -> dict[str, float | None]:
    """Returns {"a_second": blinks a second of all curves, "seconds": how long one lasts}.

    The duration is the mean over the blinks that no end cuts off; None where there is none.

    Args:
      curves: [T] each, of any length; at least one frame in all.
      fps: frames a second.
      threshold: of `find`.
    """
    found = [find(curve, threshold) for curve in curves]
    frames = sum(len(curve) for curve in curves)
    if not frames:
        raise ValueError("curves hold no frame; due: at least one")
    widths = np.concatenate([one.widths for one in found])
    widths = widths[np.isfinite(widths)]
    return {
        "a_second": sum(len(one.frames) for one in found) * fps / frames,
        "seconds": float(widths.mean()) / fps if len(widths) else None,
    }
