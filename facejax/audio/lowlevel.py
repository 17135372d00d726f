"""The 84 low-level speech features a video frame of HeadGAN (the low-level part of h^(a)).

Sixteen short windows begin in every video frame, each half a frame long; 21 features and their 21
differences are taken of each, and the mean and deviation over eight frames make the vector. The
feature set is pyAudioAnalysis' without chroma. Departures: positions come from exact times, so that
nothing drifts when a step is no whole number of samples; silence gives finite values.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import scipy.fft

SIZE = 84
STEPS = 16  # short windows that begin in a video frame
WINDOW = 8  # steps in a short window
FRAMES = 8  # video frames pooled
BLOCKS = 10  # sub-blocks of the two entropies
CEPSTRA = 13
EPS = 1e-8
ROLL_OFF = 0.90  # share of the energy below the roll-off frequency
LINEAR_FILTERS, LOG_FILTERS = 13, 27
LOWEST_HZ, LINEAR_HZ, LOG_RATIO = 133.33, 200 / 3, 1.0711703
BLOCK = 64  # video frames worked on at a time: bounds the memory


def lowlevel(
    wave: np.ndarray, rate: int, times: np.ndarray, fps: float | Fraction, *, centred: bool = False
) -> np.ndarray:
    """Returns the low-level features of every video frame.

    Args:
      wave: [n] mono sound in [-1, 1]; sample 0 sounds at time 0.
      rate: Hz.
      times: [T] times of the video frames, s.
      fps: frames a second; the mean where it varies. Sets the windows' length.
      centred: pool the eight frames t-4 to t+3 around each frame (the paper's a_{t-L-1:t+L},
        L = 3) and not the frames t to t+7 that follow (the released code).

    Returns:
      float32 [T, 84]: 42 means, then 42 deviations; each 21 features, then 21 differences.
      Frames past the end repeat the last features; without a whole window all are zero.
    """
    sound = _prepare(np.asarray(wave), rate, Fraction(fps).limit_denominator(100_000))
    pooled = np.zeros((len(times), SIZE), np.float32)
    if not sound.windows:
        return pooled
    first = np.round(np.asarray(times, np.float64) * float(rate / sound.step)).astype(np.int64)
    first = np.minimum(first, STEPS * ((sound.windows - 1) // STEPS))
    start = first - STEPS * FRAMES // 2 if centred else first
    for k in range(0, len(start), BLOCK):
        part = start[k : k + BLOCK]
        low = max(int(part.min()), 0)
        high = min(int(part.max()) + STEPS * FRAMES, sound.windows)
        pooled[k : k + BLOCK] = _pool(short_features(sound, low, high), part - low)
    return pooled


class _Sound(NamedTuple):
    """A waveform and its short windows."""

    wave: np.ndarray  # [n]
    rate: int  # Hz
    mean: float  # of the wave
    peak: float  # largest magnitude, before the mean is taken off
    step: Fraction  # samples from one window to the next
    length: int  # samples in a window
    windows: int  # whole ones


def _prepare(wave: np.ndarray, rate: int, fps: Fraction) -> _Sound:
    step, length = rate / (STEPS * fps), round(WINDOW * rate / (STEPS * fps))
    room = len(wave) - length  # the last window starts at round((count - 1) * step) <= room
    count = 0 if room < 0 else math.ceil((room + Fraction(1, 2)) / step)
    mean, peak = (float(wave.mean(dtype=np.float64)), _peak(wave)) if len(wave) else (0.0, 0.0)
    return _Sound(wave, rate, mean, peak, step, length, count)


def short_features(sound: _Sound, low: int, high: int) -> np.ndarray:
    """Returns [high - low, 42] of the windows from `low` on: 21 features, and their differences."""
    lead = min(low, 2)  # the difference needs the window before, whose flux needs one more
    rows = np.arange(low - lead, high)
    features = _features(sound, _rounded(rows, sound.step))
    differences = np.diff(features, axis=0, prepend=features[:1])
    return np.concatenate([features, differences], axis=1)[lead:]


def _rounded(index: np.ndarray, step: Fraction) -> np.ndarray:
    """Returns round(index * step) exactly, for whole `index`."""
    twice = 2 * index.astype(object) * step.numerator + step.denominator
    return (twice // (2 * step.denominator)).astype(np.int64)


def _features(sound: _Sound, starts: np.ndarray) -> np.ndarray:
    """Returns the 21 features of the windows that start at these samples, in order."""
    frames = sound.wave[starts[:, None] + np.arange(sound.length)].astype(np.float64)
    frames = (frames - sound.mean) / (sound.peak + 1e-10)
    bins = sound.length // 2
    spectrum = np.abs(scipy.fft.rfft(frames, axis=1))[:, :bins] / bins
    previous = np.concatenate([spectrum[:1], spectrum[:-1]])
    return np.column_stack(
        [
            _zero_crossings(frames),
            np.mean(frames**2, axis=1),
            _entropy(frames),
            *_centroid_and_spread(spectrum),
            _entropy(spectrum),
            _flux(spectrum, previous),
            _roll_off(spectrum),
            _cepstra(spectrum, filter_bank(sound.rate, bins)),
        ]
    )


def _zero_crossings(frames: np.ndarray) -> np.ndarray:
    changes = np.abs(np.diff(np.sign(frames), axis=1)).sum(axis=1) / 2
    return changes / (frames.shape[1] - 1)


def _entropy(values: np.ndarray) -> np.ndarray:
    """Returns the entropy, in bits, of how the energy of each row is spread over ten blocks."""
    size = values.shape[1] // BLOCKS
    energy = values**2
    blocks = energy[:, : size * BLOCKS].reshape(len(values), BLOCKS, size).sum(axis=2)
    share = blocks / (energy.sum(axis=1, keepdims=True) + EPS)
    return -(share * np.log2(share + EPS)).sum(axis=1)


def _centroid_and_spread(spectrum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns both as fractions of half the sampling rate."""
    bins = np.arange(1, spectrum.shape[1] + 1) / spectrum.shape[1]
    weight = spectrum / (spectrum.max(axis=1, keepdims=True) + EPS)
    total = weight.sum(axis=1) + EPS
    centroid = (weight @ bins) / total
    squares = (bins - centroid[:, None]) ** 2
    return centroid, np.sqrt((weight * squares).sum(axis=1) / total)


