"""Keeps memory that a step of computation has freed, for the next step to take.

XLA on a CPU allocates its temporaries anew at every call. Of blocks as large as theirs, glibc's
malloc gives the pages back to the system each time, and the system hands them out again zeroed, one
fault a page: a quarter of the processor's time in a small net's training.
"""

import ctypes
import os
import sys
from collections.abc import Mapping

# Of malloc.h: parameters of mallopt.
TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8
NEVER = 2**31 - 1  # bytes at the end of the heap before they are given back
CHOSEN = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")  # variables by which a user chooses


def keep_memory(env: Mapping[str, str] | None = None) -> bool:
    """Tells malloc to take all memory from one heap that never shrinks.

    For the start of a program, before other threads run: an arena of a thread would hold 64 MB at
    most. Blocks that are freed are reused as ever; the process only stays as large as it was.

    Args:
      env: the environment; None reads the process's. Where it says how malloc is to behave, or
        loads another one, nothing is changed.

    Returns:
      Whether malloc was told: False elsewhere than with glibc, too.
    """
    env = os.environ if env is None else env
    if any(name.startswith(CHOSEN) for name in env) or not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    chosen = ((ARENA_MAX, 1), (MMAP_MAX, 0), (TRIM_THRESHOLD, NEVER))
    return all([mallopt(parameter, value) for parameter, value in chosen])
