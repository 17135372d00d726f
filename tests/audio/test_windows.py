from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.audio.windows import at_times, centre_rows, frame_times, windows


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(53, 3)).astype(np.float32)


def slow_windows(features, stride):
    rows = [f for f in features]
    zero = np.zeros_like(features[0])
    padded = [zero] * 8 + rows + [zero] * 8
    return np.array([padded[i : i + 16] for i in range(0, len(rows), stride)])


@pytest.mark.parametrize(
    "seconds,fps,due",
    [(Fraction(389_724, 16_000), 30, 731), (1, 25, 25), (2, Fraction(30000, 1001), 60),
     (0.05, 25, 1), (0.01, 25, 0), (10, 23.976, 240)],
)  # fmt: skip
def test_a_sound_has_as_many_frames_as_its_length_rounds_to(seconds, fps, due):
    times = frame_times(seconds, fps)
    assert len(times) == due
    np.testing.assert_allclose(np.diff(times), 1 / float(fps))


def test_at_30_fps_every_third_frame_is_every_fifth_row_bit_for_bit():
    rows = np.random.default_rng(0).normal(size=(5_001, 2)).astype(np.float32)
    got = at_times(rows, frame_times(100, 30))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got[::3], rows[:5_000:5])


@pytest.mark.parametrize("fps", [24, 25, 29.97, 30, 50, 60, 100])
def test_equals_numpy_channel_by_channel_clamped_past_the_end(features, fps):
    times = frame_times(1.3, fps)  # the rows end at 1.04 s
    due = [np.interp(times, np.arange(53) / 50, channel) for channel in features.T]
    np.testing.assert_allclose(at_times(features, times), np.stack(due, 1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(at_times(features, np.array([-1.0, 9.0])), features[[0, -1]])


def test_their_own_rate_changes_nothing(features):
    np.testing.assert_array_equal(at_times(features, np.arange(53) / 50), features)


def test_one_row_serves_all_times():
    got = at_times(np.ones((1, 4)), np.array([0.0, 0.5, 7.0]))
    np.testing.assert_array_equal(got, np.ones((3, 4)))


def test_features_without_a_row_or_an_axis_are_refused(features):
    with pytest.raises(ValueError, match="no row"):
        at_times(features[:0], np.zeros(3))
    with pytest.raises(ValueError, match="features has shape"):
        at_times(features[0], np.zeros(3))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, 7, 53])
def test_windows_equal_the_slow_loop(features, stride, rows):
    got = windows(features[:rows], stride=stride)
    np.testing.assert_array_equal(got, slow_windows(features[:rows], stride))


def test_a_row_lies_at_place_8_of_its_window(features):
    cut = windows(features)
    np.testing.assert_array_equal(cut[:, 8], features)
    np.testing.assert_array_equal(centre_rows(cut), features)
    assert (cut[0, :8] == 0).all() and (cut[-1, 9:] == 0).all()


def test_batches_of_jax_arrays_are_cut_alike(features):
    batch = jnp.stack([features, features[::-1]])
    got = jax.jit(lambda x: windows(x, stride=2, size=6))(batch)
    assert got.shape == (2, 27, 6, 3)
    for one, rows in zip(got, batch, strict=True):
        np.testing.assert_array_equal(one, windows(np.asarray(rows), stride=2, size=6))


@pytest.mark.parametrize("stride,size", [(0, 16), (1, 15), (1, 0)])
def test_impossible_windows_are_refused(features, stride, size):
    with pytest.raises(ValueError, match="due"):
        windows(features, stride=stride, size=size)


def test_published_windows_are_rebuilt_from_their_centre_rows(real_data):
    published = np.load(real_data / "facial/deepspeech_windows_and_coefficients.npz")["deepspeech"]
    assert published.shape == (731, 16, 29)
    np.testing.assert_array_equal(windows(centre_rows(published)), published)
