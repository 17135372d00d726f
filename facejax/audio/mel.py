"""29 log-mel bands at 50 Hz: the speech feature that needs no weights.

Same rate, row for row the same times, and as many channels as DeepSpeech's logits, so that either
fits every net. The normalisation is fixed, not measured on the sound: a row depends on 40 ms of
sound and nothing else, and a stream gives what the whole file gives.
"""

import functools
from collections.abc import Iterable, Iterator

import numpy as np
import scipy.fft

from facejax.audio.framing import FRAME, RATE, frames

BANDS = 29
LENGTH = 640  # samples, 40 ms: Hann frames that overlap by half weigh every sample the same
LEAD = (LENGTH - FRAME) // 2  # around the middle of DeepSpeech's frame
FFT = 1024
LOWEST_HZ, HIGHEST_HZ = 60.0, 7600.0
FLOOR_DB = -100.0  # where silence lies; a sine of full scale is 0 dB
CENTRE_DB, SPREAD_DB = -50.0, 20.0  # near the mean and the deviation of recorded speech


def log_mel(wave: np.ndarray) -> np.ndarray:
    """Returns float32 [T, 29] of `wave` [n] in [-1, 1], mono, 16 kHz: (dB + 50) / 20.

    Digital silence is exactly -2.5, a sine of full scale about 2.5 in its band.
    """
    return np.concatenate([np.zeros((0, BANDS), np.float32), *log_mel_blocks([np.asarray(wave)])])


def log_mel_blocks(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yields the rows of `log_mel` as the sound comes in, [n] a block, in constant memory."""
    return map(_bands, frames(blocks, LENGTH, LEAD))


def _bands(part: np.ndarray) -> np.ndarray:
    spectrum = scipy.fft.rfft(part * _window(), FFT, axis=1)
    power = np.abs(spectrum) ** 2 @ filter_bank().T
    level = 10 * np.log10(np.maximum(power, 10 ** (FLOOR_DB / 10)))
    return ((level - CENTRE_DB) / SPREAD_DB).astype(np.float32)


@functools.cache
def _window() -> np.ndarray:
    """A Hann window, scaled so that the bins of a sine of full scale hold a power of 1."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(LENGTH) / LENGTH)
    return hann * 2 / np.sqrt(FFT * (hann**2).sum())


@functools.cache
def filter_bank() -> np.ndarray:
    """Returns [29, 513]: triangles of height 1, evenly spaced in mel (2595 log10(1 + f / 700))."""
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (LOWEST_HZ, HIGHEST_HZ))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    left, middle, right = (edges[k : k + BANDS, None] for k in range(3))
    hertz = np.arange(FFT // 2 + 1) * RATE / FFT
    rise, fall = (hertz - left) / (middle - left), (right - hertz) / (right - middle)
    return np.maximum(0, np.minimum(rise, fall))
