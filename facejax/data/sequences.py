"""Batches of sequences: windows of speech, and the face attributes that go with them.

An attribute vector is pose 6, blink 1, expression E, FACIAL's order: D = 7 + E numbers. In batches
the pose is normalised with its speaker's statistics (`speakers`); the rest is as measured.
"""

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from facejax import speakers
from facejax.audio import windows
from facejax.data import batches, pipeline, records, schedule, talks
from facejax.errors import InputError
from facejax.progress import progress
from facejax.system import PyTree

WINDOW = windows.SIZE  # rows of speech around a frame
HALF = WINDOW // 2  # the frame's own row
FACE = 7  # attributes before the expression
POSE = 6  # of them, the head's pose
LEAST_VALID = 0.9  # share of a sequence's frames that must show a face
IDENTITIES = ("clip", "frame")


@dataclasses.dataclass(frozen=True)
class Config:
    """What is read, and how; the defaults are FACIAL's."""

    path: str  # data folder, or a file or folder of files in FACIAL's layout
    split: str = "train"
    batch: int = 64  # over all devices and hosts, B
    frames: int = 128  # in a sequence, T
    step: int = 5  # frames from the start of one sequence to the next's
    fps: float = 0.0  # frames a second to interpolate to; 0: the clips' own, all alike
    speech: str = "mel"  # features: a key of talks.CHANNELS
    speech_weights: str = ""  # of "deepspeech": its frozen graph
    identity: str = "clip"  # "clip": the mean of a clip's; "frame": each frame its own fit
    clips: str = ""  # ids or glob patterns, separated by commas; empty: all
    span: tuple[float, float] = (0.0, 1.0)  # fraction of each clip that is used
    cache: str = ""  # folder that keeps speech features; "": they are made at each start

    def __post_init__(self):
        if self.speech not in talks.CHANNELS:
            due = ", ".join(talks.CHANNELS)
            raise InputError(f"data.speech is {self.speech!r}; due: one of {due}")
        if self.identity not in IDENTITIES:
            raise InputError(f"data.identity is {self.identity!r}; due: {' or '.join(IDENTITIES)}")
        for name, least in (("batch", 1), ("frames", 4), ("step", 1)):
            if getattr(self, name) < least:
                raise InputError(f"data.{name} is {getattr(self, name)}; due: {least} or more")
        if self.frames % 4:
            raise InputError(f"data.frames is {self.frames}; due: a multiple of 4")
        if not 0 <= self.fps < 1000:
            raise InputError(f"data.fps is {self.fps}; due: frames a second, or 0 for the clips'")
        pipeline.check_span(self.span)


def splits(path: str) -> list[str]:
    """Returns the names of the splits of a data folder; FACIAL's files are all "train"."""
    return ["train"] if talks.is_facial(path) else list(records.splits(path))


def open_recordings(config: Config) -> list[talks.Recording]:
    """Returns the chosen clips, in order, in memory (some 0.5 kB a frame; no pictures).

    A clip without sound is left out, and named, unless no speech is asked for.

    Raises:
      InputError: nothing there, a damaged file, no sound in any clip, or several frame rates.
    """
    if talks.is_facial(config.path):
        found = _facial_recordings(config)
    else:
        found = list(_clip_recordings(config))
    rates = sorted({one.fps for one in found})
    if len(rates) > 1:
        listed = ", ".join(f"{rate:.5g}" for rate in rates)
        raise InputError(
            f"the clips in {config.path} have {listed} frames a second; set one for all: "
            f"--config.data.fps={rates[0]:.5g}"
        )
    sizes = {one.expression.shape[1] for one in found}
    if len(sizes) > 1:
        raise InputError(f"{config.path} mixes expressions of {sorted(sizes)} numbers; part them")
    return found


def _facial_recordings(config: Config) -> list[talks.Recording]:
    files = talks.facial_files(config.path)
    if config.split != "train":
        raise InputError(f"{config.path} has no split {config.split!r}; it has: train")
    if config.fps not in (0.0, talks.FACIAL_FPS):
        raise InputError(f"data.fps is {config.fps}; FACIAL's files have 30: set it to 0 or 30")
    chosen = pipeline.select([file.stem for file in files], config.clips)
    return [talks.from_facial(files[k], config.speech) for k in chosen]


def _clip_recordings(config: Config) -> Iterator[talks.Recording]:
    clips = records.open_clips(config.path, config.split)
    numbers = pipeline.select(clips.ids, config.clips)
    ear = talks.make_ear(config.speech, config.speech_weights, config.cache)
    silent = []
    for number in progress(numbers, len(numbers), "listen"):
        clip = clips[number]
        if config.speech != "null" and not clip.audio.any():
            silent.append(clip.clip_id)
            continue
        yield talks.from_clip(clip, ear, config.fps)
    if len(silent) == len(numbers):
        raise InputError(
            f"no clip in {config.path}, split {config.split}, has sound, and speech is needed; "
            "preprocess videos with sound"
        )
    if silent:
        shown = ", ".join(silent[:8]) + (", ..." if len(silent) > 8 else "")
        logging.warning("clips without sound are left out: %s", shown)


