"""Which frames a training step sees: a pure function of (seed, step), so resuming costs nothing.

HeadGAN's order (headGAN's published loader; the paper's supplement says only "self-reenactment"):
clips are cut into parts of 50 frames; each epoch visits every part once, in random order; a batch
holds `batch` parts, and over it slide `windows` consecutive steps from a random start, all with
one random reference frame a part. `windows` grows by epoch: 6, 6, 12, 24, then 48 = 50 - 3 + 1.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Part(NamedTuple):
    """A stretch of one clip: frames first, ..., first + length - 1."""

    clip: int
    first: int
    length: int


class Draw(NamedTuple):
    """What one step reads. Rows are the batch."""

    clip: np.ndarray  # [B] clip number
    frames: np.ndarray  # [B, K] frame numbers, oldest first; the last is the target
    reference: np.ndarray  # [B] in [0, 1): which of the clip's reference candidates


class Position(NamedTuple):
    """Where a step lies."""

    epoch: int
    batch: int
    window: int


def cut(ranges: Sequence[tuple[int, int]], part_frames: int, least: int) -> list[Part]:
    """Returns the parts of all clips: `part_frames` long, tails dropped.

    A range shorter than `part_frames` is one part; one shorter than `least` is none.

    Args:
      ranges: first frame and end (exclusive) of the usable frames of each clip.
      part_frames: frames in a part; 0 takes each clip whole.
      least: the fewest frames that a part may have (the window's length).
    """
    parts = []
    for clip, (first, end) in enumerate(ranges):
        total = end - first
        length = min(part_frames or total, total)
        if length >= least:
            parts += [Part(clip, first + k * length, length) for k in range(total // length)]
    return parts


class Schedule:
    """The order of the input. Holds no position: every method is a pure function of the step.

    Args:
      parts: what to visit.
      batch: parts in a batch, B. With fewer parts than B, parts repeat in the one batch.
      frames: frames in a window, K.
      windows: steps on one batch, for each epoch in turn; the last holds from there on.
      seed: of every random choice.
    """

    def __init__(
        self, parts: Sequence[Part], *, batch: int, frames: int, windows: Sequence[int], seed: int
    ):
        if not parts or batch < 1 or frames < 1 or not windows or min(windows) < 1:
            raise ValueError("parts, batch, frames and windows must each hold at least one")
        self._parts = np.asarray(parts, np.int64)  # [P, 3]
        self._batch, self._frames, self._seed = batch, frames, seed
        self._windows = tuple(windows)
        self.batches = max(1, len(parts) // batch)  # in an epoch; the rest is dropped
        self._ends = np.cumsum([self.batches * count for count in self._windows])
        self._order = functools.lru_cache(maxsize=4)(self._permutation)

    def epoch_end(self, epoch: int) -> int:
        """Returns the number of steps in the first `epoch` epochs."""
        known = len(self._windows)
        if epoch <= known:
            return int(self._ends[epoch - 1]) if epoch else 0
        return int(self._ends[-1]) + (epoch - known) * self.batches * self._windows[-1]

    def position(self, step: int) -> Position:
        """Returns the epoch, the batch in it, and the window of that batch."""
        epoch = int(np.searchsorted(self._ends, step, side="right"))
        if epoch == len(self._ends):
            epoch += (step - int(self._ends[-1])) // (self.batches * self._windows[-1])
        count = self._windows[min(epoch, len(self._windows) - 1)]
        batch, window = divmod(step - self.epoch_end(epoch), count)
        return Position(epoch, batch, window)

    def draw(self, step: int) -> Draw:
        """Returns what step number `step` reads."""
        epoch, batch, window = self.position(step)
        rows = self._order(epoch)[batch * self._batch : (batch + 1) * self._batch]
        clip, first, length = self._parts[rows].T
        rng = np.random.default_rng([self._seed, 1, epoch, batch])
        count = self._windows[min(epoch, len(self._windows) - 1)]
        places = length - self._frames + 1  # windows that fit in the part
        start = (rng.random(self._batch) * np.maximum(places - count + 1, 1)).astype(np.int64)
        # A part too short for `count` windows is gone over again from its first.
        begin = first + (start + window) % places
        frames = begin[:, None] + np.arange(self._frames)
        return Draw(clip, frames, rng.random(self._batch))

    def _permutation(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self._seed, 0, epoch])
        total = len(self._parts)
        repeats = -(-self._batch // total)  # more than 1 only with fewer parts than the batch holds
        return np.concatenate([rng.permutation(total) for _ in range(repeats)])


def references(pose: np.ndarray, valid: np.ndarray, count: int) -> np.ndarray:
    """Returns the frames of a clip that may serve as its reference, spread over its cameras.

    headGAN's rule: the camera's rotation and x translation, standardised, projected on their first
    principal component, sorted; `count` evenly spaced frames are taken. (The published code
    reads them as rows of (s, R, t) without s, t_y and t_z.)

    Args:
      pose: [T, 6] pitch, yaw, roll in radians, then the translation.
      valid: [T] bool; only these are taken (all, when none is valid).
      count: how many; 0 takes every valid frame.

    Returns:
      [min(count, valid frames)] frame numbers, in the order of the component.
    """
    allowed = np.flatnonzero(valid) if valid.any() else np.arange(len(valid))
    if not count or count >= len(allowed):
        return allowed
    camera = np.concatenate([_rotations(pose[allowed]), pose[allowed, 3:4]], 1)  # [T, 10]
    deviation = camera.std(0)
    camera = (camera - camera.mean(0)) / np.where(deviation > 1e-9, deviation, 1)
    axis = np.linalg.svd(camera, full_matrices=False)[2][0]
    axis = axis * np.sign(
        axis[np.argmax(np.abs(axis))]
    )  # one of two equal answers, always the same
    order = np.argsort(camera @ axis, kind="stable")
    return allowed[order[np.linspace(0, len(order) - 1, count).round().astype(int)]]


def nearest_valid(valid: np.ndarray, frame: int) -> int:
    """Returns the valid frame nearest to `frame` (the earlier of two); `frame` if none is valid."""
    known = np.flatnonzero(valid)
    return int(known[np.argmin(np.abs(known - frame))]) if len(known) else frame


def _rotations(pose: np.ndarray) -> np.ndarray:
    """[T, 6] -> [T, 9]: Rz(roll) Ry(yaw) Rx(pitch), row by row (geometry/camera.py)."""
    sin, cos = np.sin(pose[:, :3].astype(np.float64)).T, np.cos(pose[:, :3].astype(np.float64)).T
    (sx, sy, sz), (cx, cy, cz) = sin, cos
    rows = [
        cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx,
        sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx,
        -sy, cy * sx, cy * cx,
    ]  # fmt: skip
    return np.stack(rows, 1)
