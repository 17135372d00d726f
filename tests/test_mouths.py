import jax.numpy as jnp
import numpy as np
import pytest

from facejax import mouths
from facejax.geometry.camera import camera_from_pose, project
from facejax.geometry.morphable import MorphableModel, face_shape
from facejax.metrics.attributes import MOUTH
from facejax.motion import Motion
from tests.data import fake

MODEL = MorphableModel(**fake.model_arrays())


def motion(frames=3):
    rng = np.random.default_rng(0)
    pose = rng.normal([0, 0, 0, 0, 0, 900], [0.1, 0.2, 0.1, 5, 5, 20], (frames, 6))
    return Motion(
        identity=rng.normal(size=4).astype(np.float32),
        expression=rng.normal(size=(frames, 3)).astype(np.float32),
        pose=pose.astype(np.float32),
        blink=np.zeros(frames, np.float32),
        fps=np.float32(25),
    )


def test_the_place_is_the_mean_of_the_mouths_landmarks_as_drawn():
    moved, size = motion(), 96
    found = mouths.places(MODEL, moved, size)
    widths = []
    for t in range(3):
        shape = face_shape(MODEL, jnp.asarray(moved.identity), jnp.asarray(moved.expression[t]))
        points = project(shape, camera_from_pose(jnp.asarray(moved.pose[t]), size, size))
        lips = np.asarray(points)[np.asarray(MODEL.landmarks)[MOUTH], :2]
        np.testing.assert_allclose(found[t, :2], lips.mean(0), atol=1e-3)
        widths.append(np.ptp(lips[:, 0]))
    np.testing.assert_allclose(found[:, 2], mouths.SIDE * max(widths), rtol=1e-5)


def test_a_mouth_is_as_large_a_part_of_a_picture_of_any_size():
    small, large = (mouths.places(MODEL, motion(), size) for size in (64, 128))
    np.testing.assert_allclose(large, 2 * small, rtol=1e-5)


def test_a_crop_of_whole_pixels_is_a_slice():
    image = np.random.default_rng(1).integers(0, 256, (20, 24, 3), np.uint8)
    place = np.array([11.0, 8.0, 6.0])  # from (8, 5) to (14, 11)
    np.testing.assert_array_equal(mouths.crop(image, place, 6), image[5:11, 8:14])


@pytest.mark.parametrize("size", [4, 24])
def test_a_crop_beyond_the_border_repeats_it(size):
    image = np.full((10, 10, 3), 77, np.uint8)
    assert (mouths.crop(image, np.array([0.0, 20.0, 8.0]), size) == 77).all()
