"""Timing several ways of doing one thing against each other.

All contenders of one comparison take turns within one process, so that another load on the machine
slows all of them alike, and the median of each one's turns is reported.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

SHORTEST = 2e-2  # s: a turn repeats its call until it takes about this long
SLOW = 10.0  # s: a first call longer than this is the only one
FEWEST = 3  # turns of every other contender
NAP, NAPS = 5e-3, 200  # s, and how many at most: waits for this process to come to rest
IDLE = 0.2  # share of a core's time, below which it counts as at rest


class Contender(NamedTuple):
    """One way of doing the thing."""

    call: Callable[[], Any]  # does it once; what it returns is waited for
    frames: int = 1  # that one call does
    compile_seconds: float | None = None
    temp_bytes: int | None = None  # what the compiled program allocates beside its arguments


class Times(NamedTuple):
    """Seconds a call of one contender, over its turns."""

    median: float
    lower: float  # first quartile
    upper: float  # third quartile
    turns: int


def compiled(function: Callable, *arguments: Any, frames: int = 1) -> Contender:
    """Returns a contender that calls `function`, compiled here and now for these arguments.

    Args:
      function: of arrays (or pytrees of them), pure.
      *arguments: moved to the device first.
      frames: that one call does.
    """
    arguments = jax.device_put(arguments)
    begun = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    seconds = time.perf_counter() - begun
    memory = program.memory_analysis()  # None where the platform does not tell
    temp = None if memory is None else int(memory.temp_size_in_bytes)
    return Contender(lambda: program(*arguments), frames, seconds, temp)


def take_turns(
    contenders: Mapping[str, Contender],
    turns: int,
    seconds: float,
    ready: Callable[[], None] = lambda: None,
) -> dict[str, Times]:
    """Returns the times of each contender.

    The first call of each is a warm-up and is not counted, but for contenders that take over SLOW
    seconds: those are timed by it alone. Slow contenders sit out some of the rounds, evenly.

    Args:
      contenders: by name.
      turns: of the quick ones.
      seconds: aimed at for all turns together; kept to FEWEST turns each.
      ready: called before every round; returns when the machine is fit for it.
    """
    once = {name: _seconds(contender.call, 1) for name, contender in contenders.items()}
    kept = {name: [first] for name, first in once.items() if first > SLOW}
    share = seconds / len(contenders)
    plan = {}
    for name, contender in contenders.items():
        if name in kept:
            continue
        warm = _seconds(contender.call, 1)
        calls = max(1, math.ceil(SHORTEST / warm))
        possible = max(FEWEST, int(share / (warm * calls)))
        plan[name] = (calls, max(1, turns // min(possible, turns)))
        kept[name] = []
    for turn in range(turns):
        ready()
        start = turn % max(1, len(plan))  # no one always follows the same other
        for name, (calls, stride) in [*plan.items()][start:] + [*plan.items()][:start]:
            if turn % stride == 0:
                rest()
                kept[name].append(_seconds(contenders[name].call, calls))
    return {name: _summary(kept[name]) for name in contenders}


def rest() -> None:
    """Waits until this process's threads rest, so that a turn has the machine to itself.

    Threads of OpenBLAS go on waiting busily for a tenth of a second after NumPy's last product.
    """
    for _ in range(NAPS):
        used = time.process_time()
        time.sleep(NAP)
        if time.process_time() - used < IDLE * NAP:
            return


def _seconds(call: Callable[[], Any], calls: int) -> float:
    begun = time.perf_counter()
    for _ in range(calls):
        jax.block_until_ready(call())
    return (time.perf_counter() - begun) / calls


def _summary(seconds: list[float]) -> Times:
    if len(seconds) == 1:
        return Times(seconds[0], seconds[0], seconds[0], 1)
    lower, median, upper = statistics.quantiles(seconds, n=4, method="inclusive")
    return Times(median, lower, upper, len(seconds))
