import numpy as np
import pytest

from facejax import face_measures
from facejax.face_topology import IBUG_68, LEFT_EYE, RIGHT_EYE


def eyes(height, width=30.0, turn=0.0):
    """Landmarks [70, 3] with two eyes of the given height and width, turned about y."""
    landmarks = np.zeros((70, 3))
    place = {0: (0, 0), 1: (1, 1), 2: (2, 1), 3: (3, 0), 4: (2, -1), 5: (1, -1)}
    for start in (36, 42):
        for k, (x, y) in place.items():
            landmarks[start + k] = (start * 5 + x * width / 3, y * height / 2, 0)
    c, s = np.cos(turn), np.sin(turn)
    return landmarks @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


def test_landmarks_are_the_ibug_points_then_the_pupils():
    points = np.random.default_rng(0).normal(size=(3, 468, 2))
    landmarks = face_measures.landmarks_70(points)
    assert landmarks.shape == (3, 70, 2)
    np.testing.assert_array_equal(landmarks[:, :68], points[:, list(IBUG_68)])
    np.testing.assert_allclose(landmarks[:, 68], points[:, list(RIGHT_EYE)].mean(axis=1))
    np.testing.assert_allclose(landmarks[:, 69], points[:, list(LEFT_EYE)].mean(axis=1))


@pytest.mark.parametrize("turn", [0.0, 0.9])
@pytest.mark.parametrize("scale", [1.0, 7.3])
def test_openness_is_height_over_width_whatever_the_pose_and_size(turn, scale):
    ratio = face_measures.openness(scale * eyes(9.0, turn=turn))
    np.testing.assert_allclose(ratio, 0.3, rtol=1e-6)


def test_openness_of_points_on_one_spot_is_finite():
    assert np.isfinite(face_measures.openness(np.zeros((70, 3))))


def test_blink_is_zero_on_open_eyes_five_on_shut_ones_and_rises_between():
    openness = np.full(100, 0.3)
    openness[40:49] = 0.3 * np.array([0.95, 0.85, 0.8, 0.7, 0.6, 0.7, 0.8, 0.85, 0.95])
    got = face_measures.blink(openness)
    assert got.dtype == np.float32
    assert (got[:40] == 0).all() and got[44] == 5
    assert (np.diff(got[40:45]) >= 0).all() and (np.diff(got[41:45]) > 0).all()


def test_blink_follows_the_person_and_not_a_fixed_size_of_eye():
    openness = 0.3 + 0.02 * np.sin(np.arange(50))
    openness[20:24] = 0.18
    np.testing.assert_allclose(
        face_measures.blink(openness), face_measures.blink(0.7 * openness), atol=1e-5
    )


def test_a_clip_of_shut_eyes_is_not_taken_for_open_ones():
    assert face_measures.blink(np.full(10, 0.1)).min() == 5
