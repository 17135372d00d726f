"""Speech from nothing: one row of articulators drives both the sound and the mouth.

An utterance is a row of phones. Smoothed, their targets give tracks of formants, voicing, noise,
jaw and lips; a source-filter synthesiser (pulses and noise through resonators, after Klatt 1980)
makes the sound of the same tracks, so what is heard is what is seen.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

RATE = 16000  # Hz
STEP = 80  # samples between points of the tracks: 5 ms
MOUTH = ("jaw", "wide", "round", "part", "press")

# Formants 1 to 3 (Hz), voicing, noise, frequency of the noise (Hz), then MOUTH.
PHONES = {
    "a": (780, 1250, 2550, 1.0, 0.0, 3000, 0.85, 0.15, 0.0, 0.45, 0.0),
    "e": (520, 1850, 2500, 0.9, 0.0, 3000, 0.48, 0.50, 0.0, 0.45, 0.0),
    "i": (290, 2250, 2950, 0.8, 0.0, 3000, 0.16, 0.85, 0.0, 0.55, 0.0),
    "o": (480, 850, 2450, 0.9, 0.0, 3000, 0.50, 0.0, 0.75, 0.15, 0.0),
    "u": (310, 750, 2300, 0.8, 0.0, 3000, 0.20, 0.0, 1.0, 0.05, 0.0),
    "@": (520, 1450, 2450, 0.8, 0.0, 3000, 0.34, 0.10, 0.1, 0.30, 0.0),
    "m": (250, 1000, 2200, 0.35, 0.0, 3000, 0.02, 0.0, 0.05, 0.0, 0.9),
    "b": (250, 900, 2200, 0.08, 0.02, 900, 0.02, 0.0, 0.10, 0.0, 1.0),
    "f": (320, 1200, 2500, 0.0, 0.22, 5200, 0.08, 0.15, 0.0, 0.10, 0.55),
    "s": (320, 1700, 2600, 0.0, 0.60, 5600, 0.04, 0.40, 0.0, 0.65, 0.0),
    "S": (320, 1600, 2500, 0.0, 0.55, 2900, 0.08, 0.0, 0.55, 0.65, 0.0),
    "t": (350, 1750, 2600, 0.0, 0.25, 4200, 0.14, 0.15, 0.0, 0.40, 0.0),
    "l": (380, 1150, 2650, 0.6, 0.0, 3000, 0.30, 0.10, 0.0, 0.35, 0.0),
    "n": (280, 1600, 2500, 0.4, 0.0, 3000, 0.18, 0.10, 0.0, 0.35, 0.0),
    "w": (330, 750, 2200, 0.6, 0.0, 3000, 0.14, 0.0, 0.95, 0.0, 0.0),
    " ": (500, 1500, 2500, 0.0, 0.0, 3000, 0.0, 0.0, 0.0, 0.0, 0.12),
}
_VOWELS, _CONSONANTS = "aeiou@", "mbfsStlnw"
_BANDWIDTHS = (70.0, 100.0, 160.0)  # Hz
_NUM_FORMANTS = 3


class Voice(NamedTuple):
    """How one person speaks."""

    pitch: float  # Hz
    tract: float  # formants' factor: 1 for a long vocal tract, 1.2 for a short one
    rate: float  # syllables a second
    melody: float  # semitones that stress raises the pitch
    effort: float  # how far the mouth moves, 1 is usual
    breath: float  # share of noise in the voice


class Tracks(NamedTuple):
    """Speech over time, a row each STEP samples."""

    formants: np.ndarray  # [n, 3] Hz
    voicing: np.ndarray  # [n] in [0, 1]
    noise: np.ndarray  # [n] in [0, 1]
    noise_hz: np.ndarray  # [n]
    mouth: np.ndarray  # [n, 5] strengths of MOUTH in [0, 1]
    stress: np.ndarray  # [n] in [0, 1], high on accented syllables


def draw_voice(rng: np.random.Generator) -> Voice:
    """Returns a random voice."""
    high = rng.random()
    return Voice(
        pitch=float(95 * 2.2**high),
        tract=float(0.97 + 0.2 * high + rng.normal(0, 0.02)),
        rate=float(rng.uniform(3.2, 4.8)),
        melody=float(rng.uniform(2, 6)),
        effort=float(rng.uniform(0.85, 1.15)),
        breath=float(rng.uniform(0.01, 0.05)),
    )


def utter(rng: np.random.Generator, voice: Voice, seconds: float) -> Tracks:
    """Returns the tracks of a random utterance of this length, pauses included."""
    rows, stresses, lengths = [], [], []
    filled, total = 0.0, seconds + 0.4  # a lead-in: clips begin in the middle of speech
    while filled < total:
        stress = rng.choice([0.35, 0.6, 1.0], p=[0.35, 0.35, 0.3])
        pause = rng.random() < 0.1
        beat = rng.uniform(0.12, 0.35) if pause else rng.uniform(0.75, 1.3) / voice.rate
        share = rng.uniform(0.28, 0.42)
        phones = (
            " " if pause else str(rng.choice(list(_CONSONANTS))) + str(rng.choice(list(_VOWELS)))
        )
        shares = (1.0,) if pause else (share, 1 - share)
        for phone, part in zip(phones, shares, strict=True):
            rows.append(PHONES[phone])
            stresses.append(0.0 if pause else stress)
            lengths.append(beat * part)
        filled += beat
    ends = np.cumsum(lengths) * RATE / STEP
    skip = int(0.2 * RATE / STEP)
    count = int(np.ceil(seconds * RATE / STEP)) + 1
    index = np.searchsorted(ends, np.arange(count + skip), side="right")
    index = np.minimum(index, len(rows) - 1)
    return _smooth(np.array(rows)[index], np.array(stresses)[index], voice, skip)


def _smooth(rows: np.ndarray, stress: np.ndarray, voice: Voice, skip: int) -> Tracks:
    """Targets to tracks: articulators move in some 50 ms; emphasis opens and loudens vowels."""

    def glide(values: np.ndarray, milliseconds: float) -> np.ndarray:
        return gaussian_filter1d(values.astype(float), milliseconds / 5, axis=0, mode="nearest")[
            skip:
        ]

    emphasis = 0.65 + 0.45 * stress
    mouth = rows[:, 6:].copy()
    mouth[:, :4] *= emphasis[:, None] * voice.effort
    return Tracks(
        formants=glide(rows[:, :3], 16) * voice.tract,
        voicing=glide(rows[:, 3] * emphasis, 9),
        noise=glide(rows[:, 4], 7),
        noise_hz=glide(rows[:, 5], 16),
        mouth=np.clip(glide(mouth, 24), 0, 1),
        stress=np.clip(glide(np.maximum(stress - 0.5, 0) * 2, 60), 0, 1),
    )


def mouth_at(tracks: Tracks, times: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the strengths of MOUTH and the stress ("stress") at times [T] s, [T] each."""
    at = times * RATE / STEP
    rows = np.arange(len(tracks.stress))
    result = {name: np.interp(at, rows, tracks.mouth[:, k]) for k, name in enumerate(MOUTH)}
    return result | {"stress": np.interp(at, rows, tracks.stress)}


