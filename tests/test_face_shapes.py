import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facejax.face_shapes import EYE_DISTANCE, LEAN, procrustes, reflect, register, upright
from facejax.face_topology import (
    LEFT_EYE_OUTER,
    LEFT_MOUTH_CORNER,
    MIRROR,
    RIGHT_EYE_OUTER,
    RIGHT_MOUTH_CORNER,
)
from facejax.geometry.similarity import apply_similarity, fit_similarity
from facejax.morphable_files import load_model


@pytest.fixture(scope="module")
def face():
    return np.asarray(load_model("ready-made").mean, np.float64)[:468]


def moved(shape, seed):
    """The shape in some other pose, place and scale, and its turn."""
    rng = np.random.default_rng(seed)
    turn = Rotation.from_rotvec(rng.normal(0, 0.5, 3))
    return rng.uniform(0.2, 4) * turn.apply(shape) + rng.normal(0, 300, 3), turn


def test_registering_undoes_a_similarity(face):
    shapes, turns = zip(*(moved(face, seed) for seed in range(3)), strict=True)
    registered, vectors = register(np.stack(shapes), face)
    np.testing.assert_allclose(registered, np.broadcast_to(face, registered.shape), atol=1e-9)
    np.testing.assert_allclose(vectors, [turn.inv().as_rotvec() for turn in turns], atol=1e-9)


def test_registering_to_one_target_each(face):
    targets = np.stack([moved(face, seed)[0] for seed in (5, 6)])
    registered, _ = register(np.stack([face, face]), targets)
    np.testing.assert_allclose(registered, targets, atol=1e-9)


def test_registering_agrees_with_the_devices_similarity(face):
    noisy = moved(face, 1)[0] + np.random.default_rng(2).normal(0, 5, face.shape)
    source, target = jnp.asarray(noisy, jnp.float32), jnp.asarray(face, jnp.float32)
    due = apply_similarity(fit_similarity(source, target), source)
    np.testing.assert_allclose(register(noisy[None], face)[0][0], due, atol=1e-3)


def test_a_mirror_image_is_not_turned_inside_out(face):
    twin = face * [-1, 1, 1]
    registered, _ = register(twin[None], face)
    assert np.abs(registered[0] - face).mean() > 1


def test_reflecting_twice_changes_nothing(face):
    shapes = face + np.random.default_rng(0).normal(0, 3, (2, *face.shape))
    np.testing.assert_array_equal(reflect(reflect(shapes)), shapes)
    assert np.abs(reflect(shapes) - shapes).max() > 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_upright_is_level_frontal_symmetric_and_of_the_models_size(face, seed):
    rough = moved(face + np.random.default_rng(seed).normal(0, 0.5, face.shape), seed)[0]
    shape = upright(rough)
    np.testing.assert_allclose(shape, reflect(shape), atol=1e-9)
    np.testing.assert_allclose(shape.mean(axis=0), 0, atol=1e-9)
    eyes = shape[[RIGHT_EYE_OUTER, LEFT_EYE_OUTER]]
    np.testing.assert_allclose(eyes[1] - eyes[0], [EYE_DISTANCE, 0, 0], atol=1e-9)
    mouth = shape[[RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER]].mean(axis=0)
    down = mouth - eyes.mean(axis=0)
    assert down[1] < 0
    assert np.arctan2(down[2], -down[1]) == pytest.approx(LEAN)
    assert shape[4, 2] > shape[list(MIRROR)][:, 2].mean()  # the nose points at the viewer


def test_procrustes_finds_one_face_in_many_poses(face):
    people = [np.stack([moved(face, 10 * k + t)[0] for t in range(k + 1)]) for k in range(3)]
    found = procrustes(people)
    np.testing.assert_allclose(found.mean, face, atol=1e-3)  # float32 of the stored model
    assert [len(frames) for frames in found.frames] == [1, 2, 3]
    for frames in found.frames:
        np.testing.assert_allclose(frames, np.broadcast_to(face, frames.shape), atol=1e-3)


def test_people_weigh_the_same_however_many_frames_they_have(face):
    wide = face * [1.1, 1.0, 1.0]
    once = procrustes([face[None], wide[None]])
    often = procrustes([face[None], np.repeat(wide[None], 9, axis=0)])
    np.testing.assert_allclose(often.mean, once.mean, atol=1e-6)
