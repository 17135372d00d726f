"""Speech features of a file or a waveform, one row a video frame: the entry to this room."""

import os
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from facejax.audio import deepspeech, waveform
from facejax.audio.framing import RATE
from facejax.audio.mel import log_mel
from facejax.audio.mfcc import mfcc
from facejax.audio.windows import at_times, frame_times
from facejax.checks import shapes
from facejax.errors import InputError

CHANNELS = {"mel": 29, "deepspeech": 29, "mfcc": 26}
LOUDEST = 64.0  # nothing that is meant to lie in [-1, 1] gets there


def speech_features(
    source: str | os.PathLike | np.ndarray,
    kind: str = "mel",
    *,
    fps: float | Fraction | None = None,
    weights: str | os.PathLike | deepspeech.Model | None = None,
    rate: int = RATE,
) -> np.ndarray:
    """Returns float32 [T, C], row t for the video frame at t / fps s, T = round(seconds * fps).

    Args:
      source: any file with sound that FFmpeg reads, or mono sound [n], floats in [-1, 1].
      kind: "mel", 29 log-mel bands; "deepspeech", 29 logits of DeepSpeech v0.1.0; "mfcc", the 26
        cepstra that DeepSpeech starts from, not normalised.
      fps: video frames a second; None: the features' own 50 rows a second, not interpolated.
      weights: for "deepspeech", its frozen graph, or the `deepspeech.load` of it (once for many
        sounds: the file has half a gigabyte).
      rate: Hz, of a waveform.

    Raises:
      InputError: the sound cannot be read or is shorter than one frame; the weights are missing
        or others.
      ValueError: no such kind; or a waveform of another shape, type or range.
    """
    rows_of = _extractor(kind, weights)
    wave = _mono(source, rate)
    rows, seconds = rows_of(wave), Fraction(len(wave), RATE)
    times = None if fps is None else frame_times(seconds, _positive(fps))
    if not len(rows) or (times is not None and not len(times)):
        name = "the waveform" if isinstance(source, np.ndarray) else source
        needed = "a sample" if fps is None else f"half a frame at {float(fps):g} fps"
        raise InputError(
            f"{name} lasts {float(seconds):.3f} s, less than {needed}; give more sound"
        )
    rows = rows.astype(np.float32)
    return rows if times is None else at_times(rows, times)


def _extractor(kind: str, weights) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the function of a kind, wave [n] -> [T, C]; loads weights before any sound."""
    if kind not in CHANNELS:
        raise ValueError(f"kind is {kind!r}; due: one of {', '.join(CHANNELS)}")
    if kind != "deepspeech":
        return {"mel": log_mel, "mfcc": mfcc}[kind]
    if weights is None:
        raise InputError(
            f"deepspeech features need weights: give the path of {deepspeech.FILE} "
            f"({deepspeech.SOURCE}), or use the kind mel, which needs none"
        )
    model = weights if isinstance(weights, deepspeech.Model) else deepspeech.load(weights)
    return lambda wave: deepspeech.logits(model, mfcc(wave))


def _mono(source, rate: int) -> np.ndarray:
    """Returns sound [n] at 16 kHz from a file or a checked waveform."""
    if isinstance(source, str | os.PathLike):
        return waveform.load(source)
    wave = np.asarray(source)
    shapes(waveform=(wave, "n"))
    if not np.issubdtype(wave.dtype, np.floating):
        raise ValueError(f"waveform is {wave.dtype}; due: floats in [-1, 1] (int16 / 32768)")
    if not np.isfinite(wave).all():
        raise ValueError("waveform has values that are not finite")
    if len(wave) and np.abs(wave).max() > LOUDEST:
        raise ValueError(f"waveform reaches {np.abs(wave).max():g}; due: [-1, 1]")
    return waveform.resample(wave, rate)


def _positive(fps: float | Fraction) -> float | Fraction:
    if not 0 < fps < float("inf"):
        raise ValueError(f"fps is {fps}; due: above 0")
    return fps
