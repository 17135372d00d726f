import numpy as np
import pytest

from facejax.geometry.morphable import MorphableModel, face_shape
from facejax.metrics import attributes
from tests.data import fake

MODEL = MorphableModel(**fake.model_arrays())


def face(seed, frames=5):
    rng = np.random.default_rng(seed)
    pose = (0.5 * rng.normal(size=(frames, 6))).astype(np.float32)
    expression = rng.normal(size=(frames, 3)).astype(np.float32)
    return attributes.Face(pose, rng.uniform(0, 5, frames).astype(np.float32), expression)


def test_errors_are_those_of_a_loop_over_frames():
    one, other = face(0), face(1)
    found = attributes.frame_errors(one, other, MODEL)
    for t in range(5):
        shapes = [
            np.asarray(face_shape(MODEL, np.ones(4, np.float32), f.expression[t]))
            for f in (one, other)
        ]
        mouth = [shape[MODEL.landmarks[48:68]] for shape in shapes]
        due = {
            "expression": np.abs(one.expression[t] - other.expression[t]).mean(),
            "pose_mm": np.abs(one.pose[t, 3:] - other.pose[t, 3:]).mean(),
            "pose_degrees": np.rad2deg(np.abs(one.pose[t, :3] - other.pose[t, :3])).mean(),
            "blink": abs(one.blink[t] - other.blink[t]),
            "mouth": np.linalg.norm(mouth[0] - mouth[1], axis=1).mean(),
        }
        for name, value in due.items():
            assert found[name][t] == pytest.approx(value, rel=1e-4), name


def test_a_face_is_at_no_distance_from_itself_and_without_a_model_has_no_mouth():
    assert all(
        not values.any() for values in attributes.frame_errors(face(0), face(0), MODEL).values()
    )
    assert "mouth" not in attributes.frame_errors(face(0), face(1))


def test_angles_are_compared_the_short_way_round():
    one, other = face(0), face(0)
    one.pose[:, 1], other.pose[:, 1] = np.pi - 0.01, -np.pi + 0.01
    found = attributes.frame_errors(one, other)["pose_degrees"]
    np.testing.assert_allclose(found, np.rad2deg(0.02) / 3, rtol=1e-3)


def test_the_opening_is_between_the_inner_lips_of_this_identity():
    rng = np.random.default_rng(2)
    identity, expression = rng.normal(size=4), rng.normal(size=(5, 3))
    found = attributes.mouth_opening(expression, identity, MODEL)
    shape = np.asarray(face_shape(MODEL, identity.astype("f4"), expression.astype("f4")))
    lips = shape[:, MODEL.landmarks[[62, 66]]]
    np.testing.assert_allclose(found, np.linalg.norm(lips[:, 0] - lips[:, 1], axis=1), rtol=1e-4)


def test_correlation_is_pearsons_and_0_for_a_mouth_that_does_not_move():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 40))
    assert attributes.correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert attributes.correlation(a, 3 - 2 * a) == pytest.approx(-1)
    assert attributes.correlation(a, np.full(40, 7.7)) == 0
