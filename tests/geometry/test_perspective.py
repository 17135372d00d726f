import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.geometry.perspective import from_face3d, project_perspective
from facejax.geometry.rasterize import fragments, interpolate, mesh_topology, rasterize
from facejax.geometry.rotations import euler_to_matrix


def camera(batch=(), seed=0):
    rng = np.random.default_rng(seed)
    turn = np.asarray(euler_to_matrix(jnp.asarray(rng.normal(0, 0.3, (*batch, 3)))))
    place = rng.normal(size=(*batch, 3, 1)) + np.array([[0], [0], [6]])
    inner = np.broadcast_to([[80.0, 1.5, 31], [0, 75, 23], [0, 0, 1]], (*batch, 3, 3))
    return np.float32(inner), np.float32(np.concatenate([turn, place], -1))


def test_points_are_those_of_homogeneous_coordinates():
    inner, outer = camera((2,))
    points = np.random.default_rng(1).normal(size=(2, 11, 3)).astype(np.float32)
    found = project_perspective(points, inner, outer)
    for k in range(2):
        due = (inner[k] @ outer[k] @ np.c_[points[k], np.ones(11)].T).T
        np.testing.assert_allclose(found[k, :, :2], due[:, :2] / due[:, 2:], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(found[k, :, 2], due[:, 2], rtol=1e-5)


def test_what_is_not_before_the_camera_is_not_drawn_and_has_no_gradient():
    inner, outer = camera()
    outer = np.eye(3, 4, dtype=np.float32)
    points = jnp.array([[-1.0, -1, 2], [1, -1, 2], [0, 1, 2], [0, 1, -2], [0.5, 1, 0.0]])
    faces = np.array([[0, 1, 2], [0, 1, 3], [1, 2, 4]])
    screen = project_perspective(points, inner, outer)
    assert np.isfinite(screen[:3]).all() and np.isnan(screen[3:]).all()
    number = np.asarray(rasterize(screen, mesh_topology(faces, 5), 48, 64))
    assert set(np.unique(number)) == {-1, 0}
    slope = jax.grad(lambda p: jnp.nansum(project_perspective(p, inner, outer) ** 2))(points)
    assert np.isfinite(slope).all() and (slope[3:] == 0).all() and (slope[:3] != 0).any()


def test_other_conventions_show_the_same_picture():
    """A triangle around the centre of the pixel in column 2, row 1 from the bottom of 5."""
    points = np.array([[1.7, 0.7, 3], [2.3, 0.7, 3], [2, 1.4, 3]])
    behind = points - np.eye(3)[2]
    screen = from_face3d(jnp.asarray(np.r_[behind, points], jnp.float32), 5)
    number = np.asarray(rasterize(screen, mesh_topology(np.arange(6).reshape(2, 3), 6), 5, 4))
    assert number[3, 2] == 1 and (number >= 0).sum() == 1


def test_wrong_arguments_are_refused():
    inner, outer = camera()
    with pytest.raises(ValueError, match="near = 0"):
        project_perspective(jnp.zeros((3, 3)), inner, outer, near=0)
    with pytest.raises(ValueError, match="extrinsics"):
        project_perspective(jnp.zeros((3, 3)), inner, outer[:2])


def rays(inner, height, width):
    """Directions [H, W, 3] through pixel centres, of depth 1."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(inner.astype(float)).T


def struck(corners, direction):
    """Weights [H, W, 3] of the points where rays meet a triangle's plane, and their depths."""
    weight = direction @ np.linalg.inv(corners.astype(float))  # direction = sum of w_k corner_k
    total = weight.sum(-1, keepdims=True)
    weight = weight / total
    return weight, (weight @ corners)[..., 2]


def test_pinhole_images_are_those_of_rays_through_space():
    inner, _ = camera()
    rng = np.random.default_rng(3)
    corners = rng.normal(size=(12, 3, 3)) * [1.2, 1.0, 1.5] + [0, 0, 5]  # steep, and crossing
    points, topology = (
        np.float32(corners.reshape(-1, 3)),
        mesh_topology(np.arange(36).reshape(12, 3), 36),
    )
    screen = project_perspective(points, inner, np.eye(3, 4, dtype=np.float32))
    number = rasterize(screen, topology, 48, 64, perspective=True)
    seen = fragments(screen, topology, number, perspective=True)
    weights, depths = zip(
        *(struck(c, rays(inner, 48, 64)) for c in points.reshape(12, 3, 3)), strict=True
    )
    weights, depths = np.stack(weights), np.stack(depths)
    inside = (weights >= 0).all(-1) & (depths > 0)
    nearest = np.where(inside, depths, np.inf)
    due = np.where(inside.any(0), nearest.argmin(0), -1)
    second = np.sort(nearest, 0)[1]
    sure = (np.abs(weights).min((0, -1)) > 1e-3) & ~(second - nearest.min(0) < 1e-3)
    assert sure.mean() > 0.8 and len(np.unique(due[sure])) > 8
    np.testing.assert_array_equal(np.asarray(number)[sure], due[sure])
    drawn = sure & (due >= 0)
    row, column = np.nonzero(drawn)
    np.testing.assert_allclose(
        seen.barycentric[row, column], weights[due[row, column], row, column], atol=1e-4
    )
    np.testing.assert_allclose(seen.depth[row, column], nearest.min(0)[drawn], rtol=1e-5)
    flat = rasterize(screen, topology, 48, 64)  # depths that are linear on the screen
    assert (np.asarray(flat)[sure] != due[sure]).any()


def test_gradients_through_a_pinhole_equal_finite_differences():
    inner, _ = camera()
    rng = np.random.default_rng(4)
    corners = rng.normal(size=(4, 3, 3)) * [1.2, 1.0, 0.5] + [0, 0, 5]
    topology = mesh_topology(np.arange(12).reshape(4, 3), 12)
    with jax.enable_x64(True):
        points, colors = jnp.asarray(corners.reshape(-1, 3)), jnp.asarray(rng.normal(size=(12, 2)))
        project = lambda points: project_perspective(points, inner, np.eye(3, 4))
        number = rasterize(project(points), topology, 24, 32, perspective=True)
        weight = jnp.asarray(rng.normal(size=(24, 32, 2)))

        def loss(points):
            seen = fragments(project(points), topology, number, perspective=True)
            image = interpolate(colors, topology, seen)
            return jnp.sum(weight * image) + jnp.sum(weight[..., 0] * seen.depth)

        step, direction = 1e-6, jnp.asarray(rng.normal(size=(12, 3)))
        due = (loss(points + step * direction) - loss(points - step * direction)) / (2 * step)
        np.testing.assert_allclose(jnp.sum(jax.grad(loss)(points) * direction), due, rtol=1e-6)


def test_depths_of_a_pinhole_that_are_not_positive_are_not_drawn():
    screen = np.array([[2, 2, 3], [20, 2, 3], [2, 20, -1], [2, 20, 2]], np.float32)
    topology = mesh_topology(np.array([[0, 1, 2], [0, 1, 3]]), 4)
    number = rasterize(screen, topology, 24, 32, perspective=True)
    assert set(np.unique(number)) == {-1, 1}
