"""Boxes of pixels, and a walk over every (box, pixel) pair in steps of a fixed size.

What a rasteriser draws, a triangle, an edge or a blurred triangle, touches the pixels of a box.
The list of all (box, pixel) pairs is exact and never stored: it is worked off `step` pairs at a
time, so that shapes are static, no buffer can overflow, and the cost follows the covered area plus
the number of boxes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

MAX_PAIRS = 2**30  # pairs of one list are numbered in int32


class Boxes(NamedTuple):
    """Pixels first_x .. first_x + size_x - 1 by first_y .. first_y + size_y - 1, [N] int32 each."""

    first_x: jax.Array
    first_y: jax.Array
    size_x: jax.Array  # >= 0; a box with one size of 0 holds nothing
    size_y: jax.Array


class Pairs(NamedTuple):
    """The pairs of one step, [step] each."""

    box: jax.Array  # int32, which box
    column: jax.Array  # int32, the pixel's column
    row: jax.Array  # int32, the pixel's row
    live: jax.Array  # bool; False past the list's end, where the rest is arbitrary but in range


def rows(array: jax.Array, index: jax.Array) -> jax.Array:
    """Returns array[index] for indices known to be in range."""
    return array.at[index].get(mode="promise_in_bounds")


def span(low: jax.Array, high: jax.Array, size: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns on one axis the first pixel whose centre is in [low, high], how many are, finiteness.

    Args:
      low: [...] px.
      high: [...] px.
      size: of the image on this axis, pixels.
    """
    finite = jnp.isfinite(low) & jnp.isfinite(high)
    low, high = jnp.where(finite, low, 0.0), jnp.where(finite, high, 0.0)  # no NaN to int32
    first = jnp.clip(jnp.ceil(low - 0.5), 0, size).astype(jnp.int32)
    last = jnp.clip(jnp.floor(high - 0.5), -1, size - 1).astype(jnp.int32)
    return first, jnp.maximum(last - first + 1, 0), finite


def fold(
    boxes: Boxes, step: int, update: Callable[[Any, Pairs], Any], state: Any, skip: int = 0
) -> Any:
    """Returns the last state of `state = update(state, pairs)` over the whole list of pairs.

    Args:
      boxes: [N] of them, N > 0, at most MAX_PAIRS pairs in all.
      step: pairs handed to one call of `update`.
      update: pure; called in a `lax.while_loop`, in the order of the boxes.
      state: the first state.
      skip: pixels of each box, row by row from its first, that are left out.
    """
    count = jnp.maximum(boxes.size_x * boxes.size_y - skip, 0)
    end = jnp.cumsum(count, dtype=jnp.int32)
    total, start = end[-1], end - count

    def body(carry: tuple) -> tuple:
        low, state = carry
        return low + step, update(state, _expand(boxes, start, total, low, step, skip))

    return lax.while_loop(lambda carry: carry[0] < total, body, (jnp.int32(0), state))[1]


def _expand(
    boxes: Boxes, start: jax.Array, total: jax.Array, low: jax.Array, step: int, skip: int
) -> Pairs:
    """Returns pairs low .. low + step of the list in which box n begins at start[n]."""
    relative = start - low
    begun = jnp.sum(relative < 0, dtype=jnp.int32)
    marks = jnp.zeros((step,), jnp.int32)
    marks = marks.at[jnp.where(relative < 0, step, relative)].add(1, mode="drop")
    box = begun - 1 + jnp.cumsum(marks, dtype=jnp.int32)
    number = low + jnp.arange(step, dtype=jnp.int32)
    place = number - rows(start, box) + skip
    size_x = jnp.maximum(rows(boxes.size_x, box), 1)  # empty boxes own places past the list's end
    row = _quotient(place, size_x)
    column = rows(boxes.first_x, box) + place - row * size_x
    return Pairs(box, column, rows(boxes.first_y, box) + row, number < total)


def _quotient(number: jax.Array, divisor: jax.Array) -> jax.Array:
    """Returns number // divisor for 0 <= number < 2^30, divisor >= 1 and quotients below 2^20.

    Processors divide floats many at once and integers one by one. The float quotient is off by less
    than one, which the remainder tells.
    """
    inverse = 1.0 / divisor.astype(jnp.float32)
    guess = (number.astype(jnp.float32) * inverse).astype(jnp.int32)
    remainder = number - guess * divisor
    return guess + (remainder >= divisor).astype(jnp.int32) - (remainder < 0).astype(jnp.int32)
