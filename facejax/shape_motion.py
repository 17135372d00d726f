"""Shapes of a trained PGFace: a face that goes with head poses and speech, of any length."""

from collections.abc import Callable

import jax
import numpy as np

from facejax.data import sequences
from facejax.system import PyTree

CHUNK = 128  # frames made at a time, so that any length is one program

Make = Callable[[PyTree], dict[str, jax.Array]]  # inputs -> identity, expression


def shapes(
    make: Make,
    rows: np.ndarray,
    pose: np.ndarray,
    speaker: int,
    put: Callable[[PyTree], PyTree] = jax.device_put,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns identity [N, I] and expression [N, E] of N frames.

    Args:
      make: a PGFace's `generate`, compiled, with its weights.
      rows: [N + 15, C] speech features (`sequences.padded`).
      pose: [N + 15, 6] normalised poses, likewise with zeros around.
      speaker: row in the run's table.
      put: puts arrays on the devices.
    """
    around = sequences.WINDOW - 1
    length = len(rows) - around
    unused = -length % CHUNK
    filled = [np.pad(one, ((0, unused), (0, 0))).astype(np.float32) for one in (rows, pose)]
    near = np.arange(CHUNK)[:, None] + np.arange(sequences.WINDOW)
    found = []
    for first in range(0, length, CHUNK):
        speech, poses = (one[first : first + CHUNK + around] for one in filled)
        inputs = {"speech": speech[near][None], "around": poses[None]}
        made = make(put(inputs | {"speaker": np.full(1, speaker, np.float32)}))
        found.append(jax.device_get(made))
    parts = (np.concatenate([one[k][0] for one in found]) for k in ("identity", "expression"))
    identity, expression = (part[:length] for part in parts)
    return identity, expression
