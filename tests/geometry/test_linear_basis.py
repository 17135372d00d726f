import jax.numpy as jnp
import numpy as np
import pytest

from facejax.geometry import linear_basis as bases


@pytest.fixture(scope="module")
def face():
    """(mean [N, 3], basis [K, N, 3], deviations [K]), its fields no more than independent."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 3)), rng.normal(size=(12, 40, 3)), 1 / np.arange(1, 13)


def test_the_principal_axes_span_the_basis(face):
    _, basis, deviations = face
    prepared = bases.linear_basis(*face)
    fields = (basis * deviations[:, None, None]).reshape(12, -1)
    np.testing.assert_allclose(prepared.axes @ prepared.rows, fields, atol=1e-5)
    products = prepared.rows @ prepared.rows.T
    np.testing.assert_allclose(products, np.diag(prepared.squares), atol=1e-3)
    np.testing.assert_allclose(prepared.axes.T @ prepared.axes, np.eye(12), atol=1e-6)
    assert np.all(np.diff(prepared.squares) <= 0)


def test_blending_is_the_sum_written_out(face):
    mean, basis, deviations = face
    coefficients = np.random.default_rng(2).normal(size=(2, 3, 12))
    found = bases.blend(bases.linear_basis(*face), jnp.float32(coefficients))
    due = mean + np.einsum("abk,k,kni->abni", coefficients, deviations, basis)
    np.testing.assert_allclose(found, due, atol=2e-5)
