import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facejax.geometry import head_motion
from facejax.geometry.head_motion import RIGID, flip_depth, front, key_frame, posed
from facejax.geometry.morphable import MorphableModel
from tests.data import fake


@pytest.fixture
def faces():
    rng = np.random.default_rng(0)
    return rng.normal(0, 60, (7, 68, 3)) + 128


@pytest.fixture
def stored(real_data):
    """The published landmarks, fronts and motions of 193 frames, by name."""
    names = {"landmarks": "00025", "fronts": "00025_front", "motion": "00025_sRT"}
    return {key: np.load(real_data / "rhythmic" / f"{name}.npy") for key, name in names.items()}


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def kabsch(source, target):
    """As the textbook has it, one frame at a time, in NumPy."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, _, vt = np.linalg.svd(a.T @ b)
    if np.linalg.det(vt.T @ u.T) < 0:
        vt[2] *= -1
    rotation = vt.T @ u.T
    return np.concatenate(
        [Rotation.from_matrix(rotation).as_rotvec(), target.mean(0) - rotation @ source.mean(0)]
    )


def test_stored_motion_gives_the_stored_front(stored, double):
    found = front(stored["landmarks"], stored["motion"])
    np.testing.assert_allclose(found, stored["fronts"], atol=1e-9)


def test_stored_front_and_motion_give_the_landmarks_back(stored, double):
    found = posed(stored["fronts"], stored["motion"])
    np.testing.assert_allclose(found, stored["landmarks"], atol=1e-9)


@pytest.mark.parametrize("bits", [32, 64])
def test_motion_of_stored_landmarks_is_the_stored_one(stored, bits):
    """The published canonical face is not at hand: the mean front stands for it."""
    with jax.enable_x64(bits == 64):
        dtype = f"f{bits // 8}"
        canonical = stored["fronts"].mean(0).astype(dtype)
        found = np.array(head_motion.head_motion(stored["landmarks"].astype(dtype), canonical))
        due = stored["motion"]
        ours, theirs = (Rotation.from_rotvec(h[:, :3]) for h in (found, due))
        assert np.rad2deg((ours * theirs.inv()).magnitude()).max() < 0.1
        assert np.abs(found - due)[:, 3:].max() < 0.2
        assert int(key_frame(found)) == int(key_frame(due)) == 58


def test_motion_is_that_of_a_loop_over_frames(faces, double):
    canonical = faces[0] * 0.7 + 10
    due = [kabsch(face[list(RIGID)], canonical[list(RIGID)]) for face in faces]
    np.testing.assert_allclose(head_motion.head_motion(faces, canonical), due, atol=1e-9)


def test_a_known_motion_is_found_whatever_the_mouth_does(faces, double):
    rng = np.random.default_rng(1)
    motion = np.concatenate([rng.normal(0, 0.5, (7, 3)), rng.normal(0, 20, (7, 3))], axis=1)
    fronts = np.repeat(faces[:1], 7, axis=0)
    fronts[:, 48:] += rng.normal(0, 9, (7, 20, 3))
    found = head_motion.head_motion(posed(fronts, motion), jnp.asarray(faces[0]))
    np.testing.assert_allclose(found, motion, atol=1e-9)


def test_the_canonical_faces_size_does_not_matter(faces, double):
    centre = faces[0][list(RIGID)].mean(0)
    larger = centre + 2.5 * (faces[0] - centre)
    one, other = (head_motion.head_motion(faces, face) for face in (faces[0], larger))
    np.testing.assert_allclose(one, other, atol=1e-9)


def test_posing_is_the_inverse_of_fronting(faces):
    motion = np.random.default_rng(2).normal(0, 1, (7, 6)).astype(np.float32)
    found = posed(front(faces.astype(np.float32), motion), motion)
    np.testing.assert_allclose(found, faces, atol=2e-3)


def test_the_key_frame_has_the_least_sum_of_rotations():
    motion = np.zeros((2, 3, 6))
    motion[..., 3:] = np.arange(3)[:, None] * 100  # place does not count
    motion[0, :, :3] = [[0.3, 0, 0], [0.12, 0.12, -0.12], [0.2, 0.2, 0]]  # L2 would say 1 here
    motion[1, :, :3] = [[0.3, 0, 0], [0.2, 0.2, -0.2], [0.4, 0.2, 0]]  # L2 says 0 here, too
    np.testing.assert_array_equal(key_frame(motion), [0, 0])
    motion[0, 0, 0] = -0.4
    np.testing.assert_array_equal(key_frame(motion), [1, 0])


def test_depth_is_turned_and_turned_back(faces):
    faces = faces.astype(np.float32)
    turned = flip_depth(faces)
    np.testing.assert_array_equal(turned, faces * np.array([1, 1, -1], np.float32))
    np.testing.assert_array_equal(flip_depth(turned), faces)


def test_27_landmarks_are_rigid_and_none_is_of_the_mouth():
    assert len(set(RIGID)) == 27 and max(RIGID) < 48


def test_other_numbers_of_landmarks_are_refused(faces):
    with pytest.raises(ValueError, match="landmarks"):
        head_motion.head_motion(faces[:, :60], faces[0])


def test_frontal_landmarks_are_without_head_motion_and_grow_with_the_picture():
    mean = np.random.default_rng(1).normal(0, 60, (25, 3)).astype(np.float32)
    model = MorphableModel(**fake.model_arrays())._replace(mean=mean)
    small, large = (head_motion.frontal_landmarks(model, size) for size in (64, 256))
    np.testing.assert_allclose(4 * small, large, rtol=1e-5, atol=1e-4)
    face = mean[model.landmarks[:68]] * [1, -1, -1]  # x right, y down, z away
    scale = np.ptp(large[:, 0]) / np.ptp(face[:, 0])
    np.testing.assert_allclose(large, scale * face + [128, 128, 0], atol=1e-3)
