"""Points moved by head motions."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facejax.geometry import rigid_motion


@pytest.fixture
def motions():
    rng = np.random.default_rng(0)
    angles, places = rng.normal(0, 0.4, (4, 3)), rng.normal(0, 20, (4, 3))
    return np.concatenate([angles, places], axis=1).astype(np.float32)


@pytest.fixture
def points():
    return np.random.default_rng(1).normal(100, 30, (5, 3)).astype(np.float32)


def test_moving_is_equation_1_written_out(points, motions):
    moved = rigid_motion.move(points, motions[0], motions)
    key = Rotation.from_rotvec(motions[0, :3]).as_matrix()
    for t, motion in enumerate(motions):
        inverse = np.linalg.inv(Rotation.from_rotvec(motion[:3]).as_matrix())
        due = [inverse @ (key @ point + motions[0, 3:] - motion[3:]) for point in points]
        np.testing.assert_allclose(moved[t], due, atol=2e-4)


def test_canonical_space_and_back_is_no_change(points, motions):
    there = rigid_motion.to_canonical(points, motions)
    assert there.shape == (4, 5, 3)
    back = rigid_motion.from_canonical(there, motions)
    np.testing.assert_allclose(back, np.broadcast_to(points, back.shape), atol=1e-4)


def test_flipped_motions_move_flipped_points_alike(points, motions):
    mirror = np.array([1, 1, -1], np.float32)
    flipped = rigid_motion.to_canonical(points * mirror, rigid_motion.flip_depth(motions))
    due = np.asarray(rigid_motion.to_canonical(points, motions)) * mirror
    np.testing.assert_allclose(flipped, due, atol=1e-4)


def test_resized_motions_move_resized_points_alike(points, motions):
    large = rigid_motion.to_canonical(points * 2.5, rigid_motion.resized(motions, 2.5))
    np.testing.assert_allclose(
        large, 2.5 * np.asarray(rigid_motion.to_canonical(points, motions)), rtol=1e-5, atol=1e-3
    )


def test_alignment_undoes_any_affine_map_even_a_mirror():
    rng = np.random.default_rng(2)
    front, mesh = rng.normal(128, 40, (68, 3)), rng.normal(128, 40, (9, 3))
    linear = np.array([[1.1, 0.1, 0], [0, -0.9, 0.2], [0.1, 0, 1.3]])
    inverse = np.linalg.inv(linear)
    their_mesh, theirs = ((x - [3, 200, 7]) @ inverse.T for x in (mesh, front))
    moved, landmarks = rigid_motion.align(*(jnp.asarray(x) for x in (their_mesh, theirs, front)))
    np.testing.assert_allclose(moved, mesh, atol=0.02)
    np.testing.assert_allclose(landmarks, front, atol=0.02)


def test_a_motion_of_five_numbers_is_refused(points):
    with pytest.raises(ValueError, match=r"motion has shape \(5,\)"):
        rigid_motion.to_canonical(points, np.zeros(5))
