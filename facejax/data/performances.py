"""Batches for Rhythmic Head Motion's two learners: raw sound, head motion, expressions.

Both read whole clips with sound, at one frame rate; what a row of a batch holds is each one's own:
`Expressions` one frame, `HeadMotions` a reference and what follows it.
"""

import dataclasses
import functools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax import landmark_basis, performance
from facejax.audio import chunks as sound
from facejax.audio import noise, waveform
from facejax.data import batches, pipeline, records, schedule
from facejax.errors import InputError
from facejax.geometry.head_motion import NUMBERS
from facejax.landmark_basis import LandmarkBasis, Person
from facejax.performance import Performance
from facejax.progress import progress
from facejax.system import PyTree

LEAST_VALID = 0.9  # share of a stretch's frames that must show a face
LEAST_STD = (1e-3, 1e-3, 1e-3, 0.1, 0.1, 0.1)  # rad, px: of a head that never moves
HEARD_SMOOTHED = 21  # frames of the window over the sound, in the published code
STATISTICS = ("data", "published")
PUBLISHED_MEAN = (0.07, -0.008, -0.016, 11.4, 5.69, -4.37)  # rad, px: of VoxCeleb2
PUBLISHED_STD = (0.066, 0.132, 0.071, 9.99, 9.24, 16.95)
COLOURED = "coloured"  # noise that needs no file


@dataclasses.dataclass(frozen=True)
class Config:
    """What is read, and how. The lengths are the paper's."""

    path: str  # data folder
    split: str = "train"
    batch: int = 64  # over all devices and hosts, B
    step: int = 1  # frames from the start of one stretch to the next's
    fps: float = 25.0  # frames a second; clips of another rate are interpolated
    rate: int = 50000  # Hz of the raw sound; released, of head motion: 16000
    tau: int = 64  # frames of the reference
    frames: int = 64  # that are made of the sound after it (head motion)
    clips: str = ""  # ids or glob patterns, separated by commas; empty: all
    span: tuple[float, float] = (0.0, 1.0)  # fraction of each clip that is used
    landmarks: str = ""  # basis of expressions (facejax model landmarks); "": of these clips
    components: int = landmark_basis.COMPONENTS  # of a basis made here
    dimensions: int = 3  # likewise; released: 2
    identity: str = "key"  # how a person's own face is set apart; released: "template"
    noise: str = ""  # under the sound: "coloured", or a sound file or folder of them; "": none
    gains: tuple[float, ...] = ()  # dB, one of them drawn for each row; released: -12 to 6
    late: int = 0  # frames by which smoothed motion and sound lag; released: 1
    smooth_sound: bool = False  # over frames; released, of head motion: True
    statistics: str = "data"  # that normalise head motion: of the clips, or "published"

    def __post_init__(self):
        for name, due in (
            ("identity", landmark_basis.IDENTITIES),
            ("statistics", STATISTICS),
        ):
            if getattr(self, name) not in due:
                raise InputError(f"data.{name} is {getattr(self, name)!r}; due: {' or '.join(due)}")
        for name, least in (("batch", 1), ("step", 1), ("tau", 13), ("frames", 2), ("late", 0)):
            if getattr(self, name) < least:
                raise InputError(f"data.{name} is {getattr(self, name)}; due: {least} or more")
        if not 0 < self.fps < 1000:
            raise InputError(f"data.fps is {self.fps}; due: frames a second, as 25")
        sound.samples_a_frame(self.rate, self.fps)
        pipeline.check_span(self.span)


@dataclasses.dataclass(frozen=True)
class ExpressionConfig(Config):
    """What Psi reads."""

    batch: int = 4
    noise: str = COLOURED


class Take(NamedTuple):
    """One clip, in memory."""

    clip_id: str
    seen: Performance
    chunks: np.ndarray  # [T + 6, n] int16

    def part(self, first: int, end: int) -> "Take":
        """Returns the frames first, ..., end - 1, with the sound around them."""
        around = sound.WINDOW - 1
        return self._replace(
            seen=self.seen.part(first, end), chunks=self.chunks[first : end + around]
        )


def as_floats(chunks: np.ndarray) -> np.ndarray:
    """Returns int16 sound as float32 in [-1, 1]."""
    return chunks.astype(np.float32) / 32767


def as_integers(wave: np.ndarray) -> np.ndarray:
    """Returns sound in [-1, 1] as int16; what is louder is clipped."""
    return np.rint(32767 * np.clip(wave, -1, 1)).astype(np.int16)


