import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.spatial.transform import Rotation

from facejax.geometry import nearest_rotation as rotations

nearest_rotation = jax.jit(rotations.nearest_rotation, static_argnums=1)
METHODS = ("svd", "horn")
TURN = Rotation.from_euler("xyz", [0.3, -0.5, 0.2]).as_matrix()


def with_singular_values(values, seed=0):
    """Matrices U diag(values) V^T with random rotations U, V: [..., 3, 3]."""
    values = np.asarray(values, np.float64)
    turns = Rotation.random(2 * values.size // 3, random_state=seed).as_matrix()
    u, v = turns.reshape(2, *values.shape[:-1], 3, 3)
    return u * values[..., None, :] @ v.swapaxes(-1, -2), u @ v.swapaxes(-1, -2)


@pytest.mark.parametrize("method", METHODS)
def test_equals_the_float64_polar_decomposition(method):
    values = -np.sort(-np.random.default_rng(1).uniform(0.05, 3, (2, 50, 3)))
    values[1, :, 2] *= -1  # reflections
    matrix, due = with_singular_values(values)
    apart = values[..., 1] + values[..., 2] > 0.05 * values[..., 0]
    found = np.asarray(nearest_rotation(jnp.float32(matrix), method))
    assert apart.mean() > 0.8
    np.testing.assert_allclose(found[apart], due[apart], atol=5e-6)


@pytest.mark.parametrize("method", METHODS)
def test_half_turns_and_the_identity_are_found(method):
    turns = np.stack(
        [np.eye(3), *(2 * np.outer(e, e) - np.eye(3) for e in np.eye(3)), TURN, TURN.T]
    )
    found = nearest_rotation(jnp.float32(7 * turns), method)
    np.testing.assert_allclose(found, turns, atol=2e-6)


@pytest.mark.parametrize("method", METHODS)
def test_nearly_free_rotations_are_as_good_as_the_best(method):
    matrix, due = with_singular_values(
        [[1, 1e-3, 0], [1, 1e-4, 1e-5], [1, 0.5, -0.4999], [1, 1, 1]]
    )
    found = np.float64(nearest_rotation(jnp.float32(matrix), method))
    np.testing.assert_allclose(found @ found.swapaxes(-1, -2) - np.eye(3), 0, atol=2e-6)
    gain, best = (np.sum(r * matrix, (-2, -1)) for r in (found, due))
    np.testing.assert_allclose(gain, best, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_rank_1_turns_no_further_than_it_must(method):
    starts, ends = Rotation.random(2 * 20, random_state=3).as_matrix()[:, 0].reshape(2, 20, 3)
    ends[0], ends[1] = starts[0], -starts[1]
    matrix = ends[:, :, None] * starts[:, None, :]
    found = np.float64(nearest_rotation(jnp.float32(matrix), method))
    np.testing.assert_allclose(np.einsum("bij,bj->bi", found, starts), ends, atol=1e-5)
    cosine = (np.trace(found, axis1=1, axis2=2) - 1) / 2
    np.testing.assert_allclose(cosine, np.sum(starts * ends, -1), atol=1e-5)
    null = nearest_rotation(jnp.zeros((2, 3, 3)), method)
    np.testing.assert_array_equal(null, np.broadcast_to(np.eye(3), (2, 3, 3)))


def test_both_methods_have_the_same_derivative():
    matrix = jnp.asarray(np.random.default_rng(4).normal(size=(3, 3)), jnp.float32)
    slopes = [
        jax.jit(jax.jacobian(rotations.nearest_rotation), static_argnums=1)(matrix, method)
        for method in METHODS
    ]
    np.testing.assert_allclose(*slopes, atol=1e-5)


def test_second_derivatives_equal_finite_differences():
    with jax.enable_x64(True):
        matrix = jnp.asarray(np.random.default_rng(4).normal(size=(3, 3)))
        slope = jax.jit(jax.jacfwd(rotations.nearest_rotation))
        check_grads(slope, (matrix,), 1, ["rev"], rtol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_the_derivative_is_right_where_the_svds_is_nan(method):
    matrix = jnp.float32(2 * TURN)  # three equal singular values
    jacobian = jax.jit(jax.jacobian(rotations.nearest_rotation), static_argnums=1)(matrix, method)
    # along R [w]x, R(M) turns by w / 2: M moves by 2 R [w / 2]x
    spin = np.array([[0, -0.3, 0.1], [0.3, 0, -0.2], [-0.1, 0.2, 0]])
    moved = np.einsum("ijkl,kl->ij", jacobian, TURN @ spin)
    np.testing.assert_allclose(moved, TURN @ spin / 2, atol=1e-5)


def test_an_unknown_method_is_refused_by_name():
    with pytest.raises(ValueError, match="method is 'qr'; due: 'svd' or 'horn'"):
        rotations.nearest_rotation(jnp.eye(3), "qr")
