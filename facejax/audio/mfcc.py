"""Mel-frequency cepstra, and the 494 numbers a row that DeepSpeech v0.1.0 listens to.

26 coefficients at 50 Hz with the defaults of python_speech_features, on whose output the published
net was trained: int16 samples, rectangular frames, filter edges on whole bins of the spectrum,
the log energy in place of coefficient 0.
"""

import functools
import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import scipy.fft

from facejax.audio.framing import RATE, frames

CEPSTRA = 26  # coefficients, and mel filters
CONTEXT = 9  # rows before and after
INPUTS = (2 * CONTEXT + 1) * CEPSTRA  # 494
PRE_EMPHASIS = 0.97
FFT = 512
LIFTER = 22
EPS = np.finfo(np.float64).eps  # stands for an energy of zero


class Stats(NamedTuple):
    """The one mean and the one deviation that all 494 numbers of all rows are normalised by."""

    mean: float
    std: float


def mfcc(wave: np.ndarray) -> np.ndarray:
    """Returns float64 [T, 26] cepstra at 50 Hz of `wave` [n] in [-1, 1], mono, 16 kHz."""
    return np.concatenate([np.zeros((0, CEPSTRA)), *mfcc_blocks([np.asarray(wave)])])


def mfcc_blocks(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yields the rows of `mfcc` as the sound comes in, [n] a block, in constant memory."""
    return map(_cepstra, frames(_emphasised(blocks)))


def context_blocks(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yields [n, 494]: each row of cepstra between its 9 neighbours on either side.

    Before the first row and after the last there are rows of zeros. A row comes out once its nine
    followers are in.
    """
    edge = np.zeros((CONTEXT, CEPSTRA))
    held = edge
    for rows in itertools.chain(blocks, [edge]):
        held = np.concatenate([held, rows])
        ready = len(held) - 2 * CONTEXT
        if ready > 0:
            windows = np.lib.stride_tricks.sliding_window_view(held, 2 * CONTEXT + 1, axis=0)
            yield windows.swapaxes(1, 2).reshape(ready, INPUTS)  # oldest row first
            held = held[ready:]


def net_input(cepstra: np.ndarray, stats: Stats | None = None) -> np.ndarray:
    """Returns DeepSpeech's input, float32 [T, 494], for the `cepstra` [T, 26] of an utterance.

    Args:
      cepstra: from `mfcc`.
      stats: what to normalise by; None: the mean and deviation of this utterance, with the zeros
        that surround it, as the published front end does. That needs the whole utterance; give
        the stats of an earlier one to work on a stream.
    """
    rows = np.concatenate([np.zeros((0, INPUTS)), *context_blocks([cepstra])])
    return normalised(rows, stats or measured(rows)).astype(np.float32)


def measured(rows: np.ndarray) -> Stats:
    """Returns the statistics of rows in context, [T, 494]."""
    if not len(rows):
        return Stats(0.0, 1.0)
    return Stats(float(np.mean(rows)), float(np.std(rows)))


def normalised(rows: np.ndarray, stats: Stats) -> np.ndarray:
    """Returns (rows - mean) / std."""
    if not stats.std > 0:
        raise ValueError(f"stats.std is {stats.std}; due: above 0")
    return (rows - stats.mean) / stats.std


def _emphasised(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yields x[n] - 0.97 x[n - 1] of the sound as int16 would hold it; the first sample as it is.

    Cut towards zero, not rounded, as NumPy's cast does; what exceeds the range is clipped, where
    the cast would wrap around.
    """
    before = 0.0
    for block in blocks:
        if len(block):
            samples = np.trunc(np.clip(np.asarray(block, np.float64) * 32768, -32768, 32767))
            yield samples - PRE_EMPHASIS * np.concatenate([[before], samples[:-1]])
            before = samples[-1]


def _cepstra(part: np.ndarray) -> np.ndarray:
    power = np.abs(scipy.fft.rfft(part, FFT, axis=1)) ** 2 / FFT
    mel = _log(power @ filter_bank().T)
    rows = scipy.fft.dct(mel, type=2, norm="ortho", axis=1)[:, :CEPSTRA]
    rows *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(CEPSTRA) / LIFTER)
    rows[:, 0] = _log(power.sum(axis=1))
    return rows


def _log(energy: np.ndarray) -> np.ndarray:
    return np.log(np.where(energy == 0, EPS, energy))


@functools.cache
def filter_bank() -> np.ndarray:
    """Returns [26, 257]: triangles from 0 to 8 kHz, evenly spaced in mel, edges on whole bins."""
    mel = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), CEPSTRA + 2)
    edges = np.floor((FFT + 1) * 700 * (10 ** (mel / 2595) - 1) / RATE)
    low, middle, high = (edges[k : k + CEPSTRA, None] for k in range(3))
    bins = np.arange(FFT // 2 + 1)
    rise, fall = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return np.maximum(0, np.minimum(rise, fall))
