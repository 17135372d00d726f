"""Batches from a data folder: what `schedule` drew, decoded and stacked.

Order and content depend on (seed, step) alone, so `iterate` can start anywhere.
"""

import dataclasses
import fnmatch
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from facejax.audio.lowlevel import SIZE, lowlevel
from facejax.data import batches, records, schedule
from facejax.errors import InputError

AUDIO_SIZE = SIZE  # features of one frame, of every front end
ID_SOURCES = ("reference", "frame")


@dataclasses.dataclass(frozen=True)
class Config:
    """What is read, and how. `windows`, `part_frames`, `references`: see `schedule`."""

    path: str  # data folder
    split: str = "train"
    batch: int = 6  # over all devices and hosts, B
    size: int = 256  # px, S
    frames: int = 3  # 3-D faces that condition one frame, K
    audio: str = "lowlevel"  # front end: a key of FRONT_ENDS
    clips: str = ""  # ids or glob patterns, separated by commas; empty: all
    span: tuple[float, float] = (0.0, 1.0)  # fraction of each clip that is used
    part_frames: int = 50
    windows: tuple[int, ...] = (6, 6, 12, 24, 48)
    references: int = 8
    id_source: str = "reference"  # "reference": one identity for all; "frame": each its own fit
    mask: bool = False  # also yield the foreground of target and reference
    cache: int = 256  # clips kept in memory, still compressed

    def __post_init__(self):
        if self.audio not in FRONT_ENDS:
            raise InputError(f"data.audio is {self.audio!r}; due: {' or '.join(FRONT_ENDS)}")
        if self.id_source not in ID_SOURCES:
            raise InputError(
                f"data.id_source is {self.id_source!r}; due: {' or '.join(ID_SOURCES)}"
            )
        for name in ("batch", "size", "frames", "cache"):
            if getattr(self, name) < 1:
                raise InputError(f"data.{name} is {getattr(self, name)}; due: 1 or more")
        if not self.windows or min(self.windows) < 1:
            raise InputError(f"data.windows is {self.windows}; due: steps a batch, 1 or more each")
        check_span(self.span)


class Footage(NamedTuple):
    """One clip ready to draw from: images compressed, audio features made."""

    frames: list[bytes]
    mask: list[bytes]
    identity: np.ndarray  # [T, I]
    expression: np.ndarray  # [T, E]
    pose: np.ndarray  # [T, 6]
    landmarks: np.ndarray  # [T, 70, 2] px of the target size
    audio: np.ndarray  # [T, A]
    valid: np.ndarray  # [T] bool
    references: np.ndarray  # frame numbers that may serve as the reference


def null(wave: np.ndarray, rate: int, times: np.ndarray, fps: float) -> np.ndarray:
    """Silence to every model: zeros, [T, AUDIO_SIZE]."""
    del wave, rate, fps
    return np.zeros((len(times), AUDIO_SIZE), np.float32)


# name -> (wave [n], rate, times [T], fps) -> float32 [T, AUDIO_SIZE]
FRONT_ENDS: dict[str, Callable[..., np.ndarray]] = {
    "lowlevel": functools.partial(lowlevel, centred=True),  # the paper's window, around the frame
    "lowlevel_ahead": lowlevel,  # the published code's: the frame and the seven that follow
    "null": null,
}


def check_span(span: Sequence[float]) -> None:
    """Raises an InputError unless `span` is (a, b) with 0 <= a < b <= 1."""
    if len(span) != 2 or not 0 <= span[0] < span[1] <= 1:
        raise InputError(f"span is {tuple(span)}; due: two fractions a < b in 0 to 1, as 0.8,1")


def select(ids: Sequence[str], patterns: str) -> list[int]:
    """Returns the numbers of the clips whose id is, or matches, one of `patterns` (all if none).

    Args:
      ids: of all clips.
      patterns: ids or glob patterns, separated by commas.

    Raises:
      InputError: a pattern matches no clip.
    """
    if not patterns:
        return list(range(len(ids)))
    chosen: set[int] = set()
    for pattern in patterns.split(","):
        found = {
            k for k, name in enumerate(ids) if name == pattern or fnmatch.fnmatch(name, pattern)
        }
        if not found:
            known = ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")
            raise InputError(f"no clip matches {pattern!r}; there are: {known}")
        chosen |= found
    return sorted(chosen)