def _flux(spectrum: np.ndarray, previous: np.ndarray) -> np.ndarray:
    share = spectrum / (spectrum + EPS).sum(axis=1, keepdims=True)
    share_before = previous / (previous + EPS).sum(axis=1, keepdims=True)
    return ((share - share_before) ** 2).sum(axis=1)


def _roll_off(spectrum: np.ndarray) -> np.ndarray:
    energy = np.cumsum(spectrum**2, axis=1)
    return np.argmax(energy + EPS > ROLL_OFF * energy[:, -1:], axis=1) / spectrum.shape[1]


def _cepstra(spectrum: np.ndarray, filters: np.ndarray) -> np.ndarray:
    mel = np.log10(spectrum @ filters.T + EPS)
    return scipy.fft.dct(mel, type=2, norm="ortho", axis=1)[:, :CEPSTRA]


def filter_bank(rate: int, bins: int) -> np.ndarray:
    """Returns [40, bins]: triangles of equal area, 13 evenly and 27 logarithmically spaced.

    Bin i stands at i / bins * rate, twice its true frequency, as in the original.
    """
    linear = LOWEST_HZ + LINEAR_HZ * np.arange(LINEAR_FILTERS)
    edges = np.concatenate([linear, linear[-1] * LOG_RATIO ** np.arange(1, LOG_FILTERS + 3)])
    low, middle, high = (edges[k : len(edges) - 2 + k, None] for k in range(3))
    height = 2 / (high - low)
    hertz = np.arange(bins) / bins * rate
    rise, fall = (hertz - low) / (middle - low), (high - hertz) / (high - middle)
    return height * np.maximum(0, np.minimum(rise, fall))


def _pool(short: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Returns [T, 84]: mean and deviation of the rows start to start + 128 that exist."""
    index = start[:, None] + np.arange(STEPS * FRAMES)
    exists = ((index >= 0) & (index < len(short)))[..., None]
    rows = short[np.clip(index, 0, len(short) - 1)]
    count = exists.sum(axis=1)
    mean = (rows * exists).sum(axis=1) / count
    variance = (((rows - mean[:, None]) ** 2) * exists).sum(axis=1) / count
    return np.concatenate([mean, np.sqrt(variance)], axis=1)


def _peak(wave: np.ndarray) -> float:
    return float(max(wave.max(), -wave.min()))
