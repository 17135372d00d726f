import json

import cv2
import jax
import numpy as np
import pytest

from facejax import cli, runs, settings, speakers, train, video_rendering
from facejax.data import windows
from facejax.errors import InputError
from facejax.motion import Motion
from facejax.system import System
from tests import fake_runs, fake_windows
from tests.data import fake

SMOKE = "configs/facial_video.py:smoke"


def motion_of(frames, identities=2, expressions=3, seed=0):
    values = fake_windows.motion(np.random.default_rng(seed), frames)
    shapes = {"identity": (identities,), "expression": (frames, expressions)}
    values |= {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    values["blink"] = (np.arange(frames) % 6).astype(np.float32)
    return Motion(**values, fps=np.float32(25))


def stub_run(edges="replicate", people=1):
    """A run whose picture tells the blinks of its window; its `shapes` are those of all calls."""
    config = settings.load_config(SMOKE, [f"--config.data.edges={edges}"])
    shapes = []

    def generate(inputs):
        shapes.append(jax.tree.map(np.shape, inputs))
        blink = inputs["motion"]["blink"]
        count = len(blink) - windows.LENGTH + 1
        told = np.stack([code(blink[k : k + windows.LENGTH]) for k in range(count)])
        told = told + 20 * np.asarray(inputs["speaker"])
        return {"image": np.broadcast_to(told[:, None, None, None] / 127.5 - 1, (count, 2, 2, 3))}

    given = jax.tree.map(speakers.as_numbers, fake_windows.frozen(speakers=people))
    return runs.Run(config, System(None, None, None, None, given), None, None, 0, generate), shapes


def code(blink):
    """A number below 200 that any other window would hardly give."""
    return np.round(np.dot(blink, [1, 3, 5, 2, 7, 4, 9, 6, 2, 1]))


def told(run, motion, **options):
    frames = list(video_rendering.render_motion(run, motion, **options))
    assert all(f.shape == (2, 2, 3) and f.dtype == np.uint8 for f in frames)
    return [int(f[0, 0, 0]) for f in frames]


@pytest.mark.parametrize("edges", windows.EDGES)
@pytest.mark.parametrize("frames", [1, 3, 9, 10, 11, 23])
@pytest.mark.parametrize("chunk", [1, 4, 40])
def test_each_frame_is_made_from_its_window_whatever_the_chunk(edges, frames, chunk):
    run, shapes = stub_run(edges)
    motion = motion_of(frames)
    rows = windows.window(np.arange(frames), 0, frames, edges)
    assert told(run, motion, chunk=chunk) == [code(motion.blink[row]) for row in rows]
    assert all(shape == shapes[0] for shape in shapes)  # one program serves any length
    assert shapes[0]["motion"]["blink"] == (chunk + 9,)


def test_frames_come_one_by_one_while_later_ones_are_not_made_yet():
    run, shapes = stub_run()
    frames = video_rendering.render_motion(run, motion_of(1000), chunk=4)
    next(frames)
    assert len(shapes) == 2  # what is shown, and one chunk ahead


def test_the_speaker_is_shown_who_is_asked_for():
    run, _ = stub_run(people=2)
    one, two = (told(run, motion_of(3), speaker=f"speaker-{k}") for k in (0, 1))
    assert np.array_equal(np.subtract(two, one), [20, 20, 20])
    with pytest.raises(InputError, match="2 speakers; choose one of: speaker-0, speaker-1"):
        video_rendering.render_motion(run, motion_of(3))
    with pytest.raises(InputError, match="'nobody'"):
        video_rendering.render_motion(run, motion_of(3), "nobody")


def test_a_speakers_own_identity_is_what_the_run_was_fitted_with():
    run, _ = stub_run(people=2)
    due = fake_windows.frozen()["appearance"]["identity"][1]
    np.testing.assert_array_equal(video_rendering.own_identity(run, "speaker-1"), due)


def test_a_motion_of_another_face_model_or_no_chunk_is_refused_before_anything_is_made():
    run, shapes = stub_run()
    with pytest.raises(ValueError, match=r"expression has shape \(4, 5\)"):
        video_rendering.render_motion(run, motion_of(4, expressions=5))
    with pytest.raises(InputError, match="chunk is 0"):
        video_rendering.render_motion(run, motion_of(4), chunk=0)
    assert not shapes


# A run from the data folder to frames.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(fake.folder(tmp_path_factory.mktemp("clips"), (12, 14, 12), size=16))


SMALL = {
    "data.size": 16,
    "data.clips": "clip-0",
    "model.halvings": 1,
    "model.lambda_adversarial": 0.0,
    "train.sample_every": 0,
}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, folder):
    """Of random weights, and of what the data of clip-0 gives."""
    source = windows.Windows(windows.Config(path=folder, size=16, clips="clip-0"), 0)
    given = dict(source.given)
    path = tmp_path_factory.mktemp("runs") / "run"
    overrides = [f"{name}={value}" for name, value in SMALL.items()]
    return fake_runs.make_workdir(path, given.pop("morphable"), *overrides, source=SMOKE, **given)


@pytest.mark.slow
def test_a_run_trains_from_a_data_folder_and_goes_on_where_it_stopped(folder, tmp_path):
    options = SMALL | {"data.path": folder, "data.batch": 4, "eval.split": "test"}
    for steps in (2, 4):
        arguments = [f"--config.{k}={v}" for k, v in (options | {"train.steps": steps}).items()]
        state = train.train(settings.load_config(SMOKE, arguments), tmp_path / "run")
        assert int(state.step) == steps
    figures = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert "eval/model/psnr" in figures and "eval/render_face/l1" in figures
    frames = list(video_rendering.render_motion(runs.load(tmp_path / "run"), motion_of(3, 4, 3)))
    assert len(frames) == 3


def test_a_run_shows_any_motion(workdir):
    run = runs.load(workdir)
    frames = list(video_rendering.render_motion(run, motion_of(6, 4, 3), chunk=4))
    assert len(frames) == 6 and frames[0].shape == (16, 16, 3)
    assert np.any(frames[0] != frames[-1])


@pytest.fixture(scope="module")
def report(workdir, folder, tmp_path_factory):
    """That of clip-0, whose speaker the run knows, and of clip-1, whose it does not."""
    out = tmp_path_factory.mktemp("report") / "report.json"
    arguments = ["--workdir", str(workdir), "--data", folder, "--split", "train"]
    assert cli.main(["evaluate", *arguments, "--span", "0.5,1", "--out", str(out)]) == 0
    sheet = cv2.imread(str(out.with_suffix(".png")))
    return json.loads(out.read_text()), sheet


def test_the_report_sets_the_model_beside_the_bare_render_and_the_reference(report):
    figures, sheet = report
    kinds = {"model", "render", "copy_reference", "model_face", "render_face", "copy_face"}
    assert kinds <= figures.keys()
    assert figures["clip_count"] == 2 and figures["frame_count"] == 5 + 6
    assert figures["render_face"]["l1"] < figures["render"]["l1"]  # beside the face it is black
    # Six columns of enlarged pictures, four frames of each clip.
    assert sheet.shape[1] > 6 * 128 and sheet.shape[0] > 8 * 128


def test_speakers_whom_the_run_does_not_know_look_as_in_their_reference_frame(report):
    known, stranger = (report[0]["by_clip"][f"clip-{k}"]["render_face"]["l1"] for k in (0, 1))
    assert stranger < 1.5 * known  # drawn in the stranger's own colours
