"""How a person moves: an own rhythm of head, eyes, lids and brows, and speech for the mouth."""

from typing import Any, NamedTuple

import numpy as np

from facejax.data.synthetic import expression, speech
from facejax.geometry.camera import FOCAL

# The joint about which the head turns, and the field of view: mm.
PIVOT = np.array([0.0, -75.0, -75.0])
VIEW = 296.0
LIMITS = np.deg2rad([12.0, 25.0, 10.0])  # pitch, yaw, roll never reach beyond
BLINK_SCALE = 5.0  # AU45 when shut


class Lids(NamedTuple):
    """How one person blinks."""

    rate: float  # blinks a second
    close: float  # s that the lids take to fall
    hold: float  # s that they stay
    open: float  # s that they take to rise
    depth: float  # how far they fall: 1 shuts the eyes


class Rhythm(NamedTuple):
    """One person's habits of motion."""

    swing: np.ndarray  # [3] rad: usual amplitude of pitch, yaw, roll
    rest: np.ndarray  # [3] rad: where the head likes to be
    tempo: float  # factor on all frequencies
    sway: float  # mm
    nod: float  # rad that a stressed syllable nods
    brows: float  # strength that a stressed syllable lifts the brows
    mood: np.ndarray  # [2] strengths of smile and of frown
    lids: Lids
    voice: speech.Voice


class Performance(NamedTuple):
    """One clip's motion and sound."""

    times: np.ndarray  # [T] float64 s
    expression: np.ndarray  # [T, E] float32
    pose: np.ndarray  # [T, 6] float32
    blink: np.ndarray  # [T] float32, 0 to 5
    audio: np.ndarray  # [n] int16


def draw(rng: np.random.Generator) -> Rhythm:
    """Returns a random person's habits."""
    smiles = rng.random() < 0.6
    mood = np.array([rng.uniform(0.1, 0.5), 0.0] if smiles else [0.0, rng.uniform(0.0, 0.35)])
    habits: dict[str, Any] = {
        "swing": np.deg2rad(rng.uniform([3, 8, 2], [8, 20, 7])),
        "rest": np.deg2rad(rng.normal(0, [2.5, 5, 2])),
        "tempo": float(rng.uniform(0.7, 1.3)),
        "sway": float(rng.uniform(2, 6)),
        "nod": float(np.deg2rad(rng.uniform(1, 5))),
        "brows": float(rng.uniform(0.1, 0.7)),
    }
    rate = float(rng.uniform(0.3, 0.9))
    voice = speech.draw_voice(rng)
    return Rhythm(**habits, mood=mood, lids=_draw_lids(rng, rate), voice=voice)


def _draw_lids(rng: np.random.Generator, rate: float) -> Lids:
    """Returns a random way to blink: in 0.14 to 0.53 s, with eyes that shut by half or wholly."""
    pace = float(np.exp(rng.uniform(np.log(0.6), np.log(2.2))))
    return Lids(rate, 0.07 * pace, 0.03 * pace, 0.14 * pace, depth=float(rng.uniform(0.5, 1.0)))


def perform(rng: np.random.Generator, rhythm: Rhythm, frames: int, fps: float) -> Performance:
    """Returns a random clip of this person talking."""
    times = np.arange(frames) / fps
    seconds = frames / fps
    tracks = speech.utter(rng, rhythm.voice, seconds)
    said = speech.mouth_at(tracks, times)
    stress = said.pop("stress")
    angles = _angles(rng, rhythm, times, stress)
    shut = _blinks(rng, rhythm.lids, times)
    strengths = said | _face(rng, rhythm, times, stress, angles) | {"blink": shut}
    # Lips that meet cannot smile as widely; rounded ones cannot be spread.
    strengths["smile"] = strengths["smile"] * (1 - 0.6 * said["round"])
    audio = speech.sound(rng, rhythm.voice, tracks, round(seconds * speech.RATE))
    return Performance(
        times,
        expression.coefficients(strengths).astype(np.float32),
        _pose(rng, rhythm, times, angles).astype(np.float32),
        (BLINK_SCALE * shut).astype(np.float32),
        audio,
    )


