"""What holds the machine steady while something is measured, and what waits for its cores."""

import ctypes
import os
import shutil
import sys
import threading
import time

import jax
import pytest

from facejax.benchmarks import cores, native
from facejax.benchmarks.steady import steady

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")


@pytest.fixture
def worker():
    """The number and name of a thread that waits."""
    done, born = threading.Event(), []
    thread = threading.Thread(target=lambda: (born.append(threading.get_native_id()), done.wait()))
    thread.start()
    while not born:
        time.sleep(0.001)
    yield born[0]
    done.set()
    thread.join()


def held(path):
    """How many files of this process are `path`."""
    folder = "/proc/self/fd"
    links = (os.path.join(folder, name) for name in os.listdir(folder))
    return sum(os.path.exists(link) and os.readlink(link) == str(path) for link in links)


@linux
def test_a_latency_of_zero_is_asked_for_and_held(tmp_path):
    file = tmp_path / "latency"
    file.write_bytes(b"\xff" * 4)
    with steady(latency=file) as notes:
        assert file.read_bytes() == bytes(4)
        assert held(file) == 1
    assert held(file) == 0
    assert notes[0] == "idle cores are kept awake"


@linux
def test_where_the_kernel_refuses_it_is_said_and_nothing_is_made(tmp_path):
    with steady(latency=tmp_path / "none") as notes:
        assert "idle cores may halt" in notes[0] and "No such file" in notes[0]
    assert not list(tmp_path.iterdir())


@linux
def test_threads_are_pinned_by_name_and_let_go(tmp_path, worker):
    before = os.sched_getaffinity(worker)
    threads = tmp_path / "task"
    for number, name in ((worker, "tf_XLAEigen/1\n"), (os.getpid(), "python\n")):
        (threads / str(number)).mkdir(parents=True)
        (threads / str(number) / "comm").write_text(name)
    mine = os.sched_getaffinity(0)
    with steady(latency=tmp_path / "none", threads=threads) as notes:
        assert os.sched_getaffinity(worker) == {min(mine)}
        assert os.sched_getaffinity(0) == mine
        assert notes[1] == "each of XLA's 1 threads is pinned to a core"
    assert os.sched_getaffinity(worker) == before


@linux
def test_xla_names_its_threads_as_expected(tmp_path):
    jax.devices("cpu")
    with steady(latency=tmp_path / "none") as notes:
        assert "is pinned to a core" in notes[1]


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only in sleep."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def test_near_cores_are_not_waited_for(clock):
    watch = cores.Watch(lambda: 30e-9)
    watch()
    assert (clock[0], watch.looks, watch.apart) == (0, 1, 0)


def test_a_round_waits_until_the_cores_are_near(clock):
    watch = cores.Watch(lambda: 160e-9 if clock[0] < 7 else 30e-9)
    watch()
    assert 7 <= clock[0] < 7 + 2 * cores.PAUSE
    assert watch.apart == 0
    assert watch.note().startswith("0 of 1 rounds began with the cores' caches apart; 7 s")


def test_patience_ends_for_good(clock):
    watch = cores.Watch(lambda: 160e-9)
    for _ in range(5):
        watch()
    assert cores.PATIENCE <= clock[0] < cores.PATIENCE + 2 * cores.PAUSE
    assert (watch.looks, watch.apart) == (5, 5)


def test_cores_that_were_near_are_waited_for_longer(clock):
    watch = cores.Watch(lambda: 30e-9 if clock[0] < 1 else 160e-9)
    watch()
    clock[0] = 100.0
    for _ in range(5):
        watch()
    assert cores.BUDGET <= clock[0] - 100 < cores.BUDGET + 2 * cores.PAUSE
    assert (watch.looks, watch.apart) == (6, 5)
    assert watch.waited == pytest.approx(clock[0] - 100)


@linux
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_the_distance_of_the_cores_is_measured(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEJAX_CACHE", str(tmp_path))
    if len(os.sched_getaffinity(0)) < 2:
        with pytest.raises(native.NoCompilerError, match="two cores"):
            cores.load()
        return
    exchange = cores.load()
    mine = os.sched_getaffinity(0)
    assert 2e-9 < min(exchange() for _ in range(5)) < 1e-4
    assert os.sched_getaffinity(0) == mine


@linux
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_a_core_that_is_not_there_is_no_distance(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEJAX_CACHE", str(tmp_path))
    library = native.load(cores.SOURCE)[0]
    library.exchange.argtypes = [ctypes.c_int] * 3
    library.exchange.restype = ctypes.c_double
    assert library.exchange(0, 1023, 10) < 0
