"""Attributes of speech of any length: windows of T frames, each of which takes over from the last.

A window begins on the last frame of the one before, whose attributes are its state; the last window
ends with the speech, so that none but the speech's own ends has silence in it. All of it is one
compiled `lax.scan` of BLOCK windows, whatever the length: longer speech calls it again with the
state handed over, shorter speech leaves windows unused.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from facejax.audio.windows import SIZE
from facejax.system import PyTree

BLOCK = 8  # windows in a compiled call: 34 s of T = 128 at 30 frames a second

Roll = Callable[[jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]


@functools.lru_cache(maxsize=8)  # or every call would compile anew
def make_roll(generate: Callable, frames: int) -> Callable[..., jax.Array]:
    """Returns the compiled (gen, stats, frozen, rows, starts, places, before) -> made.

    rows [R + 15, C] are speech features of R = BLOCK (T - 1) + 1 frames with their surroundings;
    starts [BLOCK] the windows' first frames in there; places [BLOCK] which frame of the window
    before is their state's; before [T, D] the attributes of the window before the first, and made
    [BLOCK, T, D] those of all.

    Args:
      generate: of a system that makes "attributes" [1, T, D] of "speech" and "state".
      frames: T.
    """

    def roll(gen: PyTree, stats: PyTree, frozen: PyTree, rows, starts, places, before) -> Any:
        def window(before: jax.Array, where: tuple[jax.Array, jax.Array]) -> Any:
            start, place = where
            near = jax.lax.dynamic_slice_in_dim(rows, start, frames + SIZE - 1)
            inputs = {
                "speech": near[np.arange(frames)[:, None] + np.arange(SIZE)][None],
                "state": jax.lax.dynamic_slice_in_dim(before, place, 1),
            }
            made = generate(gen, stats, frozen, inputs)["attributes"][0]
            return made, made

        return jax.lax.scan(window, before, (starts, places))[1]

    return jax.jit(roll)


def attributes(
    roll: Roll,
    rows: np.ndarray,
    state: np.ndarray,
    frames: int,
    put: Callable[[PyTree], PyTree] = jax.device_put,
) -> np.ndarray:
    """Returns the attributes [N, D] of N frames, float32.

    Args:
      roll: of `make_roll`, with weights filled in.
      rows: [N + 15, C] speech features, HALF of them before the first frame (`sequences.padded`);
        N at least 1.
      state: [D] before the first frame; 0 where speech begins.
      frames: T.
      put: puts arrays on the devices.
    """
    length = len(rows) - (SIZE - 1)
    if length < 1:
        raise ValueError(f"rows is {list(rows.shape)}; due: [N + {SIZE - 1}, C], N at least 1")
    starts, places = plan(length, frames)
    span = BLOCK * (frames - 1) + 1 + SIZE - 1
    rows = np.pad(rows, ((0, int(starts[-1]) + span - len(rows)), (0, 0)))
    made = np.zeros((max(length, frames), len(state)), np.float32)
    before = np.broadcast_to(state.astype(np.float32), (frames, len(state)))
    for first in range(0, len(starts), BLOCK):
        some, where = starts[first : first + BLOCK], places[first : first + BLOCK]
        unused = BLOCK - len(some)
        base = int(some[0])
        near = rows[base : base + span].astype(np.float32)
        begin = np.pad(some - base, (0, unused), mode="edge").astype(np.int32)
        where = np.pad(where, (0, unused)).astype(np.int32)
        # Through numpy and not from call to call: what lies on devices otherwise compiles anew.
        found = jax.device_get(roll(*put((near, begin, where, before))))
        for start, before in zip(some, found, strict=False):
            made[start : start + frames] = before  # a later window has the last word
    return made[:length]


def plan(length: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the windows' first frames, and which frame of the window before is the state's.

    Args:
      length: of the speech, frames, at least 1.
      frames: T.
    """
    final = max(length - frames, 0)
    starts = np.append(np.arange(0, final, frames - 1), final)
    return starts, np.diff(starts, prepend=0)


def fill(roll: Callable, gen: PyTree, stats: PyTree, frozen: PyTree) -> Roll:
    """Returns a roll with its weights."""
    return functools.partial(roll, gen, stats, frozen)
