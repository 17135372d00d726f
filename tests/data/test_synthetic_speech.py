import numpy as np
import pytest

from facejax.data.synthetic import expression, rhythm, speech
from facejax.geometry.rotations import euler_to_matrix
from facejax.metrics import blinks

VOICE = speech.Voice(pitch=120.0, tract=1.0, rate=4.0, melody=3.0, effort=1.0, breath=0.02)


def steady(rows=201, **changed):
    """Tracks that do not change: silence, but for what is named."""
    tracks = speech.Tracks(
        formants=np.tile([500.0, 1500.0, 2500.0], (rows, 1)),
        voicing=np.zeros(rows),
        noise=np.zeros(rows),
        noise_hz=np.full(rows, 3000.0),
        mouth=np.zeros((rows, len(speech.MOUTH))),
        stress=np.zeros(rows),
    )
    return tracks._replace(
        **{name: getattr(tracks, name) + value for name, value in changed.items()}
    )


def spectrum(wave):
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    return np.fft.rfftfreq(len(wave), 1 / speech.RATE), power


def sound(tracks, count=16000, voice=VOICE):
    return speech.sound(np.random.default_rng(0), voice, tracks, count).astype(float)


def test_no_voice_and_no_noise_is_silence():
    assert not sound(steady()).any()


def test_the_voice_has_its_pitch():
    hertz, power = spectrum(sound(steady(voicing=1.0)))
    low = (hertz > 60) & (hertz < 200)
    assert hertz[low][np.argmax(power[low])] == pytest.approx(VOICE.pitch, rel=0.03)


@pytest.mark.parametrize("vowel", ["a", "i"])
def test_a_vowel_is_loud_at_its_formants_and_soft_between(vowel):
    formants = np.array(speech.PHONES[vowel][:3], float)
    hertz, power = spectrum(
        sound(steady(voicing=1.0)._replace(formants=np.tile(formants, (201, 1))))
    )

    def level(centre):
        return np.mean(power[np.abs(hertz - centre) < VOICE.pitch])

    valley = (formants[0] + formants[1]) / 2 if vowel == "i" else (formants[1] + formants[2]) / 2
    above = formants[1] if vowel == "i" else formants[2]
    assert level(formants[0]) > 4 * level(valley) and level(above) > 1.5 * level(valley)


def test_noise_is_where_its_frequency_says():
    hertz, power = spectrum(sound(steady(noise=1.0)._replace(noise_hz=np.full(201, 4200.0))))
    assert np.average(hertz, weights=power) == pytest.approx(4200, rel=0.08)


def test_what_is_loud_is_said_with_an_open_mouth():
    """Vowels are loud and open, pauses and closed lips are soft: the sound tells the mouth."""
    tracks = speech.utter(np.random.default_rng(3), VOICE, 12.0)
    wave = sound(tracks, 12 * speech.RATE)
    times = np.arange(0.02, 11.9, 0.04)
    loud = [np.std(wave[int(t * 16000) - 320 : int(t * 16000) + 320]) for t in times]
    mouth = speech.mouth_at(tracks, times)
    assert np.corrcoef(np.sqrt(loud), mouth["jaw"])[0, 1] > 0.45
    closed, open_ = mouth["press"] > 0.6, mouth["jaw"] > 0.4
    assert closed.any() and np.mean(np.array(loud)[closed]) < 0.3 * np.mean(np.array(loud)[open_])


def habits():
    return rhythm.draw(np.random.default_rng(5))


def perform(seed=0, frames=50):
    return rhythm.perform(np.random.default_rng(seed), habits(), frames, 25)


def test_matrices_are_those_of_the_geometry():
    angles = np.random.default_rng(0).uniform(-0.5, 0.5, (4, 3))
    np.testing.assert_allclose(rhythm.matrices(angles), euler_to_matrix(angles), atol=1e-6)


