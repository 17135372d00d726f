"""The best candidate for every place of an image: the search behind silhouettes and soft faces.

`pairs` walks over (box, pixel) pairs; here they compete, one frame at a time.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from facejax.geometry import pairs
from facejax.geometry.pairs import Boxes, Pairs
from facejax.geometry.zbuffer import RESOLVERS, Candidates


def walk(
    boxes: Boxes,
    size: tuple[int, int],
    step: int,
    update: Callable[[Any, Pairs], Any],
    state: Any,
) -> Any:
    """Returns `pairs.fold` over boxes in one image, however many pairs there are.

    Args:
      boxes: [N] of them; N may be 0.
      size: height and width of the image that holds them.
      step: pairs handed to one call of `update`.
      update: pure; from the state and pairs to the state.
      state: the first state.
    """
    num, (height, width) = boxes.size_x.size, size
    if num == 0:
        return state
    if num * height * width <= pairs.MAX_PAIRS:
        return pairs.fold(boxes, step, update, state)
    count = jnp.sum(boxes.size_x.astype(jnp.float32) * boxes.size_y.astype(jnp.float32))
    many = count > pairs.MAX_PAIRS  # more than int32 can number: then box by box, at every pixel
    numbered = boxes._replace(size_x=jnp.where(many, 0, boxes.size_x))
    row, column = jnp.divmod(jnp.arange(height * width, dtype=jnp.int32), jnp.int32(width))

    def one_box(box: jax.Array, state: Any) -> Any:
        first_x, first_y, size_x, size_y = (pairs.rows(part, box) for part in boxes)
        live = (column >= first_x) & (column < first_x + size_x)
        live &= (row >= first_y) & (row < first_y + size_y)
        return update(state, Pairs(jnp.full_like(row, box), column, row, live))

    # No lax.cond: under vmap it would run both branches.
    state = pairs.fold(numbered, step, update, state)
    return lax.fori_loop(jnp.int32(0), jnp.where(many, num, 0), one_box, state)


def contest(
    boxes: Boxes,
    size: tuple[int, int],
    step: int,
    places: int,
    candidates: Callable[[Pairs], Candidates],
) -> jax.Array:
    """Returns the candidate with the smallest (key, number) of each place, [places] int32, -1 none.

    Args:
      boxes: [N] of them.
      size: height and width of the image that holds them.
      step: pairs looked at in one turn of the loop.
      places: what candidates compete for: numbers 0 .. places - 1.
      candidates: from pairs to candidates, their `pixel` being a place.
    """
    resolver = RESOLVERS["sort" if jax.default_backend() == "tpu" else "scatter32"]

    def update(state: Any, found: Pairs) -> Any:
        return resolver.update(state, candidates(found))

    state = walk(boxes, size, step, update, resolver.empty(places))
    return lax.bitcast_convert_type(resolver.winners(state), jnp.int32)  # all bits set is -1
