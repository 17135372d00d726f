"""Small line plots, drawn with OpenCV: curves over time on one axis, with a legend."""

import itertools
from collections.abc import Mapping

import cv2
import numpy as np

from facejax import sheets

COLORS = ((32, 32, 32), (208, 64, 32), (140, 160, 190), (60, 140, 60), (140, 80, 160))
MARGIN = 34  # px left of the axis, for numbers
BELOW = 16  # px below it
FRAME = (180, 180, 180)
WAVE = (225, 228, 230)
SHIFT = 4  # bits of sub-pixel precision


def lines(
    curves: Mapping[str, np.ndarray],
    *,
    title: str = "",
    fps: float = 0.0,
    size: tuple[int, int] = (120, 420),
    behind: np.ndarray | None = None,
) -> np.ndarray:
    """Returns a plot of curves over time, uint8 [H, W, 3].

    The vertical axis spans all finite values; a value that is not finite is a gap. The first curve
    is drawn last, on top.

    Args:
      curves: label -> [T], lengths may differ; at least one, and COLORS has one for each.
      title: above the plot.
      fps: values a second, to number the horizontal axis in seconds; 0: in values.
      size: height and width, px.
      behind: [n] a sound in [-1, 1] of the same duration, drawn pale behind the curves, its
        loudest moment as high as the plot; None or n = 0: nothing.

    Raises:
      ValueError: no curves, too many, or one that is not [T].
    """
    if not curves or len(curves) > len(COLORS):
        raise ValueError(f"curves has {len(curves)} entries; due: 1 to {len(COLORS)}")
    values = {label: np.asarray(curve, np.float64) for label, curve in curves.items()}
    for label, curve in values.items():
        if curve.ndim != 1:
            raise ValueError(f"curve {label!r} has shape {curve.shape}; due: [T]")
    image = np.full((*size, 3), sheets.BACKGROUND, np.uint8)
    box = (MARGIN, sheets.BAND + 2, size[1] - 4, size[0] - BELOW)  # left, top, right, bottom
    low, high = _range(values)
    longest = max(len(curve) for curve in values.values())
    if behind is not None and len(behind):
        _wave(image, box, np.asarray(behind, np.float64))
    _axes(image, box, (low, high), longest / fps if fps else longest)
    for color, curve in reversed(list(zip(COLORS, values.values(), strict=False))):
        _curve(image, box, (low, high), longest, curve, color)
    _legend(image, title, list(values))
    return image


def _range(values: Mapping[str, np.ndarray]) -> tuple[float, float]:
    known = np.concatenate([curve[np.isfinite(curve)] for curve in values.values()])
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _wave(image: np.ndarray, box: tuple, wave: np.ndarray) -> None:
    """Draws, in each column, the span of the sound that falls on it."""
    left, top, right, bottom = box
    middle, half = (top + bottom) / 2, (bottom - top) / 2 - 1
    loudest = max(float(np.abs(wave).max()), 1e-6)
    edges = np.linspace(0, len(wave), right - left + 1).astype(int)
    for column, (first, end) in enumerate(itertools.pairwise(edges)):
        part = wave[first : max(end, first + 1)] / loudest * half
        x, high, low = left + column, round(middle - part.max()), round(middle - part.min())
        cv2.line(image, (x, high), (x, low), WAVE, 1)


def _axes(image: np.ndarray, box: tuple, span: tuple[float, float], end: float) -> None:
    left, top, right, bottom = box
    cv2.rectangle(image, (left, top), (right, bottom), FRAME, 1)
    for value, y in ((span[1], top - 4), (span[0], bottom - sheets.BAND + 4)):
        sheets.put_text(image, f"{value:.3g}", (1, y), MARGIN - 3)
    sheets.put_text(image, "0", (left, bottom), MARGIN)
    sheets.put_text(image, f"{end:.3g}", (right - 28, bottom), 28)


def _curve(
    image: np.ndarray,
    box: tuple,
    span: tuple[float, float],
    longest: int,
    curve: np.ndarray,
    color: tuple,
) -> None:
    """Draws one curve in pieces between its gaps."""
    left, top, right, bottom = box
    x = left + (right - left) * np.arange(len(curve)) / max(longest - 1, 1)
    finite = np.isfinite(curve)
    share = (np.where(finite, curve, span[0]) - span[0]) / (span[1] - span[0])
    points = np.stack([x, bottom - (bottom - top) * share], 1)
    edges = np.flatnonzero(np.diff(finite, prepend=False, append=False))
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        piece = np.round(points[first:end] * 2**SHIFT).astype(np.int32)
        if len(piece) == 1:  # a line of one point would not be drawn
            piece = piece + np.array([[-1, 0], [1, 0]], np.int32) * 2**SHIFT
        cv2.polylines(image, [piece], False, color, 1, cv2.LINE_AA, SHIFT)


def _legend(image: np.ndarray, title: str, labels: list[str]) -> None:
    """Writes the title, then each label behind a dash of its colour, from left to right."""
    x, width = MARGIN, image.shape[1]
    share = (width - MARGIN) // (len(labels) + 1)
    sheets.put_text(image, title, (x, 0), share - 4)
    for k, label in enumerate(labels):
        x = MARGIN + (k + 1) * share
        cv2.line(image, (x, sheets.BAND // 2), (x + 10, sheets.BAND // 2), COLORS[k], 2)
        sheets.put_text(image, label, (x + 14, 0), share - 18)
