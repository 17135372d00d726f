"""From the 50 Hz clock of speech to the frames of a video, and windows around each frame."""

from fractions import Fraction
from typing import Any

import numpy as np

from facejax.audio.framing import FPS
from facejax.checks import shapes

SIZE = 16  # rows in a window


def frame_times(seconds: float | Fraction, fps: float | Fraction) -> np.ndarray:
    """Returns the times, in s, of the round(seconds * fps) video frames that go with a sound."""
    return np.arange(round(Fraction(seconds) * Fraction(fps))) / float(fps)


def at_times(
    features: np.ndarray, times: np.ndarray, *, rate: float | Fraction = FPS
) -> np.ndarray:
    """Returns features [T, C] at `times`, interpolated linearly between rows [K, C] at k / rate.

    At a row's own time it is that row, bit for bit: at 30 fps frame 3 m is row 5 m. Before the
    first row and after the last it is that row.

    Args:
      features: [K, C], K at least 1.
      times: [T] s, in any order.
      rate: rows a second.
    """
    shapes(features=(features, "K C"), times=(times, "T"))
    if not len(features):
        raise ValueError("features has no row; due: at least one")
    sources = np.arange(len(features)) / float(rate)
    low = np.clip(np.searchsorted(sources, times, side="right") - 1, 0, len(sources) - 1)
    high = np.minimum(low + 1, len(sources) - 1)
    weight = np.clip((times - sources[low]) * float(rate), 0, 1)[:, None]
    return (features[low] + weight * (features[high] - features[low])).astype(features.dtype)


def windows(features: Any, *, stride: int = 1, size: int = SIZE) -> Any:
    """Returns windows [..., ceil(T / stride), size, C] around every `stride`-th row.

    Row i lies at place size / 2 of its window, behind its size / 2 forerunners; rows of zeros
    stand before the first and after the last. The windows of FACIAL at 30 fps, and with
    stride=2 on rows at 50 Hz its released cutting for 25 fps, which interpolates nothing.

    Args:
      features: [..., T, C], of NumPy or JAX.
      stride: rows from one window to the next.
      size: rows in a window, even.
    """
    if features.ndim < 2 or stride < 1 or size < 2 or size % 2:
        raise ValueError(
            f"features has shape {features.shape}, stride is {stride}, size is {size}; "
            "due: [..., T, C], at least 1, and even"
        )
    array = features.__array_namespace__()
    edges = [(0, 0)] * (features.ndim - 2) + [(size // 2, size // 2), (0, 0)]
    starts = np.arange(0, features.shape[-2], stride)
    return array.pad(features, edges)[..., starts[:, None] + np.arange(size), :]


def centre_rows(windows: Any) -> Any:
    """Returns the rows [..., T, C] that windows [..., T, size, C] of stride 1 were cut from."""
    return windows[..., windows.shape[-2] // 2, :]
