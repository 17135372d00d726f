import numpy as np
import pytest

from facejax.metrics import head_motion

FPS = 25.0
TIMES = np.arange(500) / FPS


def nod(hertz, size=0.1, phase=0.0):
    """A head that nods at one frequency; the other five stand still."""
    pose = np.zeros((len(TIMES), 6))
    pose[:, 0] = size * np.sin(2 * np.pi * hertz * TIMES + phase)
    return pose


def wander(seed, scale=1.0):
    rng = np.random.default_rng(seed)
    return scale * np.cumsum(rng.normal(size=(len(TIMES), 6)), axis=0)


def test_the_energy_score_is_that_of_loops():
    rng = np.random.default_rng(0)
    samples, truth = rng.normal(size=(4, 7, 6)), rng.normal(size=(7, 6))
    for t in range(7):
        apart = np.mean([np.linalg.norm(x[t] - truth[t]) for x in samples])
        pairs = [
            np.linalg.norm(samples[i, t] - samples[j, t])
            for i in range(4)
            for j in range(4)
            if i != j
        ]
        found = head_motion.energy_score(samples, truth)[t]
        assert found == pytest.approx(apart - np.mean(pairs) / 2)
    one = head_motion.energy_score(samples[:1], truth)
    np.testing.assert_allclose(one, np.linalg.norm(samples[0] - truth, axis=1))


def test_samples_drawn_as_the_truth_score_better_than_the_mean_and_than_wild_ones():
    rng = np.random.default_rng(1)
    truth, draws = rng.normal(size=(4000, 6)), rng.normal(size=(4, 4000, 6))
    score = lambda samples: head_motion.energy_score(samples, truth).mean()
    assert score(draws) < score(np.zeros((1, 4000, 6))) < score(draws[:1])
    assert score(draws) < min(score(0.5 * draws), score(2 * draws))


def test_means_and_deviations_are_in_degrees_mm_and_shares():
    truth = wander(0)
    moved = truth + np.array([np.deg2rad(3), 0, 0, 6, 0, 0])
    found = head_motion.mean_errors(moved, truth)
    assert found == pytest.approx({"mean_degrees": 1.0, "mean_mm": 2.0})
    assert head_motion.deviation_ratio(0.5 * truth, truth) == pytest.approx(0.5)
    assert head_motion.deviation_ratio(truth * 0, truth) == 0


def test_a_spectrum_lies_at_its_frequency_whatever_its_size():
    share = head_motion.spectrum(nod(3.0), FPS)
    peak = np.linspace(0, FPS / 2, len(share))[share[:, 0].argmax()]
    assert peak == pytest.approx(3.0, abs=0.15) and share[:, 0].sum() == pytest.approx(1)
    np.testing.assert_allclose(head_motion.spectrum(nod(3.0, 5.0), FPS), share, atol=1e-9)
    assert not share[:, 1:].any()


def test_spectra_are_alike_or_not():
    truth = wander(0)
    distance = lambda pose: head_motion.spectrum_distance(pose, truth, FPS)
    assert distance(truth) == 0 and distance(3 * truth) == pytest.approx(0, abs=1e-9)
    assert distance(truth * 0) == 1
    quick = np.stack([nod(8.0, phase=k)[:, 0] for k in range(6)], 1)
    assert distance(quick) > 0.9 > 0.6 > distance(wander(1))


def test_loudness_is_read_from_each_kind_of_features():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(5, 29))
    np.testing.assert_allclose(head_motion.loudness(rows, "mel"), rows.mean(1))
    np.testing.assert_allclose(head_motion.loudness(rows[:, :26], "mfcc"), rows[:, 0])
    heard = 1 - np.exp(rows[:, 28]) / np.exp(rows).sum(1)
    np.testing.assert_allclose(head_motion.loudness(rows, "deepspeech"), heard)
    assert not head_motion.loudness(rows, "null").any()


def test_beats_are_peaks_of_loudness_and_turns_of_the_head():
    loud = np.maximum(np.sin(2 * np.pi * 1.0 * TIMES), 0)
    np.testing.assert_allclose(head_motion.speech_beats(loud, FPS), 0.25 + np.arange(20), atol=0.05)
    turns = head_motion.head_beats(nod(0.5), FPS)  # twice a period, 0.5 s off its middles
    np.testing.assert_allclose(turns, 0.5 + np.arange(20), atol=0.05)


def test_a_head_that_turns_on_the_beat_is_aligned_and_one_between_is_not():
    loud = np.maximum(np.sin(2 * np.pi * 1.0 * TIMES), 0)  # beats at 0.25, 1.25, ...
    score = lambda late: head_motion.beat_alignment(
        nod(0.5, phase=-2 * np.pi * 0.5 * late), loud, FPS
    )
    assert score(-0.25) > 0.9 > 0.1 > score(0.25)
    expected = np.exp(-(0.1**2) / (2 * head_motion.SIGMA**2))
    assert score(-0.25 + 0.1) == pytest.approx(expected, abs=0.12)
    assert head_motion.beat_alignment(nod(0.5) * 0, loud, FPS) == 0
    assert head_motion.beat_alignment(nod(0.5), loud * 0, FPS) == 0


def test_nods_at_the_true_moments_correlate_whatever_is_slow():
    rng = np.random.default_rng(3)
    quick = lambda: np.convolve(rng.normal(size=len(TIMES)), np.ones(5) / 5, "same")
    truth, made = np.zeros((2, len(TIMES), 6))
    truth[:, 0] = quick()
    made[:, 0] = 0.1 * truth[:, 0] + 0.5 + 0.2 * np.sin(2 * np.pi * 0.05 * TIMES)
    assert head_motion.nod_correlation(made, truth, FPS) == pytest.approx(1, abs=0.05)
    assert head_motion.nod_correlation(-truth, truth, FPS) == pytest.approx(-1)
    found = []
    for _ in range(40):
        made[:, 0] = quick()
        found.append(head_motion.nod_correlation(made, truth, FPS))
    assert abs(np.mean(found)) < 0.06
    assert head_motion.nod_correlation(made * 0, truth, FPS) == 0


def test_variety_is_that_among_samples():
    truth = wander(0)
    draws = np.stack([wander(seed) for seed in range(6)])
    assert head_motion.variety(np.stack([truth] * 4), truth) == 0
    half = head_motion.variety(0.5 * draws, truth)
    assert half == pytest.approx(0.5 * head_motion.variety(draws, truth))
