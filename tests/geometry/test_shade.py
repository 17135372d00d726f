"""Normals against solids and a loop, harmonics against their own orthonormality."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.geometry.mesh import mesh_topology
from facejax.geometry.shade import SH_CONSTANT, shade, spherical_harmonics, vertex_normals


def hull(points):
    """Triangles of a convex solid, counter-clockwise from outside: every plane with all below."""
    faces = []
    for a in range(len(points)):
        for b in range(len(points)):
            for c in range(len(points)):
                if a < b and a < c and b != c:
                    normal = np.cross(points[b] - points[a], points[c] - points[a])
                    if ((points - points[a]) @ normal <= 1e-9).all():
                        faces.append([a, b, c])
    return np.array(faces)


@pytest.fixture
def ball():
    points = np.random.default_rng(0).normal(size=(12, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points.astype(np.float32), hull(points)


@pytest.fixture
def directions():
    """Unit vectors and weights of an exact quadrature over the sphere up to degree 7."""
    z, weight = np.polynomial.legendre.leggauss(4)
    angle = np.arange(8) * np.pi / 4
    z, angle = np.meshgrid(z, angle, indexing="ij")
    ring = np.sqrt(1 - z**2)
    points = np.stack([ring * np.cos(angle), ring * np.sin(angle), z], -1).reshape(-1, 3)
    return points.astype(np.float32), np.repeat(weight, 8) * np.pi / 4


def test_normals_of_a_convex_solid_point_out(ball):
    points, faces = ball
    assert len(faces) == 2 * len(points) - 4
    normals = np.asarray(vertex_normals(points, mesh_topology(faces, len(points))))
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    assert ((normals * points).sum(1) > 0.5).all()


def test_normals_are_area_weighted_sums_of_the_triangles_around(ball):
    points, faces = ball
    due = np.zeros((len(points), 3))
    for face in faces:
        a, b, c = points[face]
        due[face] += np.cross(b - a, c - a)
    due /= np.linalg.norm(due, axis=1, keepdims=True)
    batch = np.stack([points, 3 * points + 5])[:, None]
    normals = vertex_normals(batch, mesh_topology(faces, len(points)))
    assert normals.shape == (2, 1, 12, 3)
    np.testing.assert_allclose(normals, np.stack([due, due])[:, None], atol=1e-5)


def test_normals_turn_with_the_mesh_into_the_image_frame(ball):
    points, faces = ball
    topology = mesh_topology(faces, len(points))
    to_image = np.array([1, -1, -1], np.float32)
    turned = vertex_normals(points * to_image, topology)
    np.testing.assert_allclose(
        turned, np.asarray(vertex_normals(points, topology)) * to_image, atol=1e-6
    )


def test_normals_of_lone_and_collapsed_vertices_are_zero_with_zero_gradient():
    points = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [5, 5, 5]], np.float32)
    topology = mesh_topology(np.array([[0, 1, 2]]), 4)
    np.testing.assert_array_equal(vertex_normals(points, topology), 0)
    gradient = jax.grad(lambda points: jnp.sum(vertex_normals(points, topology)))(points)
    np.testing.assert_array_equal(gradient, 0)
    nothing = mesh_topology(np.zeros((0, 3), int), 4)
    np.testing.assert_array_equal(vertex_normals(points, nothing), 0)


def test_gradient_of_normals_equals_finite_differences(ball):
    points, faces = ball
    topology = mesh_topology(faces, len(points))
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        weight, direction = rng.normal(size=(2, 12, 3))
        loss = lambda points: jnp.sum(weight * vertex_normals(points, topology))
        point = points.astype(np.float64)
        due = (loss(point + 1e-6 * direction) - loss(point - 1e-6 * direction)) / 2e-6
        got = np.sum(jax.grad(loss)(point) * direction)
    np.testing.assert_allclose(got, due, rtol=1e-6)


def test_harmonics_are_orthonormal_over_the_sphere(directions):
    points, weights = directions
    bands = np.asarray(spherical_harmonics(points))
    np.testing.assert_allclose((bands * weights[:, None]).T @ bands, np.eye(9), atol=1e-5)


def test_harmonics_stand_in_the_documented_order():
    x, y, z = 0.6, -0.48, 0.64
    bands = spherical_harmonics(jnp.array([x, y, z]))
    shape = np.array([1, y, z, x, x * y, y * z, 3 * z**2 - 1, x * z, x**2 - y**2])
    factor = np.asarray(bands) / shape
    assert (factor > 0).all()
    np.testing.assert_allclose(factor[1:4], factor[1], rtol=1e-5)
    np.testing.assert_allclose(factor[[4, 5, 7]], factor[4], rtol=1e-5)


def test_constant_white_light_returns_the_albedo(ball):
    points, _ = ball
    albedo = np.random.default_rng(0).uniform(size=(2, 12, 3)).astype(np.float32)
    light = np.zeros((2, 9, 3), np.float32)
    light[:, 0] = 1 / SH_CONSTANT
    normals = np.stack([points, -points])
    np.testing.assert_allclose(shade(albedo, normals, light), albedo, rtol=1e-6)


def test_each_channel_is_lit_by_its_own_light(ball):
    points, _ = ball
    light = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    lit = shade(np.ones((12, 3), np.float32), points, light)
    bands = np.asarray(spherical_harmonics(points))
    for channel in range(3):
        np.testing.assert_allclose(lit[:, channel], bands @ light[:, channel], atol=1e-5)


def test_wrong_light_is_refused():
    with pytest.raises(ValueError, match="light"):
        shade(jnp.ones((5, 3)), jnp.ones((5, 3)), jnp.ones((4, 3)))