def open_takes(config: Config) -> list[Take]:
    """Returns the chosen clips, in order; one without sound or face is left out, and named.

    Raises:
      InputError: nothing there, or no clip of use.
    """
    clips = records.open_clips(config.path, config.split)
    canonical = performance.canonical_face(clips.model)
    found, useless = [], []
    for number in progress(pipeline.select(clips.ids, config.clips), None, "listen"):
        clip = clips[number]
        if clip.audio.any() and clip.valid.any():
            found.append(_take(clip, canonical, config))
        else:
            useless.append(clip.clip_id)
    if not found:
        raise InputError(
            f"no clip in {config.path}, split {config.split}, has both sound and a face; "
            "preprocess videos with sound"
        )
    if useless:
        shown = ", ".join(useless[:8]) + (", ..." if len(useless) > 8 else "")
        logging.warning("clips without sound or face are left out: %s", shown)
    return found


def seen_in(clip: records.Clip, canonical: np.ndarray, fps: float = 25.0) -> Performance:
    """Returns what a clip shows, at a frame rate; see `performance.measure`."""
    side = records.decode_frame(clip.frames[0]).shape[0]
    return performance.measure(
        clip.landmarks, clip.valid, canonical, size=side, times=clip.times, fps=fps
    )


def _take(clip: records.Clip, canonical: np.ndarray, config: Config) -> Take:
    seen = seen_in(clip, canonical, config.fps)
    wave = waveform.resample(clip.audio / np.float32(32768), records.AUDIO_RATE, config.rate)
    size = sound.samples_a_frame(config.rate, config.fps)
    chunks = sound.padded_chunks(wave, size, len(seen.motion))
    return Take(clip.clip_id, seen, as_integers(chunks))


