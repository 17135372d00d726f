"""How functions of one frame are applied to batches of frames."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
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
    if count == 1:
        only = function(jax.tree.map(lambda leaf: leaf[0], flat))
        done = jax.tree.map(lambda leaf: leaf[None], only)
    else:
        one_by_one = jax.default_backend() == "cpu"
        done = lax.map(function, flat) if one_by_one else jax.vmap(function)(flat)
    return jax.tree.map(lambda leaf: leaf.reshape((*batch, *leaf.shape[1:])), done)


def sum_over_frames(function: Callable, frames: Any) -> tuple[Any, Any]:
    """Returns the sum of the first, and the stack of the second, that function(frame) returns.

    For losses over a batch: what frames share (the loss, the gradient of a shared texture or
    identity) is summed, what is each frame's own (the gradient of its vertices) is kept. On CPU one
    frame after the other, in the memory of one; elsewhere all at once.

    Args:
      function: from arrays of one frame to a pair of pytrees.
      frames: arrays with one batch axis in front.
    """
    if jax.default_backend() != "cpu":
        sums, own = jax.vmap(function)(frames)
        return jax.tree.map(lambda leaf: leaf.sum(axis=0), sums), own

    def add(total: Any, frame: Any) -> tuple:
        part, own = function(frame)
        return jax.tree.map(jnp.add, total, part), own

    shapes, _ = jax.eval_shape(function, jax.tree.map(lambda leaf: leaf[0], frames))
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return lax.scan(add, nothing, frames)


def remembering_inputs(function: Callable) -> Callable:
    """Returns `function`, which for its gradient keeps its inputs and recomputes the rest.

    Over frames this bounds the memory to the working set of one.
    """
    return jax.checkpoint(function, prevent_cse=False)
