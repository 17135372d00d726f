import tracemalloc

import numpy as np
import pytest

from facejax.audio import framing


def slow_frames(wave, length, lead):
    """Every frame cut out by hand; silence before and after."""
    rows = []
    for k in range(framing.count(len(wave))):
        at = np.arange(320 * k - lead, 320 * k - lead + length)
        inside = (at >= 0) & (at < len(wave))
        rows.append(np.where(inside, wave[np.clip(at, 0, len(wave) - 1)], 0))
    return np.array(rows).reshape(-1, length)


def cuts(wave, seed):
    """The wave in pieces of random size, some empty."""
    rng = np.random.default_rng(seed)
    edges = np.sort(rng.integers(len(wave) + 1, size=9))
    return np.split(wave, edges)


@pytest.mark.parametrize(
    "samples,due", [(0, 0), (1, 1), (400, 1), (401, 1), (560, 1), (561, 2), (720, 2), (800, 2)]
)
def test_the_count_is_the_published_one(samples, due):
    assert framing.count(samples) == due


def test_the_count_follows_the_longest_sample_of_the_published_code():
    assert framing.count(389_724) == 1218  # 24.358 s


@pytest.mark.parametrize("length,lead", [(400, 0), (640, 120)])
@pytest.mark.parametrize("samples", [0, 1, 399, 560, 561, 800, 5000])
def test_frames_are_cut_where_they_belong_however_the_sound_arrives(samples, length, lead):
    wave = np.random.default_rng(samples).normal(size=samples)
    due = slow_frames(wave, length, lead)
    for seed in range(5):
        parts = list(framing.frames(cuts(wave, seed), length, lead))
        got = np.concatenate([np.zeros((0, length)), *parts])
        np.testing.assert_array_equal(got, due)


def test_a_frame_is_given_as_soon_as_it_is_complete():
    given = []
    source = (np.ones(80) * k for k in range(12))
    for part in framing.frames((given.append(k) or block for k, block in enumerate(source))):
        assert given[-1] == 4  # the fifth block of 80 samples ends the first frame
        assert part.shape == (1, 400)
        break


def test_groups_leave_no_seam(monkeypatch):
    wave = np.random.default_rng(0).normal(size=20_000)
    due = np.concatenate(list(framing.frames([wave])))
    monkeypatch.setattr(framing, "GROUP", 7)
    parts = list(framing.frames([wave]))
    assert max(len(part) for part in parts) == 7
    np.testing.assert_array_equal(np.concatenate(parts), due)


def test_a_stream_is_never_held_whole():
    tracemalloc.start()
    for part in framing.frames(np.zeros(1600) for _ in range(4000)):
        part.sum()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1e6  # bytes; the sound alone has 51e6
