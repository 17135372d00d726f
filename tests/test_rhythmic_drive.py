"""Drives from sound and from videos, with tiny runs of random weights."""

import functools
import types

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facejax import performance, rhythmic_drive, runs, settings
from facejax.data import takes
from facejax.errors import InputError
from facejax.geometry.morphable import MorphableModel
from facejax.landmark_basis import LandmarkBasis
from facejax.rhythmic_drive import Drive
from tests import fake_performances
from tests.data import fake

MODEL = MorphableModel(**fake.model_arrays())
CANONICAL = performance.canonical_face(MODEL)
WAVE = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)


def seen(frames=20, seed=0, valid=None):
    valid = np.ones(frames, bool) if valid is None else valid
    return performance.measure(
        fake_performances.landmarks(frames, seed), valid, CANONICAL,
        size=fake_performances.SIZE, times=np.arange(frames) / 25, fps=25.0,
    )  # fmt: skip


def person(count=20, seed=0, **options):
    wave = WAVE[: 640 * count]
    return rhythmic_drive.reference(seen(count, seed), CANONICAL, wave=wave, **options)


@functools.cache
def run_of(name, model_scale=1.0, turned=0.0):
    """A run of smoke size with random weights, and a face model of its own."""
    config = settings.load_config(f"configs/{name}.py:smoke")
    turn = Rotation.from_rotvec([0, turned, 0]).as_matrix()
    model = MODEL._replace(mean=(model_scale * MODEL.mean @ turn.T).astype(np.float32))
    rng = np.random.default_rng(1)
    axes = np.linalg.qr(rng.normal(size=(204, 3)))[0].T.astype(np.float32)
    basis = LandmarkBasis(CANONICAL.reshape(-1), axes, np.float32([3, 2, 1]), CANONICAL)
    given = {
        "rhythmic_expression": {"landmarks": basis._asdict() | {"usual": np.zeros(3)}},
        "rhythmic_motion": {
            "head_motion": {
                "mean": np.zeros(6, np.float32),
                "std": np.float32([0.1, 0.1, 0.1, 9, 9, 9]),
            }
        },
    }[name]
    given["morphable"] = model
    system = runs.make_system(config, given)
    spec = runs.batch_spec(config, given)
    shapes = jax.eval_shape(system.init, jax.random.key(0), system.frozen, spec)
    fill = lambda x: np.abs(rng.normal(0.1, 0.3, x.shape)).astype(x.dtype)
    params, stats = jax.tree.map(fill, shapes)
    return runs.Run(config, system, params["gen"], {"gen": stats["gen"]}, 0, None)


psi, phi = (functools.partial(run_of, f"rhythmic_{n}") for n in ("expression", "motion"))


@pytest.fixture(scope="module")
def spoken():
    return rhythmic_drive.from_sound(psi(), phi(), person(), WAVE)


def test_sound_gives_a_frame_each_25th_of_a_second(spoken):
    assert spoken.fronts.shape == (25, 68, 3) and spoken.motion.shape == (25, 6)
    assert spoken.fps == 25 and spoken.landmarks.shape == (25, 68, 3)
    assert np.ptp(spoken.fronts, axis=0).max() > 0 and np.ptp(spoken.motion, axis=0).min() > 0
    np.testing.assert_array_equal(
        np.concatenate([spoken.rotation, spoken.translation], 1), spoken.motion
    )


def test_fronts_are_the_key_frame_and_what_the_net_says(spoken):
    known, basis = person(), rhythmic_drive.basis_of(psi())
    moved = (spoken.fronts - known.seen.fronts[known.key]).reshape(25, -1)
    inside = moved @ basis.axes.T @ basis.axes
    np.testing.assert_allclose(inside, moved, atol=1e-2)


def test_the_learners_face_models_need_not_be_the_persons():
    """A canonical face turned and enlarged: what is seen in the picture stays the same."""
    known = person()
    one = rhythmic_drive.from_performance(known, known.seen, 25.0, same=True)
    other = rhythmic_drive._seen_by(phi(2.0, 0.2), known)
    assert np.abs(other.motion - known.seen.motion)[:, :3].max() > 0.1
    fronts, motion = rhythmic_drive._carried(other, known, other.fronts, other.motion)
    found = performance.posed(fronts, motion)
    np.testing.assert_allclose(found, one.landmarks, atol=2e-2)
    np.testing.assert_allclose(motion, known.seen.motion, atol=2e-2)


def test_an_image_will_do_for_a_reference():
    made = rhythmic_drive.from_sound(psi(), phi(), person(1, frames=64), WAVE[:3200])
    assert made.motion.shape == (5, 6) and np.isfinite(made.motion).all()


def test_the_persons_own_performance_is_taken_as_it_is():
    known = person()
    drive = rhythmic_drive.from_performance(known, known.seen, 25.0, same=True)
    np.testing.assert_allclose(drive.landmarks, known.seen.landmarks, atol=1e-3)


def test_another_drives_from_the_persons_own_place_and_size():
    known, other = person(), seen(30, 5)
    larger = performance.of_landmarks(1.5 * other.landmarks + [40, 0, 0], CANONICAL)
    one, two = (rhythmic_drive.from_performance(known, x, 25.0) for x in (other, larger))
    np.testing.assert_allclose(one.landmarks, two.landmarks, atol=0.5)
    key = performance.key_frame(other)
    np.testing.assert_allclose(one.fronts[key], known.seen.fronts[known.key], atol=1e-3)
    rigid = list(performance.head_motion.RIGID)
    centre = one.landmarks[key, rigid].mean(0)
    due = known.seen.landmarks[known.key, rigid].mean(0)
    np.testing.assert_allclose(centre, due, atol=1.0)
    np.testing.assert_allclose(one.rotation, other.motion[:, :3], atol=1e-6)


