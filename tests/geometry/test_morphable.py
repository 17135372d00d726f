import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.geometry.morphable import MorphableModel, face_shape


@pytest.fixture
def model():
    """7 vertices, 3 identity and 2 expression components."""
    rng = np.random.default_rng(0)
    mean, colors = rng.normal(size=(2, 7, 3)).astype(np.float32)
    identity, expression = (rng.normal(size=(k, 7, 3)).astype(np.float32) for k in (3, 2))
    faces = jnp.zeros((1, 3), jnp.int32)
    points, landmarks = jnp.arange(4), jnp.zeros(70, jnp.int32)
    return MorphableModel(mean, identity, expression, faces, colors, points, landmarks)


def test_zero_coefficients_give_the_mean(model):
    shape = face_shape(model, jnp.zeros((5, 3)), jnp.zeros((5, 2)))
    np.testing.assert_array_equal(shape, np.broadcast_to(model.mean, (5, 7, 3)))


def test_equals_a_sum_over_components(model):
    identity = np.float32([[0.5, -1, 2], [1, 0, -3]])
    expression = np.float32([[2, -0.5], [0.1, 4]])
    found = face_shape(model, identity, expression)
    for b in range(2):
        due = np.float64(model.mean)
        for weight, basis in zip(identity[b], model.identity_basis, strict=True):
            due = due + weight * basis
        for weight, basis in zip(expression[b], model.expression_basis, strict=True):
            due = due + weight * basis
        np.testing.assert_allclose(found[b], due, atol=1e-5)


def test_one_identity_serves_all_expressions_of_a_clip(model):
    identity = jnp.float32([1, 2, 3])
    expression = jnp.float32(np.random.default_rng(1).normal(size=(6, 2)))
    found = face_shape(model, identity, expression)
    assert found.shape == (6, 7, 3)
    np.testing.assert_allclose(found[4], face_shape(model, identity, expression[4]), atol=1e-6)


def test_is_differentiable_and_vmappable(model):
    identity, expression = jnp.ones((4, 3)), jnp.ones((4, 2))
    shape = jax.vmap(lambda a, b: face_shape(model, a, b))(identity, expression)
    np.testing.assert_allclose(shape, face_shape(model, identity, expression), atol=1e-6)
    jacobian = jax.jacobian(lambda a: face_shape(model, a, expression[0]))(identity[0])
    np.testing.assert_allclose(np.moveaxis(jacobian, -1, 0), model.identity_basis, atol=1e-6)


def test_a_model_without_expressions_has_a_shape(model):
    bare = model._replace(expression_basis=jnp.zeros((0, 7, 3)))
    assert face_shape(bare, jnp.ones(3), jnp.zeros((2, 0))).shape == (2, 7, 3)


def test_swapped_coefficients_are_refused_by_name(model):
    with pytest.raises(ValueError, match="identity has shape"):
        face_shape(model, jnp.zeros(2), jnp.zeros(3))
