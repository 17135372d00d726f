"""The border check: arrays whose axes share a letter must share a size."""

from typing import Any


def shapes(**named: tuple[Any, str]) -> dict[str, int]:
    """Returns the size of each axis letter, after checking every array against its axes.

    An axis is a letter or word ("B", "V"), a number that the size must equal ("3"), or a leading
    "..." for any batch axes. It runs at trace time, so it costs nothing under `jax.jit`.

    Example: `shapes(points=(x, "... N 3"), weights=(w, "... N"))` returns `{"N": 468}`.

    Args:
      **named: argument name -> (array, axes separated by spaces).

    Raises:
      ValueError: an array has the wrong rank or size; the message names the argument, what came
        and what was due.
    """
    sizes: dict[str, int] = {}
    for name, (array, axes) in named.items():
        letters = axes.split()
        shape = tuple(array.shape)
        open_ended = bool(letters) and letters[0] == "..."
        letters = letters[1:] if open_ended else letters
        if len(shape) < len(letters) or (not open_ended and len(shape) != len(letters)):
            raise ValueError(f"{name} has shape {shape}; due: [{axes}]")
        for letter, size in zip(letters, shape[len(shape) - len(letters) :], strict=True):
            due = int(letter) if letter.isdigit() else sizes.setdefault(letter, size)
            if size != due:
                raise ValueError(f"{name} has shape {shape}; due: [{axes}] with {letter} = {due}")
    return sizes
