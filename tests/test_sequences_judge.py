"""The judge, with a net that repeats a frame's own features: no training, known answers."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax import held_out_speech, sequences_judge, speakers
from facejax.data import sequences
from facejax.system import System
from facejax.workload import Choice
from tests import fake_talks
from tests.data import fake

SPAN, HELD = (0.0, 0.5), (0.5, 1.0)


def generate(gen, stats, frozen, inputs):
    """Pose and blink 0; the first expression is gen times the frame's own first band."""
    own = inputs["speech"][0, :, 8, :1] * gen
    zeros = jnp.zeros((len(own), 7))
    return {"attributes": jnp.concatenate([zeros, own, own * 0, own * 0], axis=1)[None]}


@pytest.fixture(scope="module")
def clips():
    return [fake_talks.clip("a", "ann", 40, seed=1), fake_talks.clip("b", "bob", 60, seed=2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, clips):
    other = fake_talks.clip("new", "ann", 30, seed=5)
    splits = {"train": clips, "test": [other]}
    return fake_talks.folder(tmp_path_factory.mktemp("talks"), splits)


@pytest.fixture(scope="module")
def data(folder):
    return sequences.Config(path=folder, batch=2, frames=8, span=SPAN)


@pytest.fixture(scope="module")
def system(data):
    given = sequences.Sequences(data, 0).given
    return System(None, None, None, generate, jax.tree.map(speakers.as_numbers, given))


def judge(data, folder, system, gen=0.0, **choice):
    choice = Choice(folder, **{"split": "train", "span": HELD} | choice)
    found = sequences_judge.judge(data, choice, system)
    return found, found.look(np.float32(gen), {}, system.frozen)


@pytest.fixture(scope="module")
def report(data, folder, system):
    return judge(data, folder, system)[1].report


def pooled(clips, error):
    """Mean over the held-out frames of both clips of error(clip, frames)."""
    return np.mean(
        np.concatenate([error(clip, slice(len(clip.times) // 2, None)) for clip in clips])
    )


def test_every_held_out_frame_is_judged_and_none_before(report):
    assert report["clip_count"] == 2 and report["frame_count"] == 20 + 30
    assert report["by_clip"].keys() == {"a", "b"}


def test_the_mean_is_the_speakers_over_what_was_trained_on(report, clips):
    def of(name):
        mean = {clip.clip_id: getattr(clip, name)[: len(clip.times) // 2].mean(0) for clip in clips}
        return lambda clip, held: getattr(clip, name)[held] - mean[clip.clip_id]

    found, expression, pose = report["person_mean"], of("expression"), of("pose")
    due = pooled(clips, lambda *at: np.abs(expression(*at)).mean(1))
    assert found["expression"] == pytest.approx(due, rel=1e-4)
    degrees = pooled(clips, lambda *at: np.rad2deg(np.abs(pose(*at)[:, :3])).mean(1))
    assert found["pose_degrees"] == pytest.approx(degrees, rel=1e-4)
    places = pooled(clips, lambda *at: np.abs(pose(*at)[:, 3:]).mean(1))
    assert found["pose_mm"] == pytest.approx(places, rel=1e-4)
    assert found["mouth_opening_correlation"] == 0


def test_a_net_that_rests_shows_the_speakers_mean_pose(report):
    model, mean = report["model"], report["person_mean"]
    assert model["pose_mm"] == pytest.approx(mean["pose_mm"], rel=1e-4)
    assert model["expression"] > mean["expression"]  # neutral is not this data's mean


def test_the_nearest_neighbour_is_that_of_a_search(data, folder, system, clips):
    table = jax.device_get(system.frozen["speakers"])
    stretches = held_out_speech.open_stretches(data, Choice(folder, "train", HELD), table)
    trained = held_out_speech.training_frames(data, folder, table)
    stretch = stretches[1]
    face = held_out_speech.nearest_neighbour(stretch, trained[stretch.speaker])
    known = trained[1][0].rows
    for t in range(len(stretch.valid)):
        distances = [
            np.square(stretch.rows[t : t + 16] - known[k : k + 16]).sum() for k in range(30)
        ]
        np.testing.assert_array_equal(face.expression[t], clips[1].expression[np.argmin(distances)])


def test_a_frame_is_its_own_nearest_neighbour(data, folder, system):
    report = judge(data, folder, system, span=SPAN)[1].report  # what was trained on
    found = report["nearest_neighbour"]
    assert not any(found[name] for name in ("expression", "pose_mm", "blink", "mouth"))
    assert found["mouth_opening_correlation"] == pytest.approx(1)


def test_speech_is_heard_frame_by_frame(data, folder, system, clips):
    """The net's own row, and no later one: what it repeats is the features of that very frame."""
    recordings = sequences.open_recordings(data)
    report = judge(data, folder, system, gen=1.0)[1].report
    due = [
        np.abs(
            np.stack([one.speech[h, 0], 0 * one.speech[h, 0], 0 * one.speech[h, 0]], 1)
            - clip.expression[h]
        ).mean(1)
        for one, clip in zip(recordings, clips, strict=True)
        for h in [slice(len(clip.times) // 2, None)]
    ]
    assert report["model"]["expression"] == pytest.approx(np.mean(np.concatenate(due)), rel=1e-4)


def test_frames_without_a_face_do_not_count(tmp_path, data, clips, caplog):
    valid = np.ones(40, bool)
    valid[30:34] = False
    path = fake_talks.folder(tmp_path, {"train": [clips[0]._replace(valid=valid)]})
    given = sequences.Sequences(sequences.Config(path=path, batch=2, frames=8), 0).given
    frozen = jax.tree.map(speakers.as_numbers, given)
    system = System(None, None, None, generate, frozen)
    with caplog.at_level(logging.WARNING):
        report = judge(data, path, system)[1].report
    assert report["frame_count"] == 16


def test_clips_of_a_known_speaker_may_lie_elsewhere(data, folder, system):
    report = judge(data, folder, system, split="test", span=(0.0, 1.0))[1].report
    assert report["clip_count"] == 1 and "nearest_neighbour" in report  # of the training split


def test_without_training_frames_there_is_no_neighbour(tmp_path, data, system):
    clip = fake_talks.clip("new", "ann", 30, seed=5)
    path = fake_talks.folder(tmp_path, {"test": [clip]})
    report = judge(data, path, system, split="test")[1].report
    assert report["person_mean"]["mouth"] > 0 and "nearest_neighbour" not in report


def test_another_frame_rate_is_judged_at_the_runs(tmp_path, data, system):
    path = fake_talks.folder(
        tmp_path, {"test": [fake_talks.clip("new", "ann", 30, seed=5, fps=50)]}
    )
    report = judge(data, path, system, split="test", span=(0.0, 1.0))[1].report
    assert report["frame_count"] == 15


def test_figures_rank_by_the_mouth_and_are_said_in_one_line(report):
    assert sequences_judge.rank(report) == -report["model"]["mouth"]
    assert sequences_judge.rank({"model": {"expression": 0.25}}) == -0.25
    line = sequences_judge.WORKLOAD.summary(report)
    assert "\n" not in line and line.startswith("2 clips, 50 frames. model: expression ")
    assert all(name in line for name in ("person_mean", "nearest_neighbour", "mm", "deg"))


def test_the_sheet_shows_a_column_of_plots_for_each_clip(data, folder, system):
    sheet = judge(data, folder, system)[1].sheet
    assert sheet.dtype == np.uint8 and sheet.shape[1] > 2 * 420 and sheet.shape[0] > 5 * 120


def test_the_morphable_model_is_handed_on_to_be_checked(data, folder, system):
    given = judge(data, folder, system)[0].given
    np.testing.assert_array_equal(given["morphable"].mean, fake.model_arrays()["mean"])
