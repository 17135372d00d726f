import numpy as np
import pytest
from scipy.signal import find_peaks, peak_widths

from facejax import face_measures
from facejax.metrics import blinks


def triangles(peaks, frames):
    """A curve of blinks that close and open at steady speeds, {frame: (height, rise, fall)}."""
    time, curve = np.arange(frames), np.zeros(frames)
    for frame, (height, rise, fall) in peaks.items():
        slope = np.where(time < frame, rise, fall)
        curve = np.maximum(curve, height * np.maximum(1 - np.abs(time - frame) / slope, 0))
    return curve


def test_blinks_are_counted_and_their_durations_exact():
    curve = triangles({20: (5, 4, 8), 60: (0.6, 3, 3), 100: (2, 10, 2)}, 130)
    found = blinks.find(curve)
    assert found.frames.tolist() == [20, 60, 100]
    np.testing.assert_allclose(found.widths, [6, 3, 6])
    figures = blinks.figures([curve, np.zeros(170)], fps=25)
    assert figures == {"a_second": 3 / 12, "seconds": pytest.approx(5 / 25)}


@pytest.mark.parametrize("seed", range(4))
def test_lone_smooth_peaks_are_those_of_scipy(seed):
    rng = np.random.default_rng(seed)
    time, curve = np.arange(600), np.zeros(600)
    for centre in np.arange(30, 600, 60):
        at, width = centre + rng.uniform(-9, 9), rng.uniform(1.5, 5)
        curve += rng.uniform(0.1, 5) * np.exp(-0.5 * ((time - at) / width) ** 2)
    found = blinks.find(curve)
    due = find_peaks(curve, height=blinks.THRESHOLD)[0]
    assert 0 < len(due) < 10 or seed
    np.testing.assert_array_equal(found.frames, due)
    np.testing.assert_allclose(found.widths, peak_widths(curve, due, 0.5)[0], rtol=1e-3)


def test_noise_makes_no_more_blinks():
    rng = np.random.default_rng(0)
    curve = triangles({k: (4, 20, 20) for k in range(30, 900, 50)}, 930)
    noisy = curve + rng.uniform(-0.2, 0.2, len(curve))
    assert len(find_peaks(noisy, height=blinks.THRESHOLD)[0]) > 25
    found = blinks.find(noisy)
    assert len(found.frames) == len(blinks.find(curve).frames) == 18
    np.testing.assert_allclose(found.widths.mean(), 20, atol=1)


@pytest.mark.parametrize(("valley", "count"), [(1.4, 1), (1.6, 1), (0.7, 2)])
def test_a_flutter_is_one_blink_unless_the_lids_open_half(valley, count):
    """Peaks of 3 and 2: the second is its own where the curve falls to half of its own height."""
    curve = np.interp(np.arange(60), [10, 20, 25, 30, 40], [0, 3, valley, 2, 0])
    assert len(blinks.find(curve).frames) == count


def test_a_blink_that_an_end_cuts_counts_and_has_no_duration():
    curve = triangles({0: (3, 4, 4), 30: (3, 4, 4), 59: (3, 4, 4)}, 60)
    found = blinks.find(curve)
    assert found.frames.tolist() == [0, 30, 59]
    np.testing.assert_array_equal(found.widths, [np.nan, 4, np.nan])
    assert blinks.figures([curve[:20]], 30) == {"a_second": 1.5, "seconds": None}


def test_what_is_no_blink():
    for curve in (np.zeros(50), np.full(50, 4.0), triangles({20: (0.49, 4, 4)}, 50), np.zeros(0)):
        assert not len(blinks.find(curve).frames)
    narrow = triangles({20: (0.4, 4, 4)}, 50)
    assert len(blinks.find(narrow, threshold=0.3).frames) == 1


def test_blinks_are_read_off_how_far_eyes_are_open():
    """`face_measures.blink` on the openness of eyes that shut three times in 4 s."""
    shut = triangles({20: (1, 4, 4), 50: (1, 4, 4), 80: (1, 4, 4)}, 100)
    for wide in (0.25, 0.35):
        closure = face_measures.blink(wide * (1 - 0.4 * shut))
        assert blinks.figures([closure], fps=25)["a_second"] == 3 / 4


def test_the_published_sample_blinks_three_times(real_data):
    file = real_data / "facial" / "deepspeech_windows_and_coefficients.npz"
    closure = np.load(file)["face"][:, 6]
    figures = blinks.figures([closure], 30)
    assert figures["a_second"] == pytest.approx(3 / (731 / 30))
    assert 0.1 < figures["seconds"] < 0.4


def test_misuse_is_refused():
    with pytest.raises(ValueError, match=r"closure has shape \(5, 1\); due: \[T\]"):
        blinks.find(np.zeros((5, 1)))
    with pytest.raises(ValueError, match="threshold is 0; due: above 0"):
        blinks.find(np.zeros(5), threshold=0)
    with pytest.raises(ValueError, match="no frame"):
        blinks.figures([np.zeros(0)], 30)
