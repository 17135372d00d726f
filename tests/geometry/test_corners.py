"""Gathers of corner rows, and their gradients: by scatter, and in a fixed order."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.geometry.corners import corner_rows
from facejax.geometry.mesh import mesh_topology
from facejax.geometry.rasterize import fragments, interpolate, rasterize

FACES = np.array([[0, 1, 2], [2, 1, 3], [4, 2, 3], [5, 6, 7]])  # vertex 8 belongs to none
TOPOLOGY = mesh_topology(FACES, 9)
RNG = np.random.default_rng(0)
IDS = RNG.integers(-1, 3, 200).astype(np.int32)  # the last triangle is not seen
TABLE = RNG.normal(size=(9, 5)).astype(np.float32)


def loop(gradients):
    """[P, 3, C] of the pixels' corners -> [V, C], one after the other in float64."""
    total = np.zeros((9, gradients.shape[-1]))
    for triangle, corners in zip(IDS, gradients, strict=True):
        if triangle >= 0:
            np.add.at(total, FACES[triangle], corners)
    return total


def test_rows_are_those_of_the_corners_and_zero_where_empty():
    found = np.stack(corner_rows(jnp.asarray(TABLE), TOPOLOGY, jnp.asarray(IDS)), 1)
    due = np.where(IDS[:, None, None] >= 0, TABLE[FACES[IDS]], 0)
    np.testing.assert_array_equal(found[..., :5], due)
    np.testing.assert_array_equal(found[..., 5:], 0)


@pytest.mark.parametrize("deterministic", [False, True])
def test_gradient_is_the_sum_over_pixels(deterministic):
    weight = RNG.normal(size=(200, 3, 8)).astype(np.float32)

    def loss(table):
        found = corner_rows(table, TOPOLOGY, jnp.asarray(IDS), deterministic)
        return jnp.sum(jnp.stack(found, 1) * weight)

    gradient = jax.jit(jax.grad(loss))(TABLE)
    np.testing.assert_allclose(gradient, loop(weight)[:, :5], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(gradient[5:], 0)


def test_batches_and_shared_attributes_have_the_same_gradient_in_a_fixed_order():
    rng = np.random.default_rng(1)
    screen = rng.uniform([0, 0, 1], [24, 16, 2], (2, 9, 3)).astype(np.float32)
    colors = rng.normal(size=(9, 3)).astype(np.float32)
    number = rasterize(screen, TOPOLOGY, 16, 24)

    @functools.partial(jax.jit, static_argnums=2)
    def slope(screen, colors, deterministic):
        def loss(screen, colors):
            seen = fragments(screen, TOPOLOGY, number, deterministic=deterministic)
            image = interpolate(colors, TOPOLOGY, seen, deterministic=deterministic)
            return jnp.sum(jnp.sin(image)) + jnp.sum(seen.depth**2)

        return jax.grad(loss, (0, 1))(screen, colors)

    scattered, ordered = slope(screen, colors, False), slope(screen, colors, True)
    for one, other in zip(scattered, ordered, strict=True):
        scale = np.abs(one).max()
        assert scale > 1
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * scale)


def test_forward_mode_and_second_derivatives_exist():
    screen = np.array([[2.2, 2.1, 1], [20, 3, 2], [5, 15, 3]], np.float32)
    topology = mesh_topology(np.array([[0, 1, 2]]), 3)
    number = rasterize(screen, topology, 16, 24)
    loss = lambda screen: jnp.sum(fragments(screen, topology, number).depth ** 2)
    with jax.enable_x64(True):
        point, direction = jnp.asarray(screen, jnp.float64), jnp.ones((3, 3)).at[1, 0].set(-2.0)
        value = jax.jvp(jax.grad(loss), (point,), (direction,))[1]
        step = 1e-5
        due = jax.grad(loss)(point + step * direction) - jax.grad(loss)(point - step * direction)
        np.testing.assert_allclose(value, due / (2 * step), rtol=1e-5, atol=1e-5)
