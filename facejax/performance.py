"""What Rhythmic Head Motion sees of a face: frontal landmarks and head motion, frame by frame.

All is in FAN's frame (`geometry.head_motion`), in pixels of a crop of 256 px whatever the size of
the frames, and at one frame rate: 25 a second in the paper.
"""

import functools
from typing import NamedTuple

import jax
import numpy as np

from facejax.checks import shapes
from facejax.errors import InputError
from facejax.geometry import head_motion
from facejax.geometry.head_motion import LANDMARKS
from facejax.geometry.morphable import MorphableModel

SIDE = 256.0  # px of the crop that landmarks are given in
SMOOTHED = 5  # frames of the window over landmarks, as published
SMOOTHED_MOTION = 11  # over head motion
MOST_TURNED = 30.0  # degrees that the most frontal frame may be turned
BLOCK = 128  # frames worked on at a time: one compiled shape

# The corners of inner lips, upper with lower: how far the mouth is open.
LIPS = ((61, 67), (62, 66), (63, 65))


class Performance(NamedTuple):
    """T frames of one face."""

    landmarks: np.ndarray  # [T, 68, 3] float32 px
    motion: np.ndarray  # [T, 6] float32: rotation vector in radians, translation in px
    fronts: np.ndarray  # [T, 68, 3] float32 px: the landmarks without that motion
    valid: np.ndarray  # [T] bool: a face was found

    def part(self, first: int, end: int) -> "Performance":
        """Returns the frames first, ..., end - 1."""
        return Performance(*(array[first:end] for array in self))


def canonical_face(model: MorphableModel) -> np.ndarray:
    """Returns the landmarks [68, 3] px of a model's mean face, straight ahead in mid-picture."""
    return np.asarray(head_motion.flip_depth(head_motion.frontal_landmarks(model, int(SIDE))))


def measure(
    landmarks: np.ndarray,
    valid: np.ndarray,
    canonical: np.ndarray,
    *,
    size: int,
    times: np.ndarray,
    fps: float,
) -> Performance:
    """Returns the performance of a tracked face, at another frame rate.

    Landmarks of frames without a face are interpolated between their neighbours; then all are
    smoothed over SMOOTHED frames.

    Args:
      landmarks: [N, 68 or more, 3] px in facejax's image frame; those beyond the 68 are left out.
      valid: [N] bool.
      canonical: [68, 3], of `canonical_face`.
      size: side of the crop, px.
      times: [N] s.
      fps: frames a second of the result.

    Raises:
      InputError: no frame has a face.
    """
    shapes(landmarks=(landmarks, "N L 3"), valid=(valid, "N"), times=(times, "N"))
    known = np.flatnonzero(valid & np.isfinite(landmarks).all((1, 2)))
    if not len(known):
        raise InputError("no frame shows a face; landmarks are due in one frame or more")
    step = np.median(np.diff(times)) if len(times) > 1 else 1 / fps
    wanted = np.arange(max(1, round((times[-1] - times[0] + step) * fps))) / fps + times[0]
    flat = landmarks[known, :LANDMARKS].reshape(len(known), -1).astype(np.float64)
    columns = [np.interp(wanted, times[known], column) for column in flat.T]
    points = np.stack(columns, 1).reshape(-1, LANDMARKS, 3) * (SIDE / size)
    points = np.asarray(points * [1, 1, -1], np.float32)  # FAN's frame
    nearest = np.rint(np.interp(wanted, times, np.arange(len(times)))).astype(int)
    return of_landmarks(smoothed(points, SMOOTHED), canonical, valid[nearest])


def of_landmarks(
    landmarks: np.ndarray, canonical: np.ndarray, valid: np.ndarray | None = None
) -> Performance:
    """Returns the performance of landmarks [T, 68, 3] px in FAN's frame."""
    blocks = range(0, len(landmarks), BLOCK)
    parts = [jax.device_get(_apart(_full(landmarks[k : k + BLOCK]), canonical)) for k in blocks]
    motion, fronts = (np.concatenate(part)[: len(landmarks)] for part in zip(*parts, strict=True))
    valid = np.ones(len(landmarks), bool) if valid is None else valid
    return Performance(np.asarray(landmarks, np.float32), motion, fronts, valid)


def posed(fronts: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Returns fronts [T, 68, 3] in head motions [T, 6]: landmarks [T, 68, 3] px, FAN's frame."""
    blocks = range(0, len(fronts), BLOCK)
    full = [(_full(fronts[k : k + BLOCK]), _full(motion[k : k + BLOCK])) for k in blocks]
    return np.concatenate([np.asarray(_posed(*pair)) for pair in full])[: len(fronts)]


def _full(rows: np.ndarray) -> np.ndarray:
    """[n, ...] -> float32 [BLOCK, ...]: the last row fills up."""
    rows = np.asarray(rows, np.float32)
    return np.concatenate([rows, np.repeat(rows[-1:], BLOCK - len(rows), axis=0)])


@jax.jit
def _apart(landmarks: jax.Array, canonical: jax.Array) -> tuple[jax.Array, jax.Array]:
    motion = head_motion.head_motion(landmarks, canonical)
    return motion, head_motion.front(landmarks, motion)


_posed = jax.jit(head_motion.posed)


@functools.lru_cache(maxsize=8)
def _hann(width: int) -> np.ndarray:
    window = np.hanning(width + 2)[1:-1]  # without the zeros at its ends
    return window / window.sum()


def smoothed(values: np.ndarray, width: int, late: int = 0) -> np.ndarray:
    """Returns [T, ...] under a Hann window over time, the ends mirrored.

    Args:
      values: [T, ...].
      width: frames, odd.
      late: frames by which the result lags; the published code's slices make it 1.
    """
    reach = width // 2
    edges = [(reach + late, reach)] + [(0, 0)] * (values.ndim - 1)
    mirrored, frames = len(values) > reach + late, len(values)
    near = np.pad(values, edges, mode="reflect") if mirrored else np.pad(values, edges, mode="edge")
    moved = sum(weight * near[k : k + frames] for k, weight in enumerate(_hann(width)))
    return np.asarray(moved, values.dtype)


def key_frame(
    performance: Performance, most_turned: float = MOST_TURNED, name: str = "the reference"
) -> int:
    """Returns the number of the most frontal frame with a face.

    Raises:
      InputError: none has a face, or even that one is turned by more than `most_turned` degrees.
    """
    turned = np.abs(performance.motion[:, :3]).sum(1)
    if not performance.valid.any():
        raise InputError(f"{name} shows no face; a frontal one is due")
    best = int(np.argmin(np.where(performance.valid, turned, np.inf)))
    angle = np.rad2deg(np.linalg.norm(performance.motion[best, :3]))
    if angle > most_turned:
        raise InputError(
            f"{name} has no frontal frame: the most frontal, number {best}, is turned by "
            f"{angle:.0f} degrees, and at most {most_turned:.0f} are due; give a reference in "
            "which the face looks straight ahead once"
        )
    return best


def open_rate(fronts: np.ndarray) -> np.ndarray:
    """Returns how far the inner lips are apart, [..., T] px: the mean over three pairs."""
    gaps = [np.linalg.norm(fronts[..., a, :] - fronts[..., b, :], axis=-1) for a, b in LIPS]
    return np.mean(gaps, axis=0)
