import numpy as np
import pytest

from facejax.audio import mel
from facejax.audio.framing import count
from facejax.audio.mel import log_mel, log_mel_blocks

RATE = 16000


def slow_log_mel(wave):
    """One row and one band at a time, with the Fourier sum written out."""
    to_mel = lambda hertz: 2595 * np.log10(1 + hertz / 700)
    to_hertz = lambda mels: 700 * (10 ** (mels / 2595) - 1)
    edges = [to_hertz(to_mel(60) + (to_mel(7600) - to_mel(60)) * k / 30) for k in range(31)]
    hann = np.sin(np.pi * np.arange(640) / 640) ** 2
    k, n = np.meshgrid(np.arange(513), np.arange(640))
    fourier = np.exp(-2j * np.pi * k * n / 1024)
    padded = np.concatenate([np.zeros(120), wave, np.zeros(1000)])
    rows = np.zeros((count(len(wave)), 29))
    for t in range(len(rows)):
        power = np.abs((padded[320 * t : 320 * t + 640] * hann) @ fourier) ** 2
        power *= 4 / (1024 * (hann**2).sum())
        for band in range(29):
            low, middle, high = edges[band : band + 3]
            total = 0.0
            for i in range(513):
                f = i * RATE / 1024
                if low < f < high:
                    total += power[i] * min(
                        (f - low) / (middle - low), (high - f) / (high - middle)
                    )
            rows[t, band] = (max(-100, 10 * np.log10(total or 1e-30)) + 50) / 20
    return rows


@pytest.fixture
def wave():
    rng, t = np.random.default_rng(0), np.arange(7_777) / RATE
    wave = 0.2 * np.sin(2 * np.pi * 300 * t) * (t > 0.1) + 1e-3 * rng.normal(size=len(t)) * (
        t < 0.3
    )
    return wave.astype(np.float32)


def test_equals_the_slow_loop(wave):
    got = log_mel(wave)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, slow_log_mel(wave), rtol=1e-5, atol=1e-5)


def test_a_stream_gives_what_the_whole_gives(wave):
    """To one rounding of float32: the BLAS may sum in another order."""
    due = log_mel(wave)
    for size in (1, 77, 320, 5_000):
        blocks = (wave[k : k + size] for k in range(0, len(wave), size))
        got = np.concatenate(list(log_mel_blocks(blocks)))
        np.testing.assert_allclose(got, due, rtol=2e-7, atol=2e-7)


@pytest.mark.parametrize("band", [3, 14, 27])
def test_a_sine_of_full_scale_is_0_db_in_its_own_band(band):
    peak = np.argmax(mel.filter_bank()[band]) * RATE / mel.FFT
    rows = log_mel(np.sin(2 * np.pi * peak * np.arange(RATE) / RATE))[2:-2]
    assert (rows.argmax(axis=1) == band).all()
    # the triangle's flanks take what lies beside the peak: most where it is narrow
    assert -3 < 20 * rows[:, band].max() - 50 <= 0


def test_ten_times_the_amplitude_is_one_more():
    hiss = 0.1 * np.random.default_rng(0).normal(size=8_000)
    louder = log_mel(hiss) - log_mel(hiss / 10)
    np.testing.assert_allclose(louder, np.ones((25, 29)), atol=1e-6)


def test_silence_is_the_floor_and_no_sound_has_no_rows():
    np.testing.assert_allclose(log_mel(np.zeros(RATE)), -2.5)
    assert log_mel(np.zeros(0)).shape == (0, 29)


def test_a_click_is_loudest_in_the_row_of_its_time():
    for row in (0, 1, 30):
        wave = np.zeros(RATE)
        wave[320 * row + 200] = 1  # the middle of the row's 25 ms
        assert log_mel(wave).mean(axis=1).argmax() == row


def test_no_sample_lies_between_the_frames():
    """The power of a click is the same wherever it falls, to the overlap of two Hann frames."""
    wave = np.zeros((16, RATE // 4))
    wave[np.arange(16), 1000 + 20 * np.arange(16)] = 1
    power = [(10 ** (2 * log_mel(row))).sum() for row in wave]
    assert max(power) / min(power) < 2.1


def test_every_band_hears_something_and_every_frequency_is_heard():
    bank = mel.filter_bank()
    assert (bank.max(axis=1) > 0.6).all()
    hertz = np.arange(513) * RATE / 1024
    inside = (hertz > 130) & (hertz < 6800)
    np.testing.assert_allclose(bank.sum(axis=0)[inside], 1, atol=1e-9)
