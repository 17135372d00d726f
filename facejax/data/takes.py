"""Takes: clips with sound, whole and at one frame rate, for Rhythmic Head Motion's learners."""

import dataclasses
import logging
from typing import NamedTuple

import numpy as np

from facejax import landmark_basis, performance
from facejax.audio import chunks as sound
from facejax.audio import waveform
from facejax.data import pipeline, records
from facejax.errors import InputError
from facejax.performance import Performance
from facejax.progress import progress

STATISTICS = ("data", "published")
CENTRES = ("data", "reference")
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
    centre: str = "data"  # that head motion is counted from: the statistics' mean, or "reference"

    def __post_init__(self):
        for name, due in (
            ("identity", landmark_basis.IDENTITIES),
            ("statistics", STATISTICS),
            ("centre", CENTRES),
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
