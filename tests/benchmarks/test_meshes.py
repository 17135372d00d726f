import numpy as np
import pytest

from facejax.benchmarks import meshes


def signed_areas(screen, faces):
    a, b, c = (screen[:, faces[:, k], :2] for k in range(3))
    ab, ac = b - a, c - a
    return (ab[..., 0] * ac[..., 1] - ab[..., 1] * ac[..., 0]) / 2


@pytest.mark.parametrize(
    ("name", "vertices", "triangles", "area"),
    [("coarse-2k", 1296, 2450, 11.5), ("coarse-5k", 2500, 4802, 5.9),
     ("dense-69k", 34969, 69192, 0.41), ("dense-106k", 53361, 105800, 0.27)],
)  # fmt: skip
def test_reference_meshes_have_the_stated_numbers(name, vertices, triangles, area):
    points, faces = meshes.grid_face(meshes.SIDES[name])
    assert points.shape == (vertices, 3) and faces.shape == (triangles, 3)
    assert points.dtype == np.float32 and faces.dtype == np.int32
    screen = meshes.on_screen(points, 1, 256, 256)
    assert abs(np.abs(signed_areas(screen, faces)).mean() / area - 1) < 0.05


def test_triangles_are_counter_clockwise_from_outside_and_some_face_away():
    points, faces = meshes.grid_face(24)
    a, b, c = (points[faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    assert (np.sum(normal * (a + b + c), axis=1) > 0).mean() > 0.99  # but for the wings of the nose
    # y points down on the screen, so what faces the viewer has negative areas there.
    away = signed_areas(meshes.on_screen(points, 1, 64, 64), faces) > 0
    assert 0.05 < away.mean() < 0.5


def test_a_batch_sweeps_from_side_to_side_inside_the_image():
    points, _ = meshes.grid_face(24)
    screen = meshes.on_screen(points, 5, 100, 140)
    assert screen.shape == (5, 576, 3) and screen.dtype == np.float32
    assert (screen[..., 0] > 0).all() and (screen[..., 0] < 140).all()
    assert (screen[..., 1] > 0).all() and (screen[..., 1] < 100).all()
    nose = screen[:, np.argmax(points[:, 2]), 0]
    assert (np.diff(nose) > 0).all() or (np.diff(nose) < 0).all()
    # The nose is nearer than the middle of the mesh.
    assert (screen[:, np.argmax(points[:, 2]), 2] < screen[..., 2].mean(1)).all()


def test_the_single_frame_is_the_same_every_time():
    first, second = (meshes.on_screen(meshes.grid_face(9)[0], 1, 32, 32) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_colors_are_smooth_and_in_range():
    points, faces = meshes.grid_face(40)
    colors = meshes.smooth_colors(points, 4)
    assert colors.shape == (1600, 4) and colors.min() >= 0 and colors.max() <= 1
    assert np.abs(colors[faces[:, 0]] - colors[faces[:, 1]]).max() < 0.3
    assert colors.std(axis=0).min() > 0.1
