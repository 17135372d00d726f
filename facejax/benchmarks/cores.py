"""Whether the cores are near each other, and waiting until they are.

The host of a virtual machine moves its cores about. For seconds or minutes at a time two of them
may lie under different last-level caches: a cache line then takes 160 ns from one to the other
instead of 30, and all that several threads of XLA share takes about twice as long, while a program
of one thread runs as before. A contest between the two is held while the cores are near.
"""

import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path

from facejax.benchmarks import native

SOURCE = Path(__file__).with_name("cores.c")
ROUNDS = 1000
NEAR = 100e-9  # s: a line takes less than this between cores of one cache
PATIENCE = 60.0  # s: waited for at most where the cores were never near
BUDGET = 600.0  # s: waited for in all where they were
PAUSE = 0.2  # s between looks


def load() -> Callable[[], float]:
    """Returns what measures the seconds a cache line takes from the first core to the last.

    Raises:
      native.NoCompilerError: it needs a C compiler, Linux, and two cores.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        raise native.NoCompilerError("needs two cores that a thread can be held to")
    exchange = native.load(SOURCE)[0].exchange
    exchange.argtypes, exchange.restype = [ctypes.c_int] * 3, ctypes.c_double
    return lambda: exchange(cores[0], cores[-1], ROUNDS)


class Watch:
    """Holds a measurement until the cores are near, as far as patience goes."""

    def __init__(self, exchange: Callable[[], float]) -> None:
        """Takes what measures the distance of the cores, in seconds; negative: it cannot tell."""
        self._exchange, self._patience = exchange, PATIENCE
        self.looks, self.apart, self.waited = 0, 0, 0.0

    def __call__(self) -> None:
        """Returns when the cores are near, or are not to be waited for."""
        begun, waited = time.monotonic(), self.waited
        while not (near := self._exchange() < NEAR) and self.waited < self._patience:
            time.sleep(PAUSE)
            self.waited = waited + time.monotonic() - begun
        self._patience = BUDGET if near else self._patience
        self.looks += 1
        self.apart += not near

    def note(self) -> str:
        """Returns in one line how it went."""
        told = f"{self.apart} of {self.looks} rounds began with the cores' caches apart"
        return f"{told}; {self.waited:.0f} s were spent waiting for them"
