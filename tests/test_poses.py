"""PoseGAN and PGFace from sound to motion, and how they are judged."""

import chex
import jax
import numpy as np
import pytest

from facejax import (
    evaluate,
    personalization_judge,
    poses_judge,
    preparation,
    runs,
    settings,
    shape_motion,
    shapes_judge,
    shaping,
    speech_motion,
)
from facejax.checkpoints import Checkpoints
from facejax.data import sequences
from facejax.errors import InputError
from facejax.metrics import head_motion
from facejax.metrics.vertices import vertex_errors
from facejax.systems.posegan_config import MOST_NOISE
from facejax.workload import Choice
from tests import fake_pose_runs as fakes

HELD = (0.7, 1.0)


@pytest.fixture(scope="module", autouse=True)
def quick_compilation():
    """Half the compile time; the results differ by rounding."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return fakes.folder(tmp_path_factory.mktemp("talks"))


@pytest.fixture(scope="module")
def pose_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("pose") / "w"


@pytest.fixture(scope="module")
def pose_run(pose_dir, folder):
    return fakes.load(pose_dir, folder, "posegan")


@pytest.fixture(scope="module")
def face_run(tmp_path_factory, folder):
    return fakes.load(tmp_path_factory.mktemp("face") / "w", folder, "pgface")


def speech_of(frames, seed=0):
    return np.random.default_rng(seed).normal(size=(frames, 29)).astype(np.float32)


def table_of(run):
    return jax.device_get(run.system.frozen["speakers"])


# From speech to motion.


def test_long_speech_is_handed_over_from_window_to_window(pose_run):
    speech, frames = speech_of(20), 8
    found = speech_motion.raw_attributes(pose_run, speech, row=1, seed=3)
    rows = sequences.padded(speech)
    noise = np.random.default_rng(3).normal(size=(len(rows), MOST_NOISE))
    rows = np.concatenate([rows, np.ones((len(rows), 1)), noise], 1).astype(np.float32)
    due, initial = np.zeros((20, 6), np.float32), np.zeros(6, np.float32)
    for start in (0, 7, 12):  # the last window ends with the speech
        initial = due[start] if start else initial
        near = rows[start + np.arange(frames)[:, None] + np.arange(16)]
        made = pose_run.generate({"speech": near[None], "state": initial[None]})
        due[start : start + frames] = made["attributes"][0]
    np.testing.assert_allclose(found[:, :6], due, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 8, 41])
def test_a_motion_of_any_length_has_a_resting_face(pose_run, frames):
    motion = speech_motion.speech_to_motion(pose_run, speech_of(frames), speaker="bob")
    assert motion.pose.shape == (frames, 6) and motion.fps == 25
    mean = table_of(pose_run)["expression_mean"][1]
    np.testing.assert_allclose(motion.expression, np.tile(mean, (frames, 1)), rtol=1e-5)
    assert not np.any(motion.blink)


def test_poses_are_in_the_speakers_own_radians_and_millimetres(pose_run):
    speech, table = speech_of(12), table_of(pose_run)
    speak = lambda **more: (
        speech_motion.speech_to_motion(pose_run, speech, smoothing="none", **more).pose
    )
    raw = speech_motion.raw_attributes(pose_run, speech, row=1)[:, :6]
    due = raw * table["pose_std"][1] + table["pose_mean"][1]
    np.testing.assert_allclose(speak(speaker="bob"), due, rtol=1e-4)


def test_seed_speaker_and_initial_pose_make_other_motions(pose_run):
    speak = lambda **more: speech_motion.raw_attributes(pose_run, speech_of(12), **more)[:, :6]
    state = np.zeros(10, np.float32)
    state[:6] = 1
    for change in ({"seed": 1}, {"row": 1}, {"state": state}):
        assert np.any(speak() != speak(**change))
    np.testing.assert_array_equal(speak(seed=5), speak(seed=5))


def test_a_face_is_made_for_each_frame_of_poses_and_speech(pose_run, face_run):
    frames = shape_motion.CHUNK + 5
    speech = speech_of(frames)
    motion = speech_motion.speech_to_motion(pose_run, speech, speaker="bob")
    made = shaping.with_shape(face_run, motion, speech, "bob")
    table = table_of(face_run)
    pose = (np.asarray(motion.pose) - table["pose_mean"][1]) / table["pose_std"][1]
    rows, around = sequences.padded(speech), sequences.padded(pose.astype(np.float32))
    inputs = {
        "speech": rows[np.arange(frames)[:, None] + np.arange(16)][None],
        "around": around[None],
        "speaker": np.ones(1, np.float32),
    }
    due = face_run.generate(inputs)
    np.testing.assert_allclose(made.identity, due["identity"][0].mean(0), atol=1e-5)
    polished = speech_motion.polished(np.asarray(due["expression"][0]))
    np.testing.assert_allclose(made.expression, polished, atol=1e-5)
    np.testing.assert_array_equal(made.pose, motion.pose)
    other = motion._replace(pose=motion.pose + np.float32(0.05))
    turned = shaping.with_shape(face_run, other, speech, "bob")
    assert np.any(turned.expression != made.expression)


def test_a_face_of_another_rate_or_length_is_refused(pose_run, face_run):
    speech = speech_of(9)
    motion = speech_motion.speech_to_motion(pose_run, speech, speaker="ann")
    with pytest.raises(InputError, match=r"the face's run has 25 frames a second, the motion 30"):
        shaping.with_shape(face_run, motion._replace(fps=np.float32(30)), speech, "ann")
    with pytest.raises(InputError, match=r"speech has 8 frames, the motion 9"):
        shaping.with_shape(face_run, motion, speech[:8], "ann")
    with pytest.raises(InputError, match=r"'zoe' is unknown to the face's run"):
        shaping.with_shape(face_run, motion, speech, "zoe")


# Judges.


@pytest.fixture(scope="module")
def pose_report(pose_run, folder):
    return evaluate.evaluate(pose_run, Choice(folder, "train", HELD))


def test_baselines_of_poses_are_those_of_loops(pose_report, pose_run):
    report, table = pose_report.report, table_of(pose_run)
    held = [clip.pose[round(0.7 * fakes.FRAMES) :] for clip in fakes.clips()]
    assert report["clip_count"] == 2 and report["frame_count"] == sum(map(len, held))
    for kind, pick in (
        ("mean_pose", lambda k, x: table["pose_mean"][k]),
        ("constant_pose", lambda k, x: x[0]),
    ):
        degrees = [np.abs(np.rad2deg(pick(k, x) - x)[:, :3]).mean() for k, x in enumerate(held)]
        scores = [
            np.linalg.norm((pick(k, x) - x) / table["pose_std"][k], axis=1).mean() / np.sqrt(6)
            for k, x in enumerate(held)
        ]
        assert report[kind]["pose_degrees"] == pytest.approx(np.mean(degrees), rel=1e-4)
        assert report[kind]["score"] == pytest.approx(np.mean(scores), rel=1e-4)
        assert report[kind]["deviation"] == report[kind]["beats"] == report[kind]["variety"] == 0
    true = report["true"]
    assert true["score"] == true["spectrum"] == true["mean_mm"] == 0
    assert true["deviation"] == pytest.approx(1) == true["nods"]


def test_the_model_is_told_the_first_pose_and_hears_its_own_speech(pose_report, pose_run, folder):
    report, table = pose_report.report, table_of(pose_run)
    data = sequences.Config(path=folder, frames=8)
    one = sequences.open_recordings(data)[1]
    first = round(0.7 * fakes.FRAMES)
    state = np.zeros(10, np.float32)
    state[:6] = (one.pose[first] - table["pose_mean"][1]) / table["pose_std"][1]
    errors = []
    for seed in poses_judge.SEEDS:
        # Windows of speech reach beyond the stretch: pass it whole, as the judge's rows are.
        rows = sequences.padded(one.speech)[first:]
        roll = poses_judge.rollout.make_roll(pose_run.system.generate, 8)
        roll = poses_judge.rollout.fill(roll, pose_run.gen, pose_run.stats, pose_run.system.frozen)
        made = poses_judge.pose_motion.poses(roll, rows, 8, initial=state[:6], speaker=1, seed=seed)
        pose = made * table["pose_std"][1] + table["pose_mean"][1]
        errors.append(np.abs(np.rad2deg(pose - one.pose[first:])[:, :3]).mean())
    found = report["by_clip"]["b"]["model"]["pose_degrees"]
    assert found == pytest.approx(np.mean(errors), rel=1e-3)
    assert report["model"]["score"] != report["shuffled_audio"]["score"]
    assert report["model"]["variety"] > 0 == report["seeds_mean"]["variety"]


def test_poses_rank_by_their_proper_scores_and_are_said_in_one_line(pose_report):
    report, sheet = pose_report
    model = report["model"]
    assert poses_judge.rank(report) == -(model["score"] + model["score_change"])
    line = poses_judge.WORKLOAD.summary(report)
    assert "\n" not in line and all(kind in line for kind in poses_judge.KINDS)
    assert sheet.dtype == np.uint8 and sheet.shape[1] > 2 * 420


def test_loudness_of_the_stretch_is_that_of_its_frames(monkeypatch, pose_run, folder):
    heard = []
    monkeypatch.setattr(
        head_motion, "loudness", lambda rows, kind: heard.append(rows) or np.zeros(len(rows))
    )
    evaluate.evaluate(pose_run, Choice(folder, "train", HELD, "a"))
    one = sequences.open_recordings(sequences.Config(path=folder, frames=8))[0]
    np.testing.assert_array_equal(heard[0], one.speech[round(0.7 * fakes.FRAMES) :])


def test_errors_of_faces_are_distances_of_vertices(face_run, folder):
    report, sheet = evaluate.evaluate(face_run, Choice(folder, "train", HELD))
    table, model = table_of(face_run), face_run.system.frozen["morphable"]
    due = []
    for row, clip in enumerate(fakes.clips()):
        held = slice(round(0.7 * fakes.FRAMES), None)
        identity = table["identity"][row] - clip.identity.mean(0)
        wrong = table["expression_mean"][row] - clip.expression[held]
        identity = np.broadcast_to(identity, (len(wrong), 4))
        due.append(vertex_errors(identity, wrong, jax.device_get(model))["vertices"])
    assert report["mean_face"]["vertices"] == pytest.approx(np.concatenate(due).mean(), rel=1e-2)
    assert report["nearest_neighbour"]["expression"] > 0
    assert shapes_judge.rank(report) == -report["model"]["vertices"]
    line = shapes_judge.WORKLOAD.summary(report)
    assert "\n" not in line and "mean_face: vertices" in line and sheet.dtype == np.uint8


def test_a_face_is_judged_with_the_true_pose(face_run, folder):
    stretch = Choice(folder, "train", HELD)
    judged = shapes_judge.judge(sequences.Config(path=folder, frames=8), stretch, face_run.system)
    seen = []

    def spy(inputs):
        seen.append(inputs)
        return inputs

    judged.look(face_run.gen, face_run.stats, face_run.system.frozen, put=spy)
    table, first = table_of(face_run), round(0.7 * fakes.FRAMES)
    due = (fakes.clips()[0].pose[first:] - table["pose_mean"][0]) / table["pose_std"][0]
    around = seen[0]["around"][0]
    np.testing.assert_allclose(around[8 : 8 + len(due)], due, atol=1e-4)
    assert not around[:8].any() and not around[8 + len(due) :].any()


def test_runs_that_make_poses_can_be_asked_whose_they_are(pose_run, face_run):
    assert personalization_judge.voices([("", pose_run)]).keys() == set(fakes.PEOPLE)
    with pytest.raises(InputError, match="--workdir is one of pgface"):
        personalization_judge.voices([("", face_run)])


def test_more_people_than_the_net_can_be_told_of_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match=r"model.speakers is 1, and the data has 2; set it to 2"):
        fakes.load(tmp_path / "w", folder, "posegan", "model.speakers=1")


def test_a_persons_own_net_begins_with_the_general_one(pose_run, pose_dir, folder, tmp_path):
    changes = (f"data.path={folder}", "data.clips=b", "eval.clips=b", f"pretrained={pose_dir}")
    chosen = [f"--config.{one}" for one in changes]
    config = settings.load_config("configs/posegan.py:smoke", chosen)
    setup = preparation.set_up(config, tmp_path)
    state = preparation.first_state(config, setup, Checkpoints(tmp_path / runs.CHECKPOINTS))
    chex.assert_trees_all_equal(jax.device_get(state.ema), jax.device_get(pose_run.gen))
    assert int(state.step) == 0
    table = jax.device_get(setup.system.frozen["speakers"])
    assert table["pose_mean"].shape == (1, 6)  # the new person's own
    np.testing.assert_allclose(table["pose_mean"][0], table_of(pose_run)["pose_mean"][1], rtol=1e-5)
