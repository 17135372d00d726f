"""3-D face images: colours that tell position, drawn where the camera puts them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.geometry.camera import camera_from_pose, project
from facejax.geometry.face_image import face_colors, face_image
from facejax.geometry.mesh import mesh_topology

HEIGHT, WIDTH = 34, 47
DISTANCE = 4 * 200.0  # mm: the image is 200 mm wide


@pytest.fixture
def sheet():
    """A slanted plane of 80 x 60 mm: vertices [35, 3], faces."""
    y, x = np.mgrid[-30:30:5j, -40:40:7j]
    vertices = np.stack([x, y, 0.2 * x + 0.1 * y], -1).reshape(-1, 3).astype(np.float32)
    index = np.arange(35).reshape(5, 7)
    a, b, c, d = (index[i : 4 + i, j : 6 + j].ravel() for i in (0, 1) for j in (0, 1))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    return vertices, mesh_topology(faces, 35)


def pose(pitch=0.0, yaw=0.0, roll=0.0, x=0.0, y=0.0):
    return jnp.array([pitch, yaw, roll, x, y, DISTANCE], jnp.float32)


def camera(*args, **kwargs):
    return camera_from_pose(pose(*args, **kwargs), HEIGHT, WIDTH)


def test_colors_span_each_axis_and_rise_along_it():
    mean = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32) * [60, 90, 40] + 7
    colors = np.asarray(face_colors(mean))
    np.testing.assert_allclose(colors.min(0), 0, atol=1e-6)
    np.testing.assert_allclose(colors.max(0), 1, atol=1e-6)
    for axis in range(3):
        assert (np.argsort(colors[:, axis]) == np.argsort(mean[:, axis])).all()


def test_flat_axis_has_color_zero():
    colors = face_colors(jnp.array([[1.0, 2, 5], [3, 4, 5]]))
    np.testing.assert_array_equal(colors, [[0, 0, 0], [1, 1, 0]])


def test_color_tells_which_point_of_the_face_each_pixel_sees(sheet):
    vertices, topology = sheet
    image = np.asarray(
        face_image(vertices, camera(), topology, face_colors(vertices), HEIGHT, WIDTH)
    )
    row, column = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    x = (column - WIDTH / 2) * 200 / WIDTH
    y = (HEIGHT / 2 - row) * 200 / WIDTH
    due = np.stack([x / 80 + 0.5, y / 60 + 0.5, (0.2 * x + 0.1 * y) / 22 + 0.5], -1)
    inside = (np.abs(x) < 40) & (np.abs(y) < 30)
    assert inside.sum() > 200
    np.testing.assert_allclose(image[inside], due[inside], atol=1e-4)
    np.testing.assert_array_equal(image[~inside], 0)


def test_frontal_face_is_red_at_the_right_and_green_at_the_top(sheet):
    vertices, topology = sheet
    image = face_image(vertices, camera(), topology, face_colors(vertices), HEIGHT, WIDTH)
    middle_row, middle_column = image[HEIGHT // 2, 15:32], image[12:22, WIDTH // 2]
    assert (np.diff(middle_row[:, 0]) > 0).all()
    assert (np.diff(middle_column[:, 1]) < 0).all()


def test_nearer_surface_hides_the_farther_whatever_the_order(sheet):
    vertices, topology = sheet
    behind = vertices - np.array([0, 0, 30], np.float32)
    paint = np.repeat(np.array([[1, 0, 0], [0, 0, 1]], np.float32), len(vertices), axis=0)
    faces = np.concatenate([topology.faces, topology.faces + len(vertices)], 1).T
    double = mesh_topology(faces, 2 * len(vertices))
    for order, color in (([vertices, behind], 0), ([behind, vertices], 2)):
        image = face_image(np.concatenate(order), camera(), double, paint, HEIGHT, WIDTH)
        drawn = np.asarray(image.sum(-1)) > 0
        np.testing.assert_allclose(image[drawn], np.eye(3)[[color] * drawn.sum()], atol=1e-6)


def test_both_sides_of_triangles_are_drawn(sheet):
    vertices, topology = sheet
    flipped = mesh_topology(topology.faces[::-1].T, len(vertices))
    args = camera(0.2, 0.3, 0.1), topology, face_colors(vertices), HEIGHT, WIDTH
    image = face_image(vertices, *args)
    other = face_image(vertices, args[0], flipped, *args[2:])
    assert (image.sum(-1) > 0).sum() > 200
    np.testing.assert_allclose(other, image, atol=1e-5)


def test_turned_face_shows_the_color_of_its_vertices_where_they_project(sheet):
    vertices, topology = sheet
    seen_by = camera(0.3, -0.4, 0.5, x=10.0, y=-5.0)
    colors = face_colors(vertices)
    image = np.asarray(face_image(vertices, seen_by, topology, colors, HEIGHT, WIDTH))
    middle = 17  # the sheet's centre
    column, row, _ = np.asarray(project(vertices, seen_by))[middle]
    np.testing.assert_allclose(image[int(row), int(column)], colors[middle], atol=0.05)


def test_batch_axes_equal_a_loop_and_vmap(sheet):
    vertices, topology = sheet
    shapes = vertices * np.random.default_rng(0).uniform(0.5, 1.5, (2, 3, 35, 3))
    shapes = shapes.astype(np.float32)
    cameras = camera_from_pose(
        jnp.stack([jnp.stack([pose(0, 0.2 * i * j, 0) for j in range(3)]) for i in range(2)]),
        HEIGHT,
        WIDTH,
    )
    colors = face_colors(vertices)
    draw = lambda shape, seen_by: face_image(shape, seen_by, topology, colors, HEIGHT, WIDTH)
    images = draw(shapes, cameras)
    assert images.shape == (2, 3, HEIGHT, WIDTH, 3)
    one = draw(shapes[1, 2], jax.tree.map(lambda leaf: leaf[1, 2], cameras))
    np.testing.assert_allclose(images[1, 2], one, atol=1e-5)
    np.testing.assert_allclose(jax.vmap(draw)(shapes, cameras), images, atol=1e-5)


def test_gradient_to_the_shape_is_finite_and_not_zero(sheet):
    vertices, topology = sheet
    colors = face_colors(vertices)
    loss = lambda vertices: jnp.sum(
        face_image(vertices, camera(0.1, 0.2, 0.3), topology, colors, HEIGHT, WIDTH) ** 2
    )
    gradient = np.asarray(jax.grad(loss)(vertices))
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 1e-3


def test_colors_of_another_mesh_are_refused(sheet):
    vertices, topology = sheet
    with pytest.raises(ValueError, match="colors"):
        face_image(vertices, camera(), topology, jnp.ones((34, 3)), HEIGHT, WIDTH)
