"""Progress with the time left, on a terminal; nothing elsewhere (logs, pipes, tests)."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(iterable: Iterable[T], total: int | None = None, label: str = "") -> Iterator[T]:
    """Yields the items of `iterable`, drawing a bar with rate and time left on standard error.

    Args:
      iterable: anything; it is not held in memory.
      total: its length where it has none of its own; None draws a count without an estimate.
      label: what is being done, at most some 20 characters.
    """
    yield from tqdm(iterable, desc=label or None, total=total, disable=None, dynamic_ncols=True)
