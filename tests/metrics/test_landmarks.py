import jax.numpy as jnp
import numpy as np
import pytest

from facejax.geometry.rotations import rotation_vector_to_matrix
from facejax.metrics.landmarks import nme, rotation_error


@pytest.fixture
def truth():
    return np.random.default_rng(0).uniform(0, 100, (2, 5, 2)).astype(np.float32)


def test_nme_is_the_shift_over_the_side_of_a_square_face():
    corners = np.array([[10, 20], [60, 20], [60, 70], [10, 70]], np.float32)
    np.testing.assert_allclose(nme(corners + np.float32([3, 4]), corners), 5 / 50, rtol=1e-6)


def test_nme_takes_the_geometric_mean_of_unequal_sides():
    corners = np.array([[0, 0], [40, 0], [40, 90], [0, 90]], np.float32)
    np.testing.assert_allclose(nme(corners + np.float32([6, 0]), corners), 6 / 60, rtol=1e-6)


def test_nme_does_not_depend_on_the_images_scale(truth):
    wrong = truth + np.random.default_rng(1).normal(0, 2, truth.shape).astype(np.float32)
    np.testing.assert_allclose(nme(3 * wrong, 3 * truth), nme(wrong, truth), rtol=1e-5)


def test_nme_refuses_another_number_of_landmarks(truth):
    with pytest.raises(ValueError, match="truth"):
        nme(truth, truth[:, :4])


@pytest.mark.parametrize("angle", [0.0, 1e-4, 0.3, 2.0, 3.1])
def test_rotation_error_is_the_angle_of_the_turn_between(angle):
    start = rotation_vector_to_matrix(jnp.array([[0.4, -1.1, 0.2], [0.0, 0.0, 0.0]]))
    axis = jnp.array([2.0, -1.0, 2.0]) / 3
    turn = rotation_vector_to_matrix(jnp.stack([angle * axis, -angle * axis]))
    turned = jnp.matmul(turn, start, precision="highest")
    np.testing.assert_allclose(rotation_error(turned, start), angle, atol=2e-6, rtol=1e-3)
