import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import lsq_linear

from facejax.geometry import least_squares


@jax.jit
def solve(normal, right):
    return least_squares.solve(least_squares.factored(normal), right)


def normal_equations(condition, seed=0):
    """Symmetric [3, 8, 8] of the given condition number, their rows of very unequal size."""
    rng = np.random.default_rng(seed)
    turns, _ = np.linalg.qr(rng.normal(size=(3, 8, 8)))
    even = turns * np.geomspace(1, 1 / condition, 8) @ turns.swapaxes(-1, -2)
    sizes = np.geomspace(1e-3, 1e3, 8)
    return sizes[:, None] * even * sizes


def test_unequal_scales_cost_no_digits():
    normal = normal_equations(20)
    due = np.random.default_rng(1).normal(size=(3, 8, 2)) / np.geomspace(1e-3, 1e3, 8)[:, None]
    found = solve(jnp.float32(normal), jnp.float32(normal @ due))
    np.testing.assert_allclose(found, due, rtol=1e-3, atol=1e-8)


def test_singular_equations_have_a_finite_solution_that_satisfies_them():
    normal = normal_equations(20)
    normal[:, :, 5] = normal[:, 5] = 0  # one unknown that nothing depends on
    normal[:, :, 7] = normal[:, :, 6]  # and two that always go together
    normal[:, 7] = normal[:, 6]
    right = normal @ np.ones((3, 8, 1))
    found = solve(jnp.float32(normal), jnp.float32(right))
    np.testing.assert_allclose(normal @ np.float64(found), right, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(found[:, 5], 0)
    np.testing.assert_array_equal(solve(jnp.zeros((2, 3, 3)), jnp.ones((2, 3, 1))), 0)


def test_equations_in_turn_need_the_first_factor_once_compiled():
    normal = jnp.float32(normal_equations(20))

    @jax.jit
    def wait(other):
        return least_squares.in_turn(least_squares.factored(other), normal)

    np.testing.assert_array_equal(wait(normal), normal)
    assert np.isnan(wait(-normal + jnp.nan)).all()


@pytest.mark.parametrize("count", [5, 30])
def test_the_bounded_solution_equals_scipys(count):
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(60, count)) / 20
    gram, target = matrix.T @ matrix, matrix.T @ rng.normal(size=(4, 60, 1))
    gram, target = gram / np.linalg.norm(gram, 2), target[..., 0]
    bound = rng.uniform(0.5, 2, count)
    minimise = jax.jit(least_squares.bounded_least_squares, static_argnums=3)
    found = minimise(*(jnp.float32(array) for array in (gram, target, bound)), 300)
    root = np.linalg.cholesky(gram).T
    for right, x in zip(target, found, strict=True):
        due = lsq_linear(root, np.linalg.solve(root.T, right), (-bound, bound), tol=1e-12).x
        np.testing.assert_allclose(x, due, atol=1e-4)
