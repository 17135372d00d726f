import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.geometry.perspective import from_face3d, project_perspective
from facejax.geometry.rasterize import mesh_topology, rasterize
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
