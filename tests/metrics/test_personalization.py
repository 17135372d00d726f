import functools

import jax
import numpy as np
import pytest

from facejax.metrics import personalization as metric

FRAMES, STEP = 32, 8
QUICK = {"epochs": 10, "batch": 32, "learning_rate": 5e-3, "widths": (8, 16, 16)}


@pytest.fixture(scope="module", autouse=True)
def quick_compilation():
    """Half the compile time; the results differ by rounding."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def nods(seed, clips, people=5, frames=80, pace=0.2, place=0.0):
    """Clips of people who nod, each at a pace and about a pitch of their own: windows."""
    rng = np.random.default_rng(seed)
    motions, whose = [], []
    for person in range(people):
        for _ in range(clips):
            nod = np.sin((0.2 + pace * person) * np.arange(frames) + rng.uniform(0, 2 * np.pi))
            motion = rng.normal(0, 0.1, (frames, 6))
            motion[:, 0] += nod + place * person
            motions.append(motion)
            whose.append(person)
    return metric.cut(motions, whose, frames=FRAMES, step=STEP)


@functools.cache
def taught(**style):
    return metric.train(nods(0, 30, **style), nods(1, 8, **style), 5, **QUICK)


@pytest.mark.parametrize("style", [{}, {"pace": 0, "place": 1.0}], ids=["pace", "place"])
def test_five_styles_are_told_apart_on_clips_that_were_not_trained_on(style):
    """Also where all that differs is how they hold the head, which units of each would hide."""
    matrix = metric.confusion(taught(**style), nods(2, 6, **style))
    assert matrix.sum() == 5 * 6 * 7
    assert metric.share_recognised(matrix).mean() > 0.9  # chance: 0.2


def test_people_of_one_style_are_told_apart_by_chance():
    same = {"pace": 0, "frames": FRAMES}  # a window a clip: none is like another
    classifier = metric.train(nods(0, 20, **same), nods(1, 10, **same), 5, **QUICK)
    shares = metric.share_recognised(metric.confusion(classifier, nods(2, 60, **same)))
    assert abs(shares.mean() - 0.2) < 0.1  # four deviations of 300 guesses


def test_the_epoch_that_validates_best_is_kept():
    validation = nods(1, 8)
    found = [
        metric.train(nods(0, 30), validation, 5, **QUICK | {"epochs": n}) for n in (1, 2, 4, 8)
    ]
    accuracies = [one.validation for one in found]
    assert accuracies == sorted(accuracies) and accuracies[0] < accuracies[-1]
    for one, most in zip(found, (1, 2, 4, 8), strict=True):
        assert 1 <= one.epoch <= most
        share = metric.share_recognised(metric.confusion(one, validation)).mean()
        assert share == pytest.approx(one.validation)


def test_another_unit_changes_nothing():
    unit = np.array([57.3, 1, 1, 1e3, 1, 1]), np.array([0, 5, 0, 0, -1e3, 0])

    def moved(windows):
        return windows._replace(motion=(windows.motion * unit[0] + unit[1]).astype(np.float32))

    classifier = metric.train(moved(nods(0, 30)), moved(nods(1, 8)), 5, **QUICK)
    matrix = metric.confusion(classifier, moved(nods(2, 6)))
    due = metric.confusion(taught(), nods(2, 6))
    assert np.abs(matrix - due).sum() <= 0.05 * due.sum()


def test_a_channel_that_never_moves_does_no_harm():
    def still(windows):
        return windows._replace(motion=windows.motion * np.float32([1, 1, 1, 1, 1, 0]) + 3)

    classifier = metric.train(still(nods(0, 30)), still(nods(1, 8)), 5, **QUICK)
    assert np.isfinite(classifier.std).all() and classifier.std[5] == 1
    assert classifier.validation > 0.9


def test_windows_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    lengths = (20, 7, 8, 33)
    motions = [rng.normal(size=(n, 3)).astype(np.float32) for n in lengths]
    valid = [rng.random(n) < 0.9 for n in lengths]
    windows = metric.cut(motions, [1, 0, 0, 2], valid=valid, frames=8, step=3)
    due = [
        (person, motion[first : first + 8])
        for motion, seen, person in zip(motions, valid, [1, 0, 0, 2], strict=True)
        for first in range(0, len(motion) - 7, 3)
        if seen[first : first + 8].mean() >= 0.9
    ]
    assert 0 < len(due) < 14 and windows.person.tolist() == [person for person, _ in due]
    for start, (_, motion) in zip(windows.starts, due, strict=True):
        np.testing.assert_array_equal(windows.motion[start : start + 8], motion)


def test_the_papers_windows_are_128_frames_and_one_begins_every_5():
    assert metric.starts(np.ones(140, bool)).tolist() == [0, 5, 10]
    assert not len(metric.starts(np.ones(127, bool)))


def test_more_windows_than_are_classified_at_a_time():
    windows = nods(2, 20)
    count = len(windows.starts)
    assert count > 2 * metric.CHUNK
    parts = [
        windows._replace(starts=windows.starts[part], person=windows.person[part])
        for part in (slice(0, 100), slice(100, count))
    ]
    whole = metric.confusion(taught(), windows)
    np.testing.assert_array_equal(whole, sum(metric.confusion(taught(), one) for one in parts))


def test_everyone_counts_alike():
    shares = metric.share_recognised(np.array([[90, 10, 0], [1, 1, 0], [0, 0, 0]]))
    np.testing.assert_array_equal(shares, [0.9, 0.5, np.nan])


def test_misuse_is_refused():
    two = nods(0, 1, people=2)
    with pytest.raises(ValueError, match=r"windows has the people \[0, 1\]; due: each of 0 to 2"):
        metric.train(two, nods(1, 1, people=3), 3)
    with pytest.raises(ValueError, match=r"validation has the people"):
        metric.train(nods(1, 1, people=3), two, 3)
    with pytest.raises(ValueError, match="epochs is 0; due: 1 or more"):
        metric.train(two, two, 2, epochs=0)


def test_few_windows_are_seen_in_more_epochs(monkeypatch):
    """So that a little footage is learnt from as many steps."""
    monkeypatch.setattr(metric, "EPOCHS", 2)
    monkeypatch.setattr(metric, "LEAST_STEPS", 15)
    seen = []
    monkeypatch.setattr(metric, "_validate", lambda now, _: seen.append(now.epoch) or (0.5, 1.0))
    two = nods(0, 3, people=2)  # 42 windows: 2 steps of 16
    metric.train(two, two, 2, batch=16, widths=(8, 16, 16))
    assert seen == list(range(1, 9))
