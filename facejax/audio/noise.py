"""Noise under speech, the augmentation that makes Rhythmic Head Motion robust to sound."""

from collections.abc import Sequence

import numpy as np

from facejax.checks import shapes

SNRS_DB = tuple(range(6, 31, 3))  # 6 to 30 dB in steps of 3 (Rhythmic Head Motion, sec. 3.2)


def mix(
    speech: np.ndarray, noise: np.ndarray, snr_db: float, rng: np.random.Generator
) -> np.ndarray:
    """Returns float32 [n]: speech + gain * noise, with the powers `snr_db` apart.

    Power is the mean square over the whole speech and over the part of the noise that is laid
    under it: a part from a random place, or, of a noise that is shorter, the noise repeated from a
    random place on. Where speech or noise is silent no gain gives the ratio: speech comes back
    unchanged. The sum is not clipped and may leave [-1, 1].

    Args:
      speech: [n].
      noise: [m] at the same rate, m at least 1.
      snr_db: 10 log10(power of speech / power of noise).
      rng: where the part begins.
    """
    shapes(speech=(speech, "n"), noise=(noise, "m"))
    if not len(noise):
        raise ValueError("noise has no sample; due: at least one")
    last = len(noise) - len(speech)  # beyond it a part would run over the end
    start = rng.integers(last + 1 if last >= 0 else len(noise))
    under = np.take(noise, np.arange(start, start + len(speech)), mode="wrap")
    powers = [np.mean(np.square(part, dtype=np.float64)) for part in (speech, under) if len(part)]
    if not powers or 0 in powers:
        return np.asarray(speech, np.float32)
    gain = np.sqrt(powers[0] / powers[1] / 10 ** (snr_db / 10))
    return np.asarray(speech + gain * under, np.float32)


def add_random_noise(
    speech: np.ndarray, noises: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Returns `mix` of speech [n] with one of `noises` ([m] each) at one of SNRS_DB."""
    noise = noises[int(rng.integers(len(noises)))]
    return mix(speech, noise, float(rng.choice(SNRS_DB)), rng)


def coloured(samples: int, seed: int = 0) -> list[np.ndarray]:
    """Returns white, pink and brown noise: float32 [samples] each, with a root mean square of 0.1.

    Their power falls with the frequency to the power of 0, 1 and 2. No file is needed.
    """
    rng = np.random.default_rng(seed)
    frequency = np.maximum(np.fft.rfftfreq(samples), 1 / max(samples, 1))
    made = []
    for power in (0, 1, 2):
        spectrum = rng.normal(size=(2, len(frequency))) / frequency ** (power / 2)
        spectrum[:, 0] = 0  # no constant
        wave = np.fft.irfft(spectrum[0] + 1j * spectrum[1], samples)
        made.append((0.1 * wave / np.sqrt(np.mean(wave**2))).astype(np.float32))
    return made
