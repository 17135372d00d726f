"""Expression and head motion of a sound of any length, in blocks of one compiled shape.

Psi makes each frame of that frame's sound alone. Phi hears two frames beyond each through its
convolutions in time, so its blocks overlap by four and give what one pass would. The sound is held
as 16-bit numbers; all else is of one block.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from facejax.audio import chunks as sound
from facejax.data.head_motions import heard_part
from facejax.data.takes import Config, as_floats
from facejax.system import PyTree

BLOCK = 128  # frames made at a time
MARGIN = 2  # frames at a block's ends that Phi makes without all that it hears


@functools.lru_cache(maxsize=8)  # or every call would compile anew
def compiled(generate: Callable) -> Callable[..., dict[str, jax.Array]]:
    """Returns the compiled `System.generate`."""
    return jax.jit(generate)


def bound(
    generate: Callable,
    weights: tuple[PyTree, PyTree, PyTree],
    put: Callable[[PyTree], PyTree] = jax.device_put,
) -> Callable[[dict], dict[str, np.ndarray]]:
    """Returns inputs -> outputs, numpy both, of a system with its (gen, stats, frozen)."""
    run = functools.partial(compiled(generate), *weights)
    return lambda inputs: jax.device_get(run(put(inputs)))


def expressions(run: Callable, chunks: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Returns what Psi makes of a sound, float32 [T, K] px.

    Args:
      run: of `bound`, of rhythmic_expression.
      chunks: int16 [T + 6, n].
      reference: [K] px, the person's.
    """
    total = len(chunks) - sound.WINDOW + 1
    made = []
    for first in range(0, total, BLOCK):
        near = as_floats(chunks[first : first + BLOCK + sound.WINDOW - 1])
        audio = sound.windows(near)
        count = len(audio)
        audio = np.concatenate([audio, np.zeros((BLOCK - count, audio.shape[1]), np.float32)])
        known = np.repeat(np.asarray(reference, np.float32)[None], BLOCK, axis=0)
        made.append(run({"audio": audio, "reference": known})["expression"][:count])
    return np.concatenate(made)


def head_motions(
    run: Callable, data: Config, known: dict[str, np.ndarray], chunks: np.ndarray
) -> np.ndarray:
    """Returns the head motion that Phi makes of a sound, float32 [T, 6], normalised.

    Args:
      run: of `bound`, of rhythmic_motion.
      data: of its run.
      known: the reference: known_motion [t, 6], normalised, and known_chunks [t + 6, n].
      chunks: int16 [T + 6, n].
    """
    total = len(chunks) - sound.WINDOW + 1
    size = min(BLOCK, total)
    final = total - size
    starts = [*range(0, final, max(BLOCK - 2 * MARGIN, 1)), final]
    made = np.zeros((total, known["known_motion"].shape[-1]), np.float32)
    habit: dict[str, Any] = {name: value[None] for name, value in known.items()}
    for start in starts:
        heard = heard_part(data, chunks, start, start + size)
        found = run(habit | {"chunks": heard[None]})
        habit = {name: found[name] for name in ("weights", "biases")}
        inner = MARGIN if start else 0  # a later block has the last word on all but its edge
        made[start + inner : start + size] = found["motion"][0, inner:]
    return made