def sound(rng: np.random.Generator, voice: Voice, tracks: Tracks, count: int) -> np.ndarray:
    """Returns `count` samples of the utterance, int16 at RATE."""
    time = np.arange(count) / STEP
    rows = np.arange(len(tracks.stress))

    def track(values: np.ndarray) -> np.ndarray:
        return np.interp(time, rows, values)

    drift = 1 + 0.02 * np.sin(2 * np.pi * 5.2 * time * STEP / RATE + rng.uniform(0, 6))
    pitch = voice.pitch * 2 ** (voice.melody * track(tracks.stress) / 12) * drift
    phase = np.cumsum(pitch / RATE) % 1.0
    hiss = rng.normal(0, 1, count)
    # Rosenberg's pulse: open for 60 % of the period; its derivative excites the tract.
    rise, fall = phase / 0.4, (phase - 0.4) / 0.2
    flow = np.where(phase < 0.4, 3 * rise**2 - 2 * rise**3, np.where(phase < 0.6, 1 - fall**2, 0.0))
    pulses = np.diff(flow, prepend=0.0) * 12 + voice.breath * hiss * flow
    voiced = _resonate(pulses * track(tracks.voicing), tracks.formants, _BANDWIDTHS)
    rush = _resonate(hiss * track(tracks.noise), tracks.noise_hz[:, None], (900.0,))
    wave = 0.30 * voiced + 0.10 * rush
    wave = np.tanh(wave) * 0.9
    return np.round(wave * 32767).astype(np.int16)


def _resonate(wave: np.ndarray, centres: np.ndarray, bandwidths: tuple[float, ...]) -> np.ndarray:
    """Passes `wave` through a cascade of resonators whose centres [n, k] Hz change every STEP."""
    for k, bandwidth in enumerate(bandwidths):
        radius = np.exp(-np.pi * bandwidth / RATE)
        out, state = np.empty_like(wave), np.zeros(2)
        for start in range(0, len(wave), STEP):
            turn = 2 * np.pi * min(centres[start // STEP, k], 0.46 * RATE) / RATE
            b, c = 2 * radius * np.cos(turn), -(radius**2)
            block = slice(start, start + STEP)
            out[block], state = lfilter([1 - b - c], [1, -b, -c], wave[block], zi=state)
        wave = out
    return wave