def attributes(one: talks.Recording, table: speakers.Table, row: int) -> np.ndarray:
    """Returns float32 [T, D] of a recording, its pose normalised as speaker number `row`'s."""
    pose = speakers.normalised(one.pose, table, row)
    return np.concatenate([pose, one.blink[:, None], one.expression], 1).astype(np.float32)


def padded(rows: np.ndarray) -> np.ndarray:
    """[T, C] -> [T + 15, C]: zeros around, so that rows t to t + 15 are the window of frame t."""
    return np.pad(rows, ((HALF, WINDOW - HALF - 1), (0, 0)))


class Sequences:
    """The sequences of one split. Nothing in it moves: `load` is a pure function of the step.

    An epoch visits every sequence once, in random order; the incomplete last batch is dropped.

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
        self.recordings = open_recordings(config)
        spans = [pipeline.frame_range(len(one.pose), config.span) for one in self.recordings]
        pairs = zip(self.recordings, spans, strict=True)
        self.speakers = speakers.measure([one.part(*span) for one, span in pairs])
        self.plan = schedule.Schedule(
            self._sequences(spans),
            batch=config.batch,
            frames=config.frames,
            windows=(1,),
            seed=seed,
        )
        rows_of = [speakers.find(self.speakers, one.speaker_id) for one in self.recordings]
        self._speaker = rows_of
        self._attributes = [
            attributes(one, self.speakers, row)
            for one, row in zip(self.recordings, rows_of, strict=True)
        ]
        self._speech = [padded(one.speech) for one in self.recordings]
        self._pose = [padded(values[:, :POSE]) for values in self._attributes]
        self._identity = [self._identities(one) for one in self.recordings]

    @property
    def given(self) -> dict[str, Any]:
        """What the data adds to `System.frozen`: the speakers, and a morphable model if any."""
        if talks.is_facial(self.config.path):
            return {"speakers": self.speakers}
        model = records.open_clips(self.config.path, self.config.split).model
        return {"morphable": model, "speakers": self.speakers}

    def _sequences(self, spans: Sequence[tuple[int, int]]) -> list[schedule.Part]:
        """Returns where sequences lie: every `step` frames, where nearly all frames show a face."""
        frames, step = self.config.frames, self.config.step
        parts = []
        for number, (first, end) in enumerate(spans):
            seen = np.concatenate([[0], np.cumsum(self.recordings[number].valid)])
            for start in range(first, end - frames + 1, step):
                if seen[start + frames] - seen[start] >= LEAST_VALID * frames:
                    parts.append(schedule.Part(number, start, frames))
        lengths = [end - first for first, end in spans]
        short = sum(length < frames for length in lengths)
        if not parts:
            raise InputError(
                f"{self.config.path}, split {self.config.split}: no clip has {frames} frames with "
                f"a face in span {self.config.span}; the longest has {max(lengths)}; preprocess "
                "longer clips, or lower data.frames (a multiple of 4)"
            )
        if short:
            logging.warning(
                "%d of %d clips are shorter than %d frames: not trained on",
                short,
                len(spans),
                frames,
            )
        return parts

    def _identities(self, one: talks.Recording) -> np.ndarray:
        if self.config.identity == "frame":
            return one.identity
        own = one.identity[one.valid] if one.valid.any() else one.identity
        return np.broadcast_to(own.mean(0), one.identity.shape)

    def load(self, step: int) -> dict[str, np.ndarray]:
        """Returns this host's rows of the batch of `step`, float32.

        speech [B, T, 16, C], whose row 8 is the frame's own, with zeros beyond the clip's ends;
        attributes [B, T, D]; state [B, D], those of the first frame; identity [B, T, I];
        around [B, T + 15, 6], the poses from 8 frames before the first to 7 after the last, zeros
        beyond the clip's ends; speaker [B], a row of `speakers`.
        """
        draw = self.plan.draw(step)
        around = np.arange(WINDOW)
        rows = []
        for clip, frames in zip(draw.clip[self._rows], draw.frames[self._rows], strict=True):
            values = self._attributes[clip][frames]
            rows.append(
                {
                    "speech": self._speech[clip][frames[:, None] + around],
                    "attributes": values,
                    "state": values[0],
                    "identity": self._identity[clip][frames],
                    "around": self._pose[clip][frames[0] : frames[-1] + WINDOW],
                    "speaker": np.float32(self._speaker[clip]),
                }
            )
        return batches.stack(rows)

    def iterate(self, first: int, end: int, threads: int = 4) -> Iterator[dict[str, Any]]:
        """Yields the batches of steps first, ..., end - 1: `batches.ahead`."""
        return batches.ahead(self.load, first, end, threads)


def batch_spec(data: Config, given: dict[str, PyTree], rows: int = 1) -> PyTree:
    """Returns the shapes of a batch of `rows` rows (`Sequences.load`)."""
    table, frames = given["speakers"], data.frames
    size = FACE + table["expression_mean"].shape[1]

    def leaf(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((rows, *shape), jnp.float32)

    return {
        "speech": leaf(frames, WINDOW, talks.CHANNELS[data.speech]),
        "attributes": leaf(frames, size),
        "state": leaf(size),
        "identity": leaf(frames, table["identity"].shape[1]),
        "around": leaf(frames + WINDOW - 1, POSE),
        "speaker": leaf(),
    }