def test_expression_of_one_and_motion_of_another():
    one = Drive(np.arange(7.0)[:, None, None] * np.ones((7, 68, 3)), np.zeros((7, 6)), 25.0)
    other = Drive(np.zeros((3, 68, 3)), np.arange(3.0)[:, None] * np.ones((3, 6)), 25.0)
    both = rhythmic_drive.controlled(one, other)
    np.testing.assert_array_equal(both.fronts, one.fronts)
    np.testing.assert_array_equal(both.motion[:, 0], [0, 1, 2, 1, 0, 1, 2])
    with pytest.raises(InputError, match="one rate"):
        rhythmic_drive.controlled(one, other._replace(fps=30.0))


def test_either_is_held_still_by_a_scale_of_0(spoken):
    known = person()
    rest = known.seen.fronts[known.key]
    mute = rhythmic_drive.scaled(spoken, rest, expression=0)
    np.testing.assert_allclose(mute.fronts, np.broadcast_to(rest, mute.fronts.shape), atol=1e-4)
    np.testing.assert_allclose(mute.motion, spoken.motion, atol=1e-4)
    still = rhythmic_drive.scaled(spoken, rest, motion=0)
    np.testing.assert_allclose(np.ptp(still.motion, axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(still.fronts, spoken.fronts, atol=1e-4)
    held = rhythmic_drive.at_rest(known, 4)
    np.testing.assert_allclose(held.landmarks, known.seen.landmarks[[known.key] * 4], atol=1e-3)


def test_a_motion_shows_the_drives_landmarks():
    """Fitted to a model that can make them: the projected landmarks are those of the drive."""
    from facejax.geometry.camera import camera_from_pose, project
    from facejax.geometry.morphable import face_shape
    from facejax.morphable_files import load_model

    model = load_model("ready-made")
    rng = np.random.default_rng(0)
    amounts = 0.5 * rng.normal(size=(9, len(model.expression_basis))).astype(np.float32)
    own = 0.5 * rng.normal(size=len(model.identity_basis)).astype(np.float32)
    pose = np.zeros((9, 6), np.float32)
    pose[:, :3], pose[:, 5] = rng.normal(0, 0.2, (9, 3)), 700
    vertices = face_shape(jax.tree.map(np.asarray, model), own, amounts)
    points = project(
        vertices[:, np.asarray(model.landmarks)[:68]], camera_from_pose(pose, 256, 256)
    )
    there = performance.of_landmarks(
        np.array(points) * np.float32([1, 1, -1]), performance.canonical_face(model)
    )
    drive = Drive(there.fronts, there.motion, 25.0)
    motion = rhythmic_drive.to_motion(drive, model)
    again = face_shape(jax.tree.map(np.asarray, model), motion.identity, motion.expression)
    shown = project(
        again[:, np.asarray(model.landmarks)[:68]], camera_from_pose(motion.pose, 256, 256)
    )
    assert np.linalg.norm(np.asarray(shown - points)[..., :2], axis=-1).mean() < 1.5
    assert np.rad2deg(np.abs(motion.pose - pose)[:, :3]).max() < 4
    assert motion.blink.shape == (9,) and float(motion.fps) == 25


# What will not do.


def test_a_reference_shorter_than_tau_is_refused():
    with pytest.raises(
        InputError, match=r"has 20 frames at 25 a second, and 64 \(2.56 s\) are due"
    ):
        person(20, frames=64)
    short = person(12)
    with pytest.raises(InputError, match="the reference has 12 frames; 13 at 25"):
        rhythmic_drive.spoken_motion(phi(), short, WAVE)


def test_a_few_missing_landmarks_are_interpolated_and_many_refused(caplog):
    few, many = np.ones(20, bool), np.ones(20, bool)
    few[5:8], many[3:15] = False, False
    made = rhythmic_drive.reference(seen(valid=few), CANONICAL, name="ann.mp4")
    assert "ann.mp4: landmarks are missing in some frames" in caplog.text
    assert np.isfinite(made.seen.motion).all() and few[made.key]
    with pytest.raises(InputError, match=r"ann.mp4: landmarks were found in 40 % of its 20"):
        rhythmic_drive.reference(seen(valid=many), CANONICAL, name="ann.mp4")


def test_a_reference_that_never_looks_ahead_is_refused():
    away = seen()
    away = away._replace(motion=away.motion + np.float32([0, 1, 0, 0, 0, 0]))
    with pytest.raises(InputError, match=r"ann.mp4 has no frontal frame"):
        rhythmic_drive.reference(away, CANONICAL, name="ann.mp4")


def test_too_little_sound_is_refused():
    with pytest.raises(InputError, match="less than half a frame"):
        rhythmic_drive.spoken_fronts(psi(), person(), WAVE[:300])


def test_runs_of_other_kinds_and_rates_are_refused():
    with pytest.raises(InputError, match="rhythmic_expression is due; this one is of rhythmic_mo"):
        rhythmic_drive.check_runs(phi(), phi())
    slow = types.SimpleNamespace(system="rhythmic_motion", data=types.SimpleNamespace(fps=20.0))
    with pytest.raises(InputError, match="one rate"):
        rhythmic_drive.check_runs(psi(), phi()._replace(config=slow))


def test_sound_is_cut_into_frames_at_the_runs_rate():
    data = takes.Config(path="", rate=2000)
    assert rhythmic_drive._chunks(WAVE, data).shape == (31, 80)
