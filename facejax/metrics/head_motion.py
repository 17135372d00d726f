"""How alike two ways of moving the head are: errors aside, what does not depend on the moment.

Speech allows many head motions, so that a motion can be right and far from the true one at every
moment. Beside the error this room has: a proper score of several samples, means and deviations,
spectra, and how the motion goes with speech. Poses are [T, 6].
"""

import numpy as np
from scipy import signal

from facejax.checks import shapes

SEGMENT = 128  # frames of a spectrum's windows
SIGMA = 0.1  # s: a head beat so far from a beat of speech counts exp(-1/2)
SLOW = 1.0  # s: slower motion is no nod
STILL = 1e-9  # variance of what does not move
DEEPSPEECH_BLANK = 28


def energy_score(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns the energy score of each frame, [T]; 0 is perfect, and one sample's is its distance.

    Gneiting & Raftery 2007, doi 10.1198/016214506000001437: mean |x_k - y| less half the mean
    distance of two samples. Expected to be least where samples are drawn as the truth is.

    Args:
      samples: [K, T, C].
      truth: [T, C].
    """
    sizes = shapes(samples=(samples, "K T C"), truth=(truth, "T C"))
    apart = np.linalg.norm(samples - truth, axis=-1).mean(0)
    count = sizes["K"]
    if count == 1:
        return apart
    between = sum(
        np.linalg.norm(samples[i] - samples[j], axis=-1) for i in range(count) for j in range(i)
    )
    return apart - between / (count * (count - 1))


def mean_errors(pose: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Returns how far the mean pose lies from the true mean: mean_degrees and mean_mm."""
    apart = np.abs(pose.mean(0) - truth.mean(0))
    return {
        "mean_degrees": float(np.rad2deg(apart[:3]).mean()),
        "mean_mm": float(apart[3:].mean()),
    }


def deviation_ratio(pose: np.ndarray, truth: np.ndarray) -> float:
    """Returns the deviation over the true one, the mean of the six; 1 is as lively as the truth."""
    return float(np.mean(pose.std(0) / np.maximum(truth.std(0), np.sqrt(STILL))))


def spectrum(pose: np.ndarray, fps: float) -> np.ndarray:
    """Returns the share of each frequency in the motion's power, [F, 6]; 0 of what does not move.

    Welch's method, Hann windows of SEGMENT frames (or the whole motion, if it is shorter).
    """
    size = min(SEGMENT, len(pose))
    _, power = signal.welch(pose, fps, nperseg=size, axis=0, detrend="constant")
    total = power.sum(0)
    return np.where(pose.var(0) > STILL, power / np.maximum(total, 1e-30), 0.0)


def spectrum_distance(pose: np.ndarray, truth: np.ndarray, fps: float) -> float:
    """Returns the mean over the six of half the sum of differences of `spectrum`s: 0 to 1.

    0: power lies at the same frequencies; 1: nowhere at the same, or one of them does not move.
    """
    one, other = spectrum(pose, fps), spectrum(truth, fps)
    alive = (one.sum(0) > 0) & (other.sum(0) > 0)
    return float(np.where(alive, np.abs(one - other).sum(0) / 2, 1.0).mean())


def loudness(rows: np.ndarray, kind: str) -> np.ndarray:
    """Returns how strongly is spoken, [T], from speech features [T, C] of a kind.

    "mel": the mean band; "mfcc": its energy; "deepspeech": the probability that a letter is heard;
    "null": nothing.
    """
    rows = np.asarray(rows, np.float64)
    if kind == "mel":
        return rows.mean(1)
    if kind == "mfcc":
        return rows[:, 0]
    if kind.startswith("deepspeech"):
        grown = np.exp(rows - rows.max(1, keepdims=True))
        return 1 - grown[:, DEEPSPEECH_BLANK] / grown.sum(1)
    return np.zeros(len(rows))


def speech_beats(loud: np.ndarray, fps: float) -> np.ndarray:
    """Returns the moments, s, at which speech is stressed: peaks of its loudness [T]."""
    if loud.var() <= STILL:
        return np.zeros(0)
    found, _ = signal.find_peaks(loud, distance=max(1, round(0.15 * fps)), prominence=loud.std())
    return found / fps


def head_beats(pose: np.ndarray, fps: float) -> np.ndarray:
    """Returns the moments, s, at which the head turns back: least angular speeds between greater.

    As in Li et al. 2021 (AIST++), arXiv:2101.08779, whose beats are local minima of speed.
    """
    if len(pose) < 3 or (pose[:, :3].var(0) <= STILL).all():
        return np.zeros(0)
    speed = np.linalg.norm(np.gradient(pose[:, :3], axis=0), axis=1)
    found, _ = signal.find_peaks(-speed, prominence=0.5 * speed.std())
    return found / fps


def beat_alignment(pose: np.ndarray, loud: np.ndarray, fps: float) -> float:
    """Returns the mean over head beats of exp(-d^2 / 2 SIGMA^2), d to the nearest of speech.

    Li et al. 2021 (AIST++), equation 6. 0 where one of them has no beat.

    Args:
      pose: [T, 6].
      loud: [T] of `loudness`.
      fps: frames a second.
    """
    shapes(pose=(pose, "T 6"), loud=(loud, "T"))
    moved, spoken = head_beats(pose, fps), speech_beats(loud, fps)
    if not len(moved) or not len(spoken):
        return 0.0
    nearest = np.abs(moved[:, None] - spoken).min(1)
    return float(np.exp(-(nearest**2) / (2 * SIGMA**2)).mean())


def nod_correlation(pose: np.ndarray, truth: np.ndarray, fps: float) -> float:
    """Returns the correlation of pitch with the true pitch, both without what is slower than SLOW.

    What goes with speech in it is right at its moment; what does not cannot be. 0 if one is still.
    """
    shapes(pose=(pose, "T 6"), truth=(truth, "T 6"))
    one, other = _quick(pose[:, 0], fps), _quick(truth[:, 0], fps)
    lengths = np.linalg.norm(one) * np.linalg.norm(other)
    return float(one @ other / lengths) if lengths > STILL else 0.0


def _quick(values: np.ndarray, fps: float) -> np.ndarray:
    """Returns [T] less its moving average."""
    size = max(1, round(SLOW * fps)) | 1
    near = np.pad(np.asarray(values, np.float64), size // 2, mode="edge")
    return values - np.convolve(near, np.ones(size) / size, mode="valid")


def variety(samples: np.ndarray, truth: np.ndarray) -> float:
    """Returns the deviation among samples [K, T, 6] over the true deviation in time; 0: all alike.

    The mean over frames and the six. Samples drawn as the truth have about 1.
    """
    among = np.std(samples, axis=0).mean(0)
    return float(np.mean(among / np.maximum(truth.std(0), np.sqrt(STILL))))
