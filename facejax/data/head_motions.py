"""What Rhythmic Head Motion's Phi learns from: head motion before and during a stretch of sound.

Phi is given head motion smoothed over time and normalised, and sound that may be smoothed too;
where it is run, `known_motion` and `heard_as` make the same of a person, and `told_motion` turns
what it made back. With data.centre = "reference" head motion is counted from the mean of the
reference, so that people whom the camera sees from another side than those learnt from keep to it;
paper and published code count from the mean of all.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from facejax import performance
from facejax.audio import chunks as sound
from facejax.data.performances import Performances
from facejax.data.takes import Config, as_floats
from facejax.geometry.head_motion import NUMBERS
from facejax.system import PyTree

LEAST_STD = (1e-3, 1e-3, 1e-3, 0.1, 0.1, 0.1)  # rad, px: of a head that never moves
HEARD_SMOOTHED = 21  # frames of the window over the sound, in the published code
PUBLISHED_MEAN = (0.07, -0.008, -0.016, 11.4, 5.69, -4.37)  # rad, px: of VoxCeleb2
PUBLISHED_STD = (0.066, 0.132, 0.071, 9.99, 9.24, 16.95)


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
        motion = [_smooth(one.seen.motion, self.config) for one in self.takes]
        table = motion_table(self.config, motion, [one.seen.valid for one in self.takes])
        self._motion = [normalised(one, table) for one in motion]
        return {"head_motion": table}

    def row(self, take: int, first: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Returns known_motion, motion, known_chunks and chunks of a stretch."""
        del rng
        middle, end = first + self.config.tau, first + self.length
        around = sound.WINDOW - 1
        heard = heard_as(self.config, self.takes[take].chunks[first : end + around])
        known, motion = self._motion[take][first:middle], self._motion[take][middle:end]
        centre = known.mean(0) if self.config.centre == "reference" else np.zeros_like(known[0])
        return {
            "known_motion": known - centre,
            "known_chunks": heard[: self.config.tau + around],
            "motion": motion - centre,
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


def own_table(motion: np.ndarray, data: Config, table: PyTree) -> dict[str, np.ndarray]:
    """Returns what normalises the head motions of a person, and what Phi makes of them.

    Args:
      motion: [t, 6] of the reference, radians and px.
      data: of Phi's run.
      table: of `motion_table`.
    """
    own = table["mean"]
    if data.centre == "reference":
        own = _smooth(motion, data).mean(0)
    return {"mean": np.asarray(own, np.float32), "std": table["std"]}


def known_motion(motion: np.ndarray, data: Config, table: PyTree) -> np.ndarray:
    """Returns head motions [t, 6] as Phi is given them: smoothed, and normalised by `own_table`."""
    return normalised(_smooth(motion, data), table)


def _smooth(motion: np.ndarray, data: Config) -> np.ndarray:
    return performance.smoothed(motion, performance.SMOOTHED_MOTION, data.late)


def told_motion(made: np.ndarray, table: PyTree) -> np.ndarray:
    """Returns what Phi made, [T, 6], in radians and px, as smooth as the motions it learnt from.

    The table is the `own_table` of the reference.

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


def motion_spec(data: Config, given: dict[str, PyTree], rows: int = 1) -> PyTree:
    """Returns the shapes of a batch of `HeadMotions`."""
    del given
    size, around = sound.samples_a_frame(data.rate, data.fps), sound.WINDOW - 1

    def leaf(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((rows, *shape), jnp.float32)

    return {
        "known_motion": leaf(data.tau, NUMBERS),
        "known_chunks": leaf(data.tau + around, size),
        "motion": leaf(data.frames, NUMBERS),
        "chunks": leaf(data.frames + around, size),
    }