def _wander(rng: np.random.Generator, times: np.ndarray, tempo: float, channels: int) -> np.ndarray:
    """Returns smooth random motion of unit deviation, [T, channels]."""
    total = np.zeros((len(times), channels))
    for frequency, share in ((0.22, 0.75), (0.5, 0.85), (0.95, 0.65), (1.7, 0.22)):
        hertz = frequency * tempo * rng.uniform(0.8, 1.25, channels)
        phase = rng.uniform(0, 2 * np.pi, channels)
        total += share * np.sin(2 * np.pi * hertz * times[:, None] + phase)
    return total


def _angles(
    rng: np.random.Generator, rhythm: Rhythm, times: np.ndarray, stress: np.ndarray
) -> np.ndarray:
    angles = rhythm.rest + rhythm.swing * _wander(rng, times, rhythm.tempo, 3)
    angles[:, 0] += rhythm.nod * stress
    return LIMITS * np.tanh(angles / LIMITS)  # smooth, and never beyond


def _pose(
    rng: np.random.Generator, rhythm: Rhythm, times: np.ndarray, angles: np.ndarray
) -> np.ndarray:
    """Returns poses [T, 6]: turned about the neck's joint, swaying, in a steady crop."""
    sway = rhythm.sway * _wander(rng, times, rhythm.tempo, 2) * [1.0, 0.4]
    aim = rng.normal(0, [5.0, 3.0])
    zoom = (
        VIEW
        * rng.uniform(0.95, 1.06)
        * (1 + 0.012 * _wander(rng, times, 0.6 * rhythm.tempo, 1)[:, 0])
    )
    shift = pivot_shift(angles)
    return np.c_[angles, shift[:, :2] + sway + aim, FOCAL * zoom]


def pivot_shift(angles: np.ndarray) -> np.ndarray:
    """Returns where the origin goes when the head turns about its joint, [T, 3] mm."""
    return PIVOT - np.einsum("tij,j->ti", matrices(angles), PIVOT)


def matrices(angles: np.ndarray) -> np.ndarray:
    """Returns Rz(roll) Ry(yaw) Rx(pitch) of angles [T, 3], [T, 3, 3], in numpy."""
    (sp, sy, sr), (cp, cy, cr) = np.sin(angles).T, np.cos(angles).T
    rows = [
        [cy * cr, sp * sy * cr - cp * sr, cp * sy * cr + sp * sr],
        [cy * sr, sp * sy * sr + cp * cr, cp * sy * sr - sp * cr],
        [-sy, sp * cy, cp * cy],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def _blinks(rng: np.random.Generator, lids: Lids, times: np.ndarray) -> np.ndarray:
    """Returns how far the lids are shut, [T] in [0, 1]."""
    shut = np.zeros_like(times)
    start = -0.2 + rng.exponential(1 / lids.rate) * 0.6
    while start < times[-1]:
        down = np.clip((times - start) / lids.close, 0, 1)
        up = np.clip((times - start - lids.close - lids.hold) / lids.open, 0, 1)
        ease = lambda u: u * u * (3 - 2 * u)
        shut = np.maximum(shut, ease(down) - ease(up))
        start += 0.45 + rng.exponential(1 / lids.rate)
    return lids.depth * np.clip(shut, 0, 1)


def _face(
    rng: np.random.Generator,
    rhythm: Rhythm,
    times: np.ndarray,
    stress: np.ndarray,
    angles: np.ndarray,
) -> dict[str, np.ndarray]:
    """Returns strengths of all that speech does not drive: mood, brows and gaze."""
    slow = _wander(rng, times, 0.8 * rhythm.tempo, 5)
    look_x, look_y = 0.18 * slow[:, 3], 0.12 * slow[:, 4]
    return {
        "smile": np.clip(rhythm.mood[0] * (1 + 0.5 * slow[:, 0]), 0, 1),
        "frown": np.clip(rhythm.mood[1] * (1 + 0.5 * slow[:, 0]), 0, 1),
        "brow_up": np.clip(rhythm.brows * stress + 0.22 * slow[:, 1], 0, 1),
        "brow_down": np.clip(0.35 * slow[:, 2] - 0.10, 0, 1),
        # The eyes stay with the viewer while the head turns away.
        "gaze_right": np.clip(look_x - 1.7 * angles[:, 1], -1, 1),
        "gaze_up": np.clip(look_y + 1.7 * angles[:, 0], -1, 1),
    }
