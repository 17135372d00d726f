import platform
import subprocess
import sys

import pytest

from facejax import allocator

FAULTS = """
import ctypes, resource, sys
from facejax import allocator

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = ctypes.c_void_p(libc.malloc(ctypes.c_size_t(2**27)))
    libc.memset(block, 1, ctypes.c_size_t(2**27))
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "keep":
    assert allocator.keep_memory({})
faults()
print(min(faults() for _ in range(3)))
"""


def faults_of_a_block(how):
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's malloc")
def test_a_large_block_that_was_freed_is_taken_again_without_page_faults():
    assert faults_of_a_block("keep") < 100
    assert faults_of_a_block("leave") > 1000  # 128 MB of pages, however large they are


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD"])
def test_a_users_own_choice_of_malloc_stands(name):
    assert not allocator.keep_memory({name: "1"})
