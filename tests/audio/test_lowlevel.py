import itertools
from fractions import Fraction

import numpy as np
import pytest
import scipy.fft

from facejax.audio import lowlevel as module
from facejax.audio.lowlevel import lowlevel

RATE, FPS = 16000, 25


@pytest.fixture
def wave():
    """Voiced, unvoiced and silent stretches, 2.5 s."""
    rng = np.random.default_rng(3)
    t = np.arange(RATE * 5 // 2) / RATE
    wave = 0.3 * np.sin(2 * np.pi * 150 * t * (1 + 0.1 * t)) + 0.1 * np.sin(2 * np.pi * 1900 * t)
    wave += 0.05 * rng.normal(size=len(t)) * (t > 1)
    return wave * (np.abs(t - 1.7) > 0.1) + 0.02


def slow_short_features(wave, rate, window, step):
    """The 21 features one window at a time, written down term by term."""
    peak = np.abs(wave).max()
    wave = (wave - wave.mean()) / (peak + 1e-10)
    nfft, rows, before = window // 2, [], None
    bank = slow_filter_bank(rate, nfft)
    position = 0
    while position + window <= len(wave):
        x = wave[position : position + window]
        X = np.abs(np.fft.fft(x))[:nfft] / nfft
        before = X if before is None else before
        row = [sum(abs(np.sign(a) - np.sign(b)) for a, b in itertools.pairwise(x)) / 2]
        row[0] /= window - 1
        row.append(sum(v * v for v in x) / window)
        row.append(slow_entropy(x))
        frequency = [(i + 1) * rate / (2 * nfft) for i in range(nfft)]
        weight = X / (X.max() + 1e-8)
        total = weight.sum() + 1e-8
        centroid = sum(f * w for f, w in zip(frequency, weight, strict=True)) / total
        spread = sum((f - centroid) ** 2 * w for f, w in zip(frequency, weight, strict=True))
        row += [centroid / (rate / 2), (spread / total) ** 0.5 / (rate / 2)]
        row.append(slow_entropy(X))
        row.append(sum((X / (X + 1e-8).sum() - before / (before + 1e-8).sum()) ** 2))
        running, goal = 0.0, 0.9 * sum(X**2)
        for i, value in enumerate(X):
            running += value**2
            if running + 1e-8 > goal:
                row.append(i / nfft)
                break
        row += list(scipy.fft.dct(np.log10(bank @ X + 1e-8), norm="ortho")[:13])
        rows.append(row)
        before = X
        position += step
    return np.array(rows)


def slow_entropy(x):
    size, total = len(x) // 10, sum(x**2)
    shares = [sum(x[k * size : (k + 1) * size] ** 2) / (total + 1e-8) for k in range(10)]
    return -sum(s * np.log2(s + 1e-8) for s in shares)


def slow_filter_bank(rate, nfft):
    edges = [133.33 + k * 200 / 3 for k in range(13)]
    edges += [edges[12] * 1.0711703**k for k in range(1, 30)]
    bank = np.zeros((40, nfft))
    for k in range(40):
        low, middle, high = edges[k : k + 3]
        for i in range(nfft):
            f = i / nfft * rate
            if low < f <= middle:
                bank[k, i] = 2 / (high - low) * (f - low) / (middle - low)
            elif middle < f <= high:
                bank[k, i] = 2 / (high - low) * (high - f) / (high - middle)
    return bank


def slow_lowlevel(wave, rate, window, step, frames, offset=0):
    short = slow_short_features(wave, rate, window, step)
    delta = np.vstack([np.zeros_like(short[:1]), short[1:] - short[:-1]])
    short = np.hstack([short, delta])
    rows = []
    for i in range(frames):
        i = min(i, (len(short) - 1) // 16)
        first = 16 * (i + offset)
        part = short[max(first, 0) : first + 128]
        rows.append(np.concatenate([part.mean(axis=0), part.std(axis=0)]))
    return np.array(rows)


def test_the_count_of_windows_is_the_published_one():
    noise = np.random.default_rng(0).normal(size=4 * RATE)
    sound = module._prepare(noise, RATE, Fraction(25))
    assert sound.windows == 1593
    assert module.short_features(sound, 0, 1593).shape == (1593, 42)


@pytest.mark.parametrize("centred", [False, True])
def test_equals_the_slow_loop(wave, centred):
    times = np.arange(70) / FPS  # seven frames past the end
    due = slow_lowlevel(wave, RATE, 320, 40, 70, -4 if centred else 0)
    got = lowlevel(wave, RATE, times, FPS, centred=centred)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, due, rtol=1e-4, atol=1e-5)


def test_blocks_leave_no_seam(wave, monkeypatch):
    due = lowlevel(wave, RATE, np.arange(60) / FPS, FPS)
    monkeypatch.setattr(module, "BLOCK", 7)
    np.testing.assert_allclose(lowlevel(wave, RATE, np.arange(60) / FPS, FPS), due, rtol=1e-6)


@pytest.mark.parametrize("rate,fps", [(44100, 25), (16000, Fraction(30000, 1001)), (16000, 24)])
def test_positions_do_not_drift_when_a_step_is_no_whole_number_of_samples(rate, fps):
    """A click late in the sound is felt by exactly the frames whose windows hold it."""
    wave = np.zeros(40 * rate)
    wave[30 * rate] = 1.0
    count = int(35 * fps)
    got = lowlevel(wave, rate, np.arange(count) / float(fps), fps)
    loud = np.flatnonzero(got[:, 1] > got[:, 1].min() + 1e-9)
    assert abs(loud[-1] - 30 * fps) <= 1
    assert abs(loud[0] - (30 * fps - 8)) <= 2


def test_variable_frame_times_read_the_sound_at_their_own_times(wave):
    steady = lowlevel(wave, RATE, np.arange(60) / FPS, FPS)
    chosen = np.array([0, 1, 5, 6, 20, 41])
    got = lowlevel(wave, RATE, chosen / FPS, FPS)
    np.testing.assert_allclose(got, steady[chosen], rtol=1e-6)


def test_centred_is_forward_four_frames_earlier(wave):
    times = np.arange(10, 50) / FPS
    centred = lowlevel(wave, RATE, times, FPS, centred=True)
    forward = lowlevel(wave, RATE, times - 4 / FPS, FPS)
    np.testing.assert_allclose(centred, forward, rtol=1e-6)


def test_loudness_does_not_matter(wave):
    times = np.arange(40) / FPS
    quiet, loud = (lowlevel(wave * gain, RATE, times, FPS) for gain in (0.05, 0.9))
    np.testing.assert_allclose(quiet, loud, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wave", [np.zeros(RATE), np.zeros(0), np.zeros(100), np.ones(RATE)])
def test_silence_and_too_little_sound_give_finite_features(wave):
    got = lowlevel(wave, RATE, np.arange(20) / FPS, FPS)
    assert got.shape == (20, 84)
    assert np.isfinite(got).all()
