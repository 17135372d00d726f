import numpy as np
import pytest
import scipy.fft

from facejax.audio import mfcc as module
from facejax.audio.framing import count
from facejax.audio.mfcc import Stats, context_blocks, mfcc, mfcc_blocks, net_input

RATE = 16000
EPS = 2.220446049250313e-16


def speechlike(samples, seed=0):
    """A swept tone, noise and a stretch of digital silence, on the int16 grid."""
    rng, t = np.random.default_rng(seed), np.arange(samples) / RATE
    wave = 0.3 * np.sin(2 * np.pi * 170 * t * (1 + t)) + 0.02 * rng.normal(size=samples)
    wave *= np.abs(t - 0.3) > 0.1
    return (np.round(wave * 32768) / 32768).astype(np.float32)


def slow_filters():
    to_mel = lambda hertz: 2595 * np.log10(1 + hertz / 700.0)
    points = [to_mel(8000.0) * k / 27 for k in range(28)]
    edges = [int(513 * 700 * (10 ** (m / 2595) - 1) / RATE) for m in points]
    bank = np.zeros((26, 257))
    for k in range(26):
        low, middle, high = edges[k : k + 3]
        for i in range(low, middle):
            bank[k, i] = (i - low) / (middle - low)
        for i in range(middle, high):
            bank[k, i] = (high - i) / (high - middle)
    return bank


def slow_mfcc(wave):
    """python_speech_features as its documentation has it, frame by frame; then every second row."""
    x = np.trunc(wave.astype(np.float64) * 32768).astype(np.int16).astype(np.float64)
    x = np.array([x[n] - (0.97 * x[n - 1] if n else 0) for n in range(len(x))])
    number = 1 if len(x) <= 400 else 1 + int(np.ceil((len(x) - 400) / 160))
    x = np.concatenate([x, np.zeros(number * 160 + 400)])
    k, n = np.meshgrid(np.arange(257), np.arange(400))
    fourier = np.exp(-2j * np.pi * k * n / 512)
    rows = []
    for i in range(0, number, 2):
        power = np.abs(x[160 * i : 160 * i + 400] @ fourier) ** 2 / 512
        mel = slow_filters() @ power
        mel[mel == 0] = EPS
        row = scipy.fft.dct(np.log(mel), norm="ortho")
        row = [c * (1 + 11 * np.sin(np.pi * q / 22)) for q, c in enumerate(row)]
        row[0] = np.log(power.sum() or EPS)
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("samples", [1, 300, 400, 401, 800, 9_999])
def test_equals_the_slow_loop(samples):
    wave = speechlike(samples)
    got = mfcc(wave)
    assert got.shape == (count(samples), 26)
    np.testing.assert_allclose(got, slow_mfcc(wave), rtol=1e-9, atol=1e-8)


def test_samples_are_those_of_an_int16_file_and_loud_ones_do_not_wrap():
    wave = np.array([0.99999, -0.99999, 1.5, -1.5, 0.4 / 32768, -1.9 / 32768])
    got = np.concatenate(list(module._emphasised([wave])))
    due = np.array([32767, -32767, 32767, -32768, 0, -1])
    np.testing.assert_allclose(got[1:] + 0.97 * due[:-1], due[1:], atol=1e-9)
    assert got[0] == due[0]


def test_silence_is_finite_and_no_sound_has_no_rows():
    got = mfcc(np.zeros(RATE))
    np.testing.assert_allclose(got[:, 0], np.log(EPS))
    np.testing.assert_allclose(got[:, 1:], 0, atol=1e-12)
    assert mfcc(np.zeros(0)).shape == (0, 26)
    assert np.isfinite(net_input(got)).all()
    assert net_input(mfcc(np.zeros(0))).shape == (0, 494)


def test_a_stream_gives_what_the_whole_gives():
    """Equal but for the order in which the BLAS sums: hence not bit for bit."""
    wave = speechlike(20_001)
    due = mfcc(wave)
    for size in (1, 77, 320, 16_000):
        blocks = (wave[k : k + size] for k in range(0, len(wave), size))
        got = np.concatenate(list(mfcc_blocks(blocks)))
        np.testing.assert_allclose(got, due, rtol=1e-10, atol=1e-10)


def test_a_row_stands_between_its_neighbours_oldest_first():
    rows = np.arange(5 * 26.0).reshape(5, 26) + 1
    got = np.concatenate(list(context_blocks([rows])))
    for t in range(5):
        due = [rows[k] if 0 <= k < 5 else np.zeros(26) for k in range(t - 9, t + 10)]
        np.testing.assert_array_equal(got[t], np.concatenate(due))


@pytest.mark.parametrize("sizes", [(1,) * 30, (3, 0, 20, 7), (30,)])
def test_context_of_a_stream_is_that_of_the_whole(sizes):
    rows = np.random.default_rng(0).normal(size=(30, 26))
    due = np.concatenate(list(context_blocks([rows])))
    got = np.concatenate(list(context_blocks(np.split(rows, np.cumsum(sizes)[:-1]))))
    np.testing.assert_array_equal(got, due)


def test_the_utterance_has_one_mean_and_one_deviation():
    got = net_input(mfcc(speechlike(16_000)))
    assert got.dtype == np.float32
    assert got.shape == (50, 494)
    # float32 rounds each of the 24,700 numbers, not their mean
    np.testing.assert_allclose([got.mean(dtype=np.float64), got.std(dtype=np.float64)], [0, 1],
                               atol=1e-6)  # fmt: skip


def test_given_statistics_replace_the_measured_ones():
    cepstra = mfcc(speechlike(8_000))
    rows = np.concatenate(list(context_blocks([cepstra])))
    own = net_input(cepstra, module.measured(rows))
    np.testing.assert_array_equal(own, net_input(cepstra))
    got = net_input(cepstra, Stats(2.0, 4.0))
    np.testing.assert_allclose(got, (rows - 2) / 4, rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match=r"stats\.std"):
        net_input(cepstra, Stats(0.0, 0.0))
