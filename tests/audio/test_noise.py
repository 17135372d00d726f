import numpy as np
import pytest

from facejax.audio import noise as module
from facejax.audio.noise import SNRS_DB, add_random_noise, mix


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def speech(rng):
    return 0.2 * np.sin(np.arange(9_000) / 7) * rng.uniform(0, 1, 9_000)


def power(x):
    return np.mean(np.square(x, dtype=np.float64))


def test_the_steps_are_the_papers():
    assert SNRS_DB == (6, 9, 12, 15, 18, 21, 24, 27, 30)


@pytest.mark.parametrize("snr_db", [-6, 6, 15, 30])
@pytest.mark.parametrize("samples", [1, 1_000, 9_000, 20_000])
def test_the_ratio_of_the_powers_is_the_one_asked_for(speech, rng, snr_db, samples):
    hiss = rng.normal(size=samples)
    got = mix(speech, hiss, snr_db, rng)
    assert got.dtype == np.float32
    ratio = 10 * np.log10(power(speech) / power(got - speech))
    np.testing.assert_allclose(ratio, snr_db, atol=1e-3)  # float32 rounds the sum


@pytest.mark.parametrize("samples", [1_000, 9_000, 20_000])
def test_what_is_added_is_a_stretch_of_the_noise_or_its_repetition(speech, rng, samples):
    hiss = rng.normal(size=samples)
    added = mix(speech, hiss, 6, rng) - speech
    endless = np.concatenate([hiss, hiss, hiss[:1]]) if samples < 9_000 else hiss
    starts = range(len(endless) - 900)
    first = added[:900] / np.linalg.norm(added[:900])
    likeness = max(
        first @ endless[k : k + 900] / np.linalg.norm(endless[k : k + 900]) for k in starts
    )
    assert likeness > 0.999
    if samples < 9_000:
        np.testing.assert_allclose(added[samples:], added[:-samples], atol=1e-6)


def test_every_place_of_a_longer_noise_can_be_drawn_and_none_beyond(rng):
    got = {mix(np.ones(3), np.arange(1.0, 6), 0, rng).tobytes() for _ in range(100)}
    assert len(got) == 3


def test_the_same_generator_gives_the_same_sound(speech):
    hiss = np.random.default_rng(5).normal(size=20_000)
    first, second = (mix(speech, hiss, 6, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, mix(speech, hiss, 6, np.random.default_rng(2)))


def test_silence_on_either_side_leaves_the_speech_as_it_is(speech, rng):
    np.testing.assert_array_equal(mix(speech, np.zeros(50), 6, rng), speech.astype(np.float32))
    np.testing.assert_array_equal(mix(np.zeros(99), rng.normal(size=50), 6, rng), np.zeros(99))
    assert mix(np.zeros(0), np.ones(5), 6, rng).shape == (0,)


def test_a_random_ratio_is_one_of_the_steps(speech, rng):
    noises = [rng.normal(size=9_000), rng.uniform(size=500)]
    ratios = {
        round(10 * np.log10(power(speech) / power(add_random_noise(speech, noises, rng) - speech)))
        for _ in range(60)
    }
    assert ratios == set(module.SNRS_DB)


def test_no_noise_and_stereo_are_refused(speech, rng):
    with pytest.raises(ValueError, match="noise has no sample"):
        mix(speech, np.zeros(0), 6, rng)
    with pytest.raises(ValueError, match="noise has shape"):
        mix(speech, np.zeros((5, 2)), 6, rng)


def test_coloured_noises_fall_with_frequency_and_are_equally_loud():
    made = module.coloured(40_000)
    band = lambda wave, low, high: np.square(np.abs(np.fft.rfft(wave)))[low:high].mean()
    for power, wave in enumerate(made):
        assert wave.dtype == np.float32 and np.sqrt(np.mean(wave**2)) == pytest.approx(0.1, 1e-4)
        octaves = band(wave, 200, 220) / band(wave, 3200, 3520)  # sixteen times the frequency
        assert 10 * np.log10(octaves) == pytest.approx(10 * power * np.log10(16), abs=2.5)
    np.testing.assert_array_equal(made[1], module.coloured(40_000)[1])
