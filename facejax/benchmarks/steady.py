"""Holds a Linux machine at one pace while something is measured.

A step of XLA on a CPU is a few dozen short parallel loops, between which its threads fall asleep. A
core left idle is halted, and a virtual machine takes some 50 microseconds to start it again; woken
threads may also land on the same core. Both come and go for seconds at a time, double the time of a
program of a few milliseconds, and leave one of a single thread as it was. While steady, idle cores
wait in a loop instead (the kernel's power management quality of service), and each of XLA's threads
stays on a core of its own.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

LATENCY = Path("/dev/cpu_dma_latency")  # holds idle cores to a latency for as long as it is open
THREADS = Path("/proc/self/task")
WORKERS = "tf_XLAEigen"  # how XLA names the threads of its CPU pool


@contextlib.contextmanager
def steady(
    latency: Path = LATENCY, threads: Path = THREADS, workers: str = WORKERS
) -> Iterator[list[str]]:
    """Steadies the machine for the length of a `with`; for use once XLA's threads run.

    Args:
      latency: the device file of the kernel that takes a latency.
      threads: the folder of this process's threads.
      workers: how the names of the threads to pin begin.

    Yields:
      A line on each of the two things: done, or why not.
    """
    with contextlib.ExitStack() as undone:
        notes = [_stay_awake(latency, undone), _pin(threads, workers, undone)]
        yield notes


def _stay_awake(latency: Path, undone: contextlib.ExitStack) -> str:
    try:
        held = undone.enter_context(latency.open("r+b", buffering=0))
        held.write((0).to_bytes(4, "little"))  # microseconds
    except OSError as error:
        why = error.strerror or error
        return f"idle cores may halt, and waking them blurs short times: {latency}: {why}"
    return "idle cores are kept awake"


def _pin(threads: Path, workers: str, undone: contextlib.ExitStack) -> str:
    if not hasattr(os, "sched_setaffinity") or not threads.is_dir():
        return "XLA's threads are not pinned: this system cannot"
    named = {int(path.name): (path / "comm").read_text() for path in threads.iterdir()}
    found = sorted(number for number, name in named.items() if name.startswith(workers))
    if not found:
        return f"XLA's threads are not pinned: none is named {workers}"
    cores = sorted(os.sched_getaffinity(0))
    for place, number in enumerate(found):
        undone.callback(os.sched_setaffinity, number, os.sched_getaffinity(number))
        os.sched_setaffinity(number, {cores[place % len(cores)]})
    return f"each of XLA's {len(found)} threads is pinned to a core"
