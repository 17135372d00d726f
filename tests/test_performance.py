import numpy as np
import pytest
from scipy.ndimage import correlate1d
from scipy.spatial.transform import Rotation

from facejax import performance
from facejax.errors import InputError
from facejax.geometry.morphable import MorphableModel
from tests import fake_performances
from tests.data import fake

MODEL = MorphableModel(**fake.model_arrays())
CANONICAL = performance.canonical_face(MODEL)


def seen(frames=40, seed=0, fps=25.0, valid=None, own_fps=25):
    valid = np.ones(frames, bool) if valid is None else valid
    return performance.measure(
        fake_performances.landmarks(frames, seed),
        valid,
        CANONICAL,
        size=fake_performances.SIZE,
        times=np.arange(frames) / own_fps,
        fps=fps,
    )


def degrees(one, other):
    return np.rad2deg((Rotation.from_rotvec(one) * Rotation.from_rotvec(other).inv()).magnitude())


def test_the_canonical_face_is_frontal_in_mid_picture_and_its_nose_is_nearest():
    model = MODEL._replace(mean=MODEL.mean + [[0, 0, 5.0]] * (np.arange(25)[:, None] == 12))
    face = performance.canonical_face(model)
    assert face.shape == (68, 3)
    np.testing.assert_allclose(face[12, :2], 128, atol=1e-3)  # vertex 12 is the grid's middle
    assert face[12, 2] == face[:, 2].max()  # FAN: larger is nearer
    assert face[2, 1] < face[22, 1]  # y down: the top row first


def test_head_motion_is_the_inverse_of_the_heads_turn():
    found = seen()
    due = -fake_performances.turns(40) * [-1, -1, 1]  # the inverse, in the frame mirrored in z
    inner = slice(2, -2)  # smoothing takes the ends from one side
    assert degrees(found.motion[inner, :3], due[inner]).max() < 1.5


def test_fronts_do_not_turn_and_their_mouths_open_with_the_sound():
    found = seen()
    rigid = found.fronts[:, list(performance.head_motion.RIGID)]
    assert np.abs(rigid - rigid.mean(0)).max() < 2.0
    opening = performance.open_rate(found.fronts)
    assert np.corrcoef(opening, fake_performances.loudness(40))[0, 1] > 0.95


def test_pixels_are_those_of_256_whatever_the_picture_has():
    twice = performance.measure(
        2 * fake_performances.landmarks(40),
        np.ones(40, bool),
        CANONICAL,
        size=2 * fake_performances.SIZE,
        times=np.arange(40) / 25,
        fps=25,
    )
    np.testing.assert_allclose(twice.landmarks, seen().landmarks, atol=1e-3)
    assert 100 < np.ptp(seen().landmarks[0, :, 0]) < 150  # 120 mm of face at a px each


def test_posing_gives_the_landmarks_back_over_more_than_a_block():
    found = seen(performance.BLOCK + 7)
    assert len(found.motion) == performance.BLOCK + 7
    np.testing.assert_allclose(
        performance.posed(found.fronts, found.motion), found.landmarks, atol=1e-3
    )


def test_frames_without_a_face_are_joined_by_their_neighbours():
    valid = np.ones(40, bool)
    valid[20:23] = False
    broken = fake_performances.landmarks(40)
    broken[20:23] = np.nan
    found = performance.measure(
        broken, valid, CANONICAL, size=16, times=np.arange(40) / 25, fps=25.0
    )
    np.testing.assert_array_equal(found.valid, valid)
    assert np.isfinite(found.motion).all()
    assert degrees(found.motion[20:23, :3], seen().motion[20:23, :3]).max() < 5


def test_landmarks_that_are_not_finite_count_as_missing():
    broken = fake_performances.landmarks(40)
    broken[5, 3] = np.nan
    found = performance.measure(
        broken, np.ones(40, bool), CANONICAL, size=16, times=np.arange(40) / 25, fps=25.0
    )
    assert np.isfinite(found.landmarks).all()


def test_another_frame_rate_is_interpolated():
    found = seen(80, own_fps=50)
    assert len(found.motion) == 40
    every_other = seen(80).motion[::2]
    assert degrees(found.motion[3:-3, :3], every_other[3:-3, :3]).max() < 4


def test_no_face_at_all_is_refused():
    with pytest.raises(InputError, match="no frame shows a face"):
        seen(valid=np.zeros(40, bool))


def test_smoothing_is_a_centred_hann_window_with_mirrored_ends():
    values = np.random.default_rng(0).normal(size=(30, 2))
    window = np.hanning(7)[1:-1]
    due = correlate1d(values, window / window.sum(), axis=0, mode="mirror")
    np.testing.assert_allclose(performance.smoothed(values, 5), due, atol=1e-12)
    np.testing.assert_allclose(performance.smoothed(values, 5, late=1)[5:], due[4:-1], atol=1e-12)
    np.testing.assert_allclose(performance.smoothed(values[:2], 5).mean(0), values[:2].mean(0))


def test_the_key_frame_is_the_most_frontal_with_a_face():
    found = seen()
    key = performance.key_frame(found)
    assert key == np.argmin(np.abs(found.motion[:, :3]).sum(1))
    hidden = found._replace(valid=np.arange(40) != key)
    assert performance.key_frame(hidden) != key


def test_a_face_that_never_looks_ahead_is_refused():
    found = seen()
    away = found.motion + np.float32([0, 1, 0, 0, 0, 0])
    with pytest.raises(InputError, match=r"clip x has no frontal frame: .* degrees, and at most"):
        performance.key_frame(found._replace(motion=away), name="clip x")
    with pytest.raises(InputError, match="shows no face"):
        performance.key_frame(found._replace(valid=np.zeros(40, bool)))