def test_the_head_turns_about_its_joint():
    angles = np.random.default_rng(1).uniform(-0.4, 0.4, (5, 3))
    there = np.einsum("tij,j->ti", rhythm.matrices(angles), rhythm.PIVOT) + rhythm.pivot_shift(
        angles
    )
    np.testing.assert_allclose(there, np.tile(rhythm.PIVOT, (5, 1)), atol=1e-9)


def test_a_performance_keeps_within_its_limits():
    for seed in range(6):
        what = perform(seed)
        assert (np.abs(what.pose[:, :3]) <= rhythm.LIMITS + 1e-6).all()
        assert what.blink.min() >= 0 and what.blink.max() <= 5
        assert what.audio.shape == (2 * speech.RATE,) and what.audio.dtype == np.int16
        steps = np.abs(np.diff(what.pose[:, :3], axis=0)).max()
        assert steps < np.deg2rad(8), "a head does not jump between frames"


def test_blink_is_the_strength_of_its_expression():
    what = perform(frames=100)
    at = expression.NAMES.index("blink")
    strength = what.expression[:, at] * expression.DEVIATIONS[at]
    np.testing.assert_allclose(what.blink, 5 * strength, atol=1e-5)
    assert what.blink.max() > 4.9 * habits().lids.depth, "nobody stares for four seconds"


def blink_of(**changes):
    lids = rhythm.Lids(rate=0.2, close=0.1, hold=0.1, open=0.2, depth=0.6)._replace(**changes)
    who = habits()._replace(lids=lids)
    return rhythm.perform(np.random.default_rng(3), who, 3000, 100).blink


def test_lids_fall_as_far_and_stay_as_long_as_their_owners():
    usual, slow, deep = blink_of(), blink_of(close=0.15, hold=0.15, open=0.3), blink_of(depth=0.9)
    assert usual.max() == pytest.approx(3, rel=1e-3)
    np.testing.assert_allclose(deep, 1.5 * usual, rtol=1e-5)
    lasts = [blinks.figures([curve], 100)["seconds"] for curve in (usual, slow)]
    assert lasts[0] == pytest.approx(0.1 / 2 + 0.1 + 0.2 / 2, abs=0.01)  # at half of its height
    assert lasts[1] == pytest.approx(1.5 * lasts[0], abs=0.02)


def test_people_differ_in_how_they_blink():
    lids = np.array([rhythm.draw(np.random.default_rng(k)).lids for k in range(40)])
    rate, close, hold, rise, depth = lids.T
    assert rate.min() >= 0.3 and rate.max() <= 0.9 and np.ptp(rate) > 0.5
    assert depth.min() >= 0.5 and depth.max() <= 1 and np.ptp(depth) > 0.4
    lasts = close + hold + rise
    assert lasts.min() > 0.1 and lasts.max() < 0.6 and lasts.max() > 2.5 * lasts.min()


def test_blinks_are_all_that_lids_change():
    one, other = (
        rhythm.perform(np.random.default_rng(3), habits()._replace(lids=lids), 100, 25)
        for lids in (habits().lids, habits().lids._replace(depth=0.5, close=0.15))
    )
    np.testing.assert_array_equal(one.pose, other.pose)
    np.testing.assert_array_equal(one.audio, other.audio)


def test_other_seeds_move_and_speak_otherwise():
    one, other = perform(0), perform(1)
    assert np.abs(one.pose - other.pose).max() > 0.02
    assert np.abs(one.expression - other.expression).max() > 0.2
    assert (one.audio != other.audio).mean() > 0.5


def test_the_eyes_stay_with_the_viewer():
    what = [perform(seed) for seed in range(8)]
    yaw = np.concatenate([w.pose[:, 1] for w in what])
    gaze = np.concatenate([w.expression[:, expression.NAMES.index("gaze_right")] for w in what])
    assert np.corrcoef(yaw, gaze)[0, 1] < -0.7
