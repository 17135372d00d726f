import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.spatial.transform import Rotation

from facejax.geometry import rotations

euler_to_matrix = jax.jit(rotations.euler_to_matrix)
matrix_to_euler = jax.jit(rotations.matrix_to_euler)
rotation_vector_to_matrix = jax.jit(rotations.rotation_vector_to_matrix)
matrix_to_rotation_vector = jax.jit(rotations.matrix_to_rotation_vector)


@pytest.fixture
def turns():
    return Rotation.random(7, random_state=3)


def test_euler_is_pitch_then_yaw_then_roll_about_fixed_axes():
    angles = np.random.default_rng(0).uniform(-3, 3, (2, 5, 3))
    due = Rotation.from_euler("xyz", angles.reshape(-1, 3)).as_matrix().reshape(2, 5, 3, 3)
    np.testing.assert_allclose(euler_to_matrix(jnp.float32(angles)), due, atol=1e-6)


@pytest.mark.parametrize(
    "angles, point, due",
    [
        ((np.pi / 2, 0, 0), (0, 1, 0), (0, 0, 1)),  # pitch takes up to out of the face
        ((0, np.pi / 2, 0), (0, 0, 1), (1, 0, 0)),  # yaw takes the nose to the image's right
        ((0, 0, np.pi / 2), (1, 0, 0), (0, 1, 0)),  # roll takes right to up
    ],
)
def test_each_angle_is_right_handed(angles, point, due):
    matrix = euler_to_matrix(jnp.float32(angles))
    np.testing.assert_allclose(matrix @ jnp.float32(point), due, atol=1e-6)


def test_euler_angles_come_back():
    angles = np.random.default_rng(1).uniform(-1, 1, (6, 4, 3)) * [3.1, 1.55, 3.1]
    back = matrix_to_euler(euler_to_matrix(jnp.float32(angles)))
    np.testing.assert_allclose(back, angles, atol=2e-5)


@pytest.mark.parametrize("yaw", [np.pi / 2, -np.pi / 2, 1.5707, -1.5705, np.pi / 2 - 1e-5])
def test_euler_at_gimbal_lock_describes_the_same_matrix(yaw):
    matrix = euler_to_matrix(jnp.float32([0.4, yaw, -0.9]))
    back = euler_to_matrix(matrix_to_euler(matrix))
    np.testing.assert_allclose(back, matrix, atol=1e-6)


def test_roll_is_zero_at_gimbal_lock():
    matrix = euler_to_matrix(jnp.float32([0.4, np.pi / 2, -0.9]))
    pitch, yaw, roll = matrix_to_euler(matrix)
    assert roll == 0
    np.testing.assert_allclose((pitch, yaw), (1.3, np.pi / 2), atol=1e-6)


def test_rotation_vectors_equal_scipy(turns):
    vectors = turns.as_rotvec()
    np.testing.assert_allclose(
        rotation_vector_to_matrix(jnp.float32(vectors)), turns.as_matrix(), atol=1e-6
    )
    np.testing.assert_allclose(
        matrix_to_rotation_vector(jnp.float32(turns.as_matrix())), vectors, atol=2e-6
    )


@pytest.mark.parametrize("angle", [0.0, 1e-20, 1e-7, 1e-3, 0.0316, 0.0317, 1.0, 3.1, 3.1415])
def test_rotation_vectors_of_any_size_come_back(angle):
    vector = angle * jnp.float32([[2 / 3, -1 / 3, 2 / 3], [0, 1, 0]])
    back = matrix_to_rotation_vector(rotation_vector_to_matrix(vector))
    np.testing.assert_allclose(back, vector, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, 0, -0.8)])
def test_half_turns_have_a_vector_of_length_pi(axis):
    matrix = jnp.float32(2 * np.outer(axis, axis) - np.eye(3))
    vector = matrix_to_rotation_vector(matrix)
    np.testing.assert_allclose(np.linalg.norm(vector), np.pi, rtol=1e-6)
    np.testing.assert_allclose(rotation_vector_to_matrix(vector), matrix, atol=1e-6)


def test_the_identity_is_exact():
    np.testing.assert_array_equal(euler_to_matrix(jnp.zeros(3)), np.eye(3))
    np.testing.assert_array_equal(rotation_vector_to_matrix(jnp.zeros(3)), np.eye(3))
    np.testing.assert_array_equal(matrix_to_rotation_vector(jnp.eye(3)), np.zeros(3))


@pytest.mark.parametrize(
    "function, point",
    [
        (rotations.euler_to_matrix, np.zeros(3)),
        (rotations.rotation_vector_to_matrix, np.zeros(3)),
        (rotations.matrix_to_euler, np.eye(3)),
        (rotations.matrix_to_euler, [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]),
        (rotations.matrix_to_rotation_vector, np.eye(3)),
        (rotations.matrix_to_rotation_vector, np.diag([1, -1, -1])),
        (rotations.matrix_to_rotation_vector, np.diag([-1, -1, 1])),
    ],
)
def test_gradients_are_finite_at_the_bad_points(function, point):
    jacobian = jax.jit(jax.jacobian(function))(jnp.float32(point))
    assert np.isfinite(jacobian).all()


def test_the_derivative_at_zero_is_the_cross_product():
    jacobian = jax.jacobian(rotations.rotation_vector_to_matrix)(jnp.zeros(3))
    direction = jnp.float32([0.2, -0.5, 0.3])
    np.testing.assert_allclose(jacobian @ direction, rotations.cross_matrix(direction), atol=1e-7)
    np.testing.assert_allclose(
        rotations.cross_matrix(direction) @ jnp.float32([1, 2, 3]),
        np.cross(direction, [1, 2, 3]),
        atol=1e-6,
    )


@pytest.mark.parametrize(
    "function, write",
    [
        (rotations.euler_to_matrix, lambda turns: turns.as_euler("xyz")),
        (rotations.rotation_vector_to_matrix, lambda turns: turns.as_rotvec()),
        (rotations.matrix_to_euler, lambda turns: turns.as_matrix()),
        (rotations.matrix_to_rotation_vector, lambda turns: turns.as_matrix()),
    ],
)
def test_gradients_equal_finite_differences(turns, function, write):
    with jax.enable_x64(True):
        check_grads(jax.jit(function), (jnp.asarray(write(turns)),), 1, ["rev"])


def test_a_wrong_shape_is_refused_by_name():
    with pytest.raises(ValueError, match="angles"):
        euler_to_matrix(jnp.zeros((3, 2)))
