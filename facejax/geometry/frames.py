"""How functions of one frame are applied to batches of frames."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax import lax


def over_frames(function: Callable, batch: tuple[int, ...], frames: Any) -> Any:
    """Returns function(frame) for every frame.

    On CPU one after the other, because one frame's working set fits the cache; elsewhere all at
    once.

    Args:
      function: from arrays of one frame to arrays of one frame.
      batch: the sizes of the batch axes.
      frames: arrays with those axes in front.
    """
    count = math.prod(batch)
    flat = jax.tree.map(lambda leaf: leaf.reshape(count, *leaf.shape[len(batch) :]), frames)
    one_by_one = jax.default_backend() == "cpu"
    done = lax.map(function, flat) if one_by_one else jax.vmap(function)(flat)
    return jax.tree.map(lambda leaf: leaf.reshape(*batch, *leaf.shape[1:]), done)


def remembering_inputs(function: Callable) -> Callable:
    """Returns `function`, which for its gradient keeps its inputs and recomputes the rest.

    Over frames this bounds the memory to the working set of one.
    """
    return jax.checkpoint(function, prevent_cse=False)
