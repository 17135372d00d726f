import json

import cv2
import numpy as np
import pytest

from facejax import cli, evaluate, reenactment, runs, settings, train
from facejax.data import pipeline, records, shards
from facejax.errors import InputError
from facejax.workload import Choice
from tests import toy
from tests.data import fake

toy.register()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(fake.folder(tmp_path_factory.mktemp("clips"), (12, 9, 14, 12), size=8, test=2))


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, folder):
    config = settings.default_config("toy")
    config.data.update(path=folder, size=8, batch=4, part_frames=6, windows=(2,), audio="null")
    config.train.update(steps=2, eval_every=0, sample_every=0)
    path = tmp_path_factory.mktemp("run")
    train.train(config.lock(), path)
    return path


def choice(folder, **changes):
    return Choice(folder, **{"split": "test"} | changes)


def data(folder):
    return pipeline.Config(path=folder, size=8, audio="null")


def test_the_copy_baseline_is_the_reference_against_every_other_frame(folder, workdir):
    report = evaluate.evaluate(runs.load(workdir), choice(folder, reference_index=3)).report
    absolute = []
    clips = records.open_clips(folder, "test")
    for clip in (clips[0], clips[1]):
        frames = [records.decode_frame(frame).astype(float) for frame in clip.frames]
        absolute += [np.abs(f - frames[3]).mean() for k, f in enumerate(frames) if k != 3]
    assert report["frame_count"] == len(absolute) == 13 + 11 and report["clip_count"] == 2
    np.testing.assert_allclose(report["copy_reference"]["l1"], np.mean(absolute), rtol=1e-5)


def test_a_perfect_model_has_no_error(folder):
    tasks = reenactment.open_tasks(choice(folder), data(folder))

    def score(inputs, target):
        outputs = {"image": target}
        still = np.broadcast_to(inputs["reference"], target.shape)
        pairs = {"model": (target, target), "copy_reference": (still, target)}
        errors = reenactment.reconstruction.frame_errors
        return outputs, {name: errors(*pair) for name, pair in pairs.items()}

    result = reenactment.reenact(score, tasks, data(folder), rows=5)
    assert result.report["model"]["l1"] == 0 and result.report["copy_reference"]["l1"] > 0
    assert result.report["by_clip"].keys() == {"clip-2", "clip-3"}


def test_the_number_of_rows_changes_nothing(folder, workdir):
    run = runs.load(workdir)
    few, many = (evaluate.evaluate(run, choice(folder), rows=rows).report for rows in (3, 8))
    for name in ("model", "copy_reference"):
        assert few[name] == pytest.approx(many[name], rel=1e-5)


def test_no_frame_before_the_span_is_read(folder):
    tasks = reenactment.open_tasks(choice(folder, span=(0.5, 1)), data(folder))
    assert [(task.start, task.reference) for task in tasks] == [(7, 7), (6, 6)]
    assert tasks[0].targets.tolist() == list(range(8, 14))
    batch, _ = reenactment._batch(tasks[0], tasks[0].targets[:2], data(folder))
    due = tasks[0].shot.pose[[[7, 7, 8], [7, 8, 9]]]
    np.testing.assert_array_equal(batch["driving_motion"]["pose"], due)


def test_a_clip_without_a_second_face_is_left_out(tmp_path):
    blind = fake.clip("blind", 5, 8)._replace(valid=np.eye(5, dtype=bool)[2])
    for name, clip in (("blind", blind), ("seen", fake.clip("seen", 5, 8))):
        shards.write_shard(tmp_path, "test", name, [clip])
        np.savez(tmp_path / "model.npz", **fake.model_arrays())
        shards.seal(tmp_path)
        if name == "blind":
            with pytest.raises(InputError, match="no clip has two frames with a face"):
                reenactment.open_tasks(choice(str(tmp_path)), data(str(tmp_path)))
    tasks = reenactment.open_tasks(choice(str(tmp_path)), data(str(tmp_path)))
    assert [(len(task.targets), task.reference) for task in tasks] == [(0, 2), (4, 0)]


def test_clips_and_frames_can_be_thinned(folder):
    tasks = reenactment.open_tasks(choice(folder, most_clips=1, most_frames=3), data(folder))
    assert len(tasks) == 1 and tasks[0].targets.tolist() == [1, 7, 13]


def test_the_command_writes_a_report_and_a_sheet(folder, workdir, tmp_path, capsys):
    out = tmp_path / "report.json"
    arguments = [
        "--workdir",
        str(workdir),
        "--data",
        folder,
        "--clips",
        "clip-3",
        "--span",
        "0.5,1",
    ]
    assert cli.main(["evaluate", *arguments, "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["clips"] == "clip-3" and report["frame_count"] == 5 and report["step"] == 2
    assert {"l1", "psnr", "psnr_frame"} == report["model"].keys() == report["warped"].keys()
    sheet = cv2.imread(str(tmp_path / "report.png"))
    assert sheet.shape[1] > 7 * 8
    assert "copy_reference: L1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--span", "0.8"], "--span is '0.8'"),
        (["--span", "1,0"], "--span is '1,0'"),
        (["--reference-index", "99"], "--reference-index is 99; clip clip-2 has 14 frames"),
        (["--split", "valid"], "no split 'valid'; it has: test, train"),
        (["--clips", "x"], "no clip matches 'x'"),
        (["--step", "7"], "has no step 7; it has: 2"),
        (["--out", "no/such/report.json"], "no folder"),
        (["--out", "report.txt"], "ending in .json"),
        (["--workdir", "nowhere"], "no workdir nowhere"),
        (["--data", "nowhere"], "data folder nowhere does not exist"),
    ],
)
def test_a_wrong_argument_is_one_line(folder, workdir, capsys, arguments, message):
    given = ["evaluate", "--workdir", str(workdir), "--data", folder, *arguments]
    assert cli.main(given) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and error.startswith("facejax: error:") and "\n" not in error


def test_clips_of_another_face_model_are_refused(folder, workdir, tmp_path):
    other = fake.folder(tmp_path, (9,), size=8)
    arrays = fake.model_arrays()
    np.savez(other / "model.npz", **arrays | {"mean": arrays["mean"] + 1})
    with pytest.raises(InputError, match="another face model"):
        evaluate.evaluate(runs.load(workdir), choice(str(other)))


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(InputError, match="it has no config"):
        runs.load(tmp_path)