def frame_range(length: int, span: Sequence[float]) -> tuple[int, int]:
    """Returns the first frame and the end of the part `span` of a clip of `length` frames."""
    return round(span[0] * length), round(span[1] * length)


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Returns uint8 [S, S, ...] at `size` px: area average down, cubic up."""
    if image.shape[0] == size:
        return image
    method = cv2.INTER_AREA if size < image.shape[0] else cv2.INTER_CUBIC
    return cv2.resize(image, (size, size), interpolation=method)


def image_of(data: bytes, size: int) -> np.ndarray:
    """Returns a stored frame as float32 [size, size, 3] in [-1, 1]."""
    return resize(records.decode_frame(data), size).astype(np.float32) / 127.5 - 1


def mask_of(data: bytes, size: int) -> np.ndarray:
    """Returns a stored foreground mask as float32 [size, size, 1] in [0, 1]."""
    return resize(records.decode_mask(data), size).astype(np.float32)[..., None] / 255


def footage(clip: records.Clip, config: Config) -> Footage:
    """Prepares a clip: scales its landmarks, makes its audio features, finds its references."""
    source = records.decode_frame(clip.frames[0]).shape[0]
    wave = clip.audio.astype(np.float32) / 32768
    front_end = FRONT_ENDS[config.audio] if len(wave) else null
    audio = front_end(wave, records.AUDIO_RATE, clip.times, clip.fps_num / clip.fps_den)
    first, end = frame_range(len(clip.times), config.span)
    inside = schedule.references(clip.pose[first:end], clip.valid[first:end], config.references)
    if config.mask and not clip.mask:
        raise InputError(
            f"clip {clip.clip_id} has no foreground masks; set data.mask and the mask loss off"
        )
    return Footage(
        frames=clip.frames,
        mask=clip.mask,
        identity=clip.identity,
        expression=clip.expression,
        pose=clip.pose,
        landmarks=clip.landmarks[..., :2] * np.float32(config.size / source),
        audio=audio,
        valid=clip.valid,
        references=inside + first,
    )


def motion(shot: Footage, frames: Any, identity: Any) -> dict[str, np.ndarray]:
    """Returns the motion of `frames` (a number or [K]) with the identity fitted in `identity`."""
    return {
        "identity": shot.identity[identity],
        "expression": shot.expression[frames],
        "pose": shot.pose[frames],
    }


def example(shot: Footage, frames: np.ndarray, reference: int, config: Config) -> dict[str, Any]:
    """Returns one row of a batch (see `Pipeline.load` for the shapes, without B).

    Args:
      shot: the clip.
      frames: [K] frame numbers, oldest first; the last is the target.
      reference: frame number of the reference.
      config: sizes and the source of the identity.
    """
    target = int(frames[-1])
    own = frames if config.id_source == "frame" else np.full(len(frames), reference)
    row = {
        "reference": image_of(shot.frames[reference], config.size),
        "target": image_of(shot.frames[target], config.size),
        "reference_motion": motion(shot, reference, reference),
        "driving_motion": motion(shot, frames, own),
        "landmarks": shot.landmarks[target],
        "audio": shot.audio[target],
    }
    if config.mask:
        both = [mask_of(shot.mask[k], config.size) for k in (target, reference)]
        row["mask"] = np.clip(both[0] + both[1], 0, 1)
    return row


class Pipeline:
    """The batches of one split. Nothing in it moves: `load` is a pure function of the step.

    Args:
      config: what to read.
      seed: of the order.
      rows: the rows of each batch that this host makes; None for all.

    Raises:
      InputError: nothing usable in the folder.
    """

    def __init__(self, config: Config, seed: int, rows: slice | None = None):
        batches.keep_tensorflow_on_cpu()
        self.config, self._rows = config, rows or slice(None)
        self._clips = records.open_clips(config.path, config.split)
        self.numbers = select(self._clips.ids, config.clips)
        lengths = [self._clips.lengths[k] for k in self.numbers]
        ranges = [frame_range(length, config.span) for length in lengths]
        parts = schedule.cut(ranges, config.part_frames, config.frames)
        if not parts:
            raise InputError(
                f"{config.path}, split {config.split}: no clip has {config.frames} frames in span "
                f"{config.span}; preprocess longer clips or widen data.span"
            )
        self.plan = schedule.Schedule(
            parts, batch=config.batch, frames=config.frames, windows=config.windows, seed=seed
        )
        self._footage = functools.lru_cache(maxsize=config.cache)(self._prepare)

    @property
    def given(self) -> dict[str, Any]:
        """What the folder adds to `System.frozen`: its morphable model."""
        return {"morphable": self._clips.model}

    def _prepare(self, place: int) -> Footage:
        return footage(self._clips[self.numbers[place]], self.config)

    def load(self, step: int) -> dict[str, Any]:
        """Returns this host's rows of the batch of `step`, float32.

        reference, target [B, S, S, 3] in [-1, 1]; reference_motion {identity [B, I], expression
        [B, E], pose [B, 6]}; driving_motion the same with [B, K, ...]; landmarks [B, 70, 2] px of
        the target; audio [B, A] of the target; mask [B, S, S, 1] in [0, 1] when asked for.
        """
        draw = self.plan.draw(step)
        rows = []
        for place, frames, chance in zip(*(column[self._rows] for column in draw), strict=True):
            shot = self._footage(int(place))
            reference = int(shot.references[int(chance * len(shot.references))])
            frames = np.append(frames[:-1], schedule.nearest_valid(shot.valid, int(frames[-1])))
            rows.append(example(shot, frames, reference, self.config))
        return batches.stack(rows)

    def iterate(self, first: int, end: int, threads: int = 4) -> Iterator[dict[str, Any]]:
        """Yields the batches of steps first, ..., end - 1: `batches.ahead`."""
        return batches.ahead(self.load, first, end, threads)