class Performances:
    """The stretches of one split. Nothing in it moves: `load` is a pure function of the step.

    An epoch visits every stretch once, in random order; the incomplete last batch is dropped.

    Args:
      config: what to read.
      seed: of the order.
      rows: the rows of each batch that this host makes; None for all.

    Raises:
      InputError: nothing usable in the folder.
    """

    def __init__(self, config: Config, seed: int, rows: slice | None = None):
        batches.keep_tensorflow_on_cpu()
        self.config, self._rows, self._seed = config, rows or slice(None), seed
        takes = self._useful(open_takes(config))
        spans = [pipeline.frame_range(len(one.seen.motion), config.span) for one in takes]
        self.takes = [one.part(*span) for one, span in zip(takes, spans, strict=True)]
        self.plan = schedule.Schedule(
            self._stretches(), batch=config.batch, frames=self.length, windows=(1,), seed=seed
        )
        clips = records.open_clips(config.path, config.split)
        self.given: dict[str, Any] = {"morphable": clips.model} | self._given()

    @property
    def length(self) -> int:
        """Frames in a stretch."""
        raise NotImplementedError

    def _given(self) -> dict[str, Any]:
        raise NotImplementedError

    def _useful(self, takes: list[Take]) -> list[Take]:
        return takes

    def row(self, take: int, first: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Returns one row of a batch: the stretch of a take that begins at a frame."""
        raise NotImplementedError

    def _stretches(self) -> list[schedule.Part]:
        """Returns where stretches lie: those in which nearly all frames show a face."""
        parts, longest = [], 0
        for number, one in enumerate(self.takes):
            seen = np.concatenate([[0], np.cumsum(one.seen.valid)])
            longest = max(longest, len(one.seen.valid))
            for start in range(0, len(one.seen.valid) - self.length + 1, self.config.step):
                if seen[start + self.length] - seen[start] >= LEAST_VALID * self.length:
                    parts.append(schedule.Part(number, start, self.length))
        if not parts:
            raise InputError(
                f"{self.config.path}, split {self.config.split}: no clip has {self.length} frames "
                f"with a face at {self.config.fps:g} a second in span {self.config.span}; the "
                f"longest has {longest}; preprocess longer clips, or lower data.tau and data.frames"
            )
        return parts

    def load(self, step: int) -> dict[str, Any]:
        """Returns this host's rows of the batch of `step`, float32; see each source's `row`."""
        draw = self.plan.draw(step)
        numbers = np.arange(self.config.batch)[self._rows]
        made = []
        for row in numbers:
            rng = np.random.default_rng([self._seed, 2, step, int(row)])
            made.append(self.row(int(draw.clip[row]), int(draw.frames[row, 0]), rng))
        return batches.stack(made)

    def iterate(self, first: int, end: int, threads: int = 4) -> Iterator[dict[str, Any]]:
        """Yields the batches of steps first, ..., end - 1: `batches.ahead`."""
        return batches.ahead(self.load, first, end, threads)


class Expressions(Performances):
    """Psi's batches: audio [B, 7 n], reference [B, K], target [B, K] px."""

    @property
    def length(self) -> int:
        """One frame."""
        return 1

    def _useful(self, takes: list[Take]) -> list[Take]:
        """Leaves out, and names, clips that never show the face from the front."""
        kept = []
        for one in takes:
            first, end = pipeline.frame_range(len(one.seen.motion), self.config.span)
            try:
                performance.key_frame(one.seen.part(first, end), name=f"clip {one.clip_id}")
                kept.append(one)
            except InputError as error:
                if len(takes) == 1 or (not kept and one is takes[-1]):
                    raise
                logging.warning("left out: %s", error)
        return kept

    def _given(self) -> dict[str, Any]:
        self.noises = read_noises(self.config)
        seen = [one.seen for one in self.takes]
        canonical = performance.canonical_face(
            records.open_clips(self.config.path, self.config.split).model
        )
        basis = make_basis(self.config, seen, canonical)
        pairs = [
            _told(basis, one, self.config.identity, take.clip_id)
            for one, take in zip(seen, self.takes, strict=True)
        ]
        self._people = [person for person, _ in pairs]
        self._targets = [target for _, target in pairs]
        frames = [t[one.valid] for t, one in zip(self._targets, seen, strict=True)]
        return {"landmarks": basis._asdict() | {"usual": np.concatenate(frames).mean(0)}}

    def row(self, take: int, first: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Returns audio [7 n], with noise or at another loudness; reference [K]; target [K]."""
        audio = as_floats(self.takes[take].chunks[first : first + sound.WINDOW]).reshape(-1)
        if self.noises:
            audio = noise.add_random_noise(audio, self.noises, rng)
        if self.config.gains:
            audio = audio * 10 ** (float(rng.choice(self.config.gains)) / 20)
        return {
            "audio": audio,
            "reference": self._people[take].reference,
            "target": self._targets[take][first],
        }


def _told(
    basis: LandmarkBasis, seen: Performance, identity: str, name: str
) -> tuple[Person, np.ndarray]:
    person = landmark_basis.person(basis, seen, identity, f"clip {name}")
    return person, landmark_basis.expressions(basis, person, seen.fronts)


def make_basis(config: Config, seen: list[Performance], canonical: np.ndarray) -> LandmarkBasis:
    """Returns the basis that a config names, or that of these performances.

    Raises:
      InputError: see `landmark_basis.load` and `landmark_basis.fit`.
    """
    if config.landmarks:
        return landmark_basis.load(config.landmarks, canonical)
    return landmark_basis.fit(seen, canonical, config.components, config.dimensions)


def read_noises(config: Config) -> list[np.ndarray]:
    """Returns the noises of a config, [m] each at its rate.

    Raises:
      InputError: no such file, or no sound in it.
    """
    if config.noise in ("", COLOURED):
        return noise.coloured(10 * config.rate) if config.noise else []
    path = Path(config.noise)
    if not path.exists():
        raise InputError(f"data.noise is {path}, which is not there; due: sounds, or {COLOURED}")
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    found = [waveform.load(file, config.rate) for file in files]
    if not any(len(one) for one in found):
        raise InputError(f"{path} holds no sound; due: a sound file or a folder of them")
    return [one for one in found if len(one)]


class HeadMotions(Performances):
    """Phi's batches: a reference of `tau` frames, and the `frames` frames after it.

    known_motion [B, tau, 6] and motion [B, frames, 6], smoothed and normalised; known_chunks
    [B, tau + 6, n] and chunks [B, frames + 6, n].
    """

    @property
    def length(self) -> int:
        """The reference and what is made."""
        return self.config.tau + self.config.frames

    def _given(self) -> dict[str, Any]:
        smooth = functools.partial(
            performance.smoothed, width=performance.SMOOTHED_MOTION, late=self.config.late
        )
        motion = [smooth(one.seen.motion) for one in self.takes]
        table = motion_table(self.config, motion, [one.seen.valid for one in self.takes])
        self._motion = [normalised(one, table) for one in motion]
        return {"head_motion": table}

    def row(self, take: int, first: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Returns known_motion, motion, known_chunks and chunks of a stretch."""
        del rng
        middle, end = first + self.config.tau, first + self.length
        around = sound.WINDOW - 1
        heard = heard_as(self.config, self.takes[take].chunks[first : end + around])
        return {
            "known_motion": self._motion[take][first:middle],
            "known_chunks": heard[: self.config.tau + around],
            "motion": self._motion[take][middle:end],
            "chunks": heard[self.config.tau :],
        }


def heard_as(config: Config, chunks: np.ndarray) -> np.ndarray:
    """Returns int16 chunks [C, n] as Phi hears them, float32 in [-1, 1]."""
    heard = as_floats(chunks)
    if config.smooth_sound:
        heard = performance.smoothed(heard, HEARD_SMOOTHED, config.late)
    return heard


def heard_part(config: Config, chunks: np.ndarray, first: int, end: int) -> np.ndarray:
    """Returns `heard_as` of the frames first, ..., end - 1: [end - first + 6, n].

    Args:
      config: the data's.
      chunks: int16 [T + 6, n] of all frames.
      first: frame.
      end: after the last.
    """
    reach = (HEARD_SMOOTHED // 2 + config.late) if config.smooth_sound else 0
    begin = max(0, first - reach)
    heard = heard_as(config, chunks[begin : end + sound.WINDOW - 1 + reach])
    return heard[first - begin :][: end - first + sound.WINDOW - 1]


def motion_table(
    config: Config, motion: list[np.ndarray], valid: list[np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns what normalises head motion: mean and std, [6]."""
    if config.statistics == "published":
        mean, std = np.asarray(PUBLISHED_MEAN), np.asarray(PUBLISHED_STD)
    else:
        rows = np.concatenate([m[v] for m, v in zip(motion, valid, strict=True)])
        mean, std = rows.mean(0, np.float64), np.maximum(rows.std(0, dtype=np.float64), LEAST_STD)
    return {"mean": mean.astype(np.float32), "std": std.astype(np.float32)}


def known_motion(motion: np.ndarray, data: Config, table: PyTree) -> np.ndarray:
    """Returns head motions [t, 6] as Phi is given them: smoothed and normalised."""
    smooth = performance.smoothed(motion, performance.SMOOTHED_MOTION, data.late)
    return normalised(smooth, table)


def told_motion(made: np.ndarray, table: PyTree) -> np.ndarray:
    """Returns what Phi made, [T, 6], in radians and px, as smooth as the motions it learnt from.

    Departs from paper and published code: each frame is made of its own sound, so that what is
    made trembles where what was learnt does not.
    """
    return denormalised(performance.smoothed(made, performance.SMOOTHED_MOTION), table)


def normalised(motion: np.ndarray, table: PyTree) -> np.ndarray:
    """Returns head motions [..., 6] as multiples of the deviation from the mean."""
    return ((motion - table["mean"]) / table["std"]).astype(np.float32)


def denormalised(motion: np.ndarray, table: PyTree) -> np.ndarray:
    """The inverse of `normalised`."""
    return (motion * table["std"] + table["mean"]).astype(np.float32)


def expression_spec(data: Config, given: dict[str, PyTree], rows: int = 1) -> PyTree:
    """Returns the shapes of a batch of `Expressions`."""
    size = len(given["landmarks"]["axes"])
    samples = sound.WINDOW * sound.samples_a_frame(data.rate, data.fps)
    return _leaves(rows, audio=(samples,), reference=(size,), target=(size,))


def motion_spec(data: Config, given: dict[str, PyTree], rows: int = 1) -> PyTree:
    """Returns the shapes of a batch of `HeadMotions`."""
    del given
    size, around = sound.samples_a_frame(data.rate, data.fps), sound.WINDOW - 1
    return _leaves(
        rows,
        known_motion=(data.tau, NUMBERS),
        known_chunks=(data.tau + around, size),
        motion=(data.frames, NUMBERS),
        chunks=(data.frames + around, size),
    )


def _leaves(rows: int, **shapes: tuple[int, ...]) -> PyTree:
    return {k: jax.ShapeDtypeStruct((rows, *shape), jnp.float32) for k, shape in shapes.items()}
