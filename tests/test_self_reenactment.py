"""Self-reenactment with a renderer that shows the truth when it is given the true motion."""

import json

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax import cli, runs, self_reenactment, settings, speakers
from facejax.data import records, sequences
from facejax.errors import InputError
from facejax.system import System
from facejax.workload import Choice
from tests import fake_talks

FRAMES, FIRST = 40, 20
AWAY = 10  # of 255: how far the renderer is from the truth for any other expression


def rest(gen, stats, frozen, inputs):
    """A face at rest, whatever is heard."""
    size = sequences.FACE + 3
    return {"attributes": jnp.zeros((1, inputs["speech"].shape[1], size))}


@pytest.fixture(scope="module")
def clip():
    return fake_talks.clip("a", "ann", FRAMES, seed=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, clip):
    return fake_talks.folder(tmp_path_factory.mktemp("talks"), {"train": [clip]})


def run_of(folder, system, **data):
    config = settings.default_config(system, "paper")
    config.data.update(path=folder, **data)
    table = speakers.measure(sequences.open_recordings(sequences.Config(path=folder)))
    frozen = {
        "morphable": records.open_clips(folder, "train").model,
        "speakers": {name: jnp.asarray(speakers.as_numbers(v)) for name, v in table.items()},
    }
    return runs.Run(config, System(None, None, None, rest, frozen), {}, {"gen": {}}, 7, None)


@pytest.fixture
def pair(monkeypatch, folder, clip):
    """The two runs, and a renderer that is AWAY from the truth unless the expression is true."""
    true = np.asarray(clip.expression[FIRST:])
    frames = [records.decode_frame(frame) for frame in clip.frames[FIRST:]]

    def renderer(run, shown, speaker, span):
        assert (shown.clip_id, speaker, span) == ("a", "ann", (FIRST, FRAMES))

        def draw(moved):
            shift = 0 if np.allclose(moved.expression, true) else AWAY
            yield from (np.where(f > 127, f - shift, f + shift).astype(np.uint8) for f in frames)

        return draw, clip.identity[FIRST]

    monkeypatch.setattr(self_reenactment, "_renderer", renderer)
    return run_of(folder, "facial", frames=16), run_of(folder, "facial_video", size=16)


def judge(pair, folder, **choice):
    return self_reenactment.judge(*pair, Choice(folder, "train", (0.5, 1.0), **choice))


def test_pictures_of_the_true_motion_are_compared_with_the_truth(pair, folder, clip):
    report = judge(pair, folder).report
    assert report["clip_count"] == 1 and report["frame_count"] == FRAMES - FIRST
    assert report["video"]["l1"] == 0 and report["video_mouth"]["l1"] == 0
    for name in ("audio", "audio_true_head"):
        assert report[name]["l1"] == pytest.approx(AWAY)
        assert report[name]["psnr"] == pytest.approx(20 * np.log10(255 / AWAY))
    frames = [records.decode_frame(f).astype(float) for f in clip.frames[FIRST:]]
    due = np.mean([np.abs(f - frames[0]).mean() for f in frames])
    assert report["copy_reference"]["l1"] == pytest.approx(due)
    assert report["by_clip"]["a"]["audio"] == report["audio"]


def test_mouths_are_cut_out_where_their_own_heads_hold_them(pair, folder):
    """On the true head, what is AWAY everywhere is so there; on another it lies elsewhere."""
    report = judge(pair, folder).report
    assert report["audio_true_head_mouth"]["l1"] == pytest.approx(AWAY, abs=3)
    assert report["audio_mouth"]["l1"] != report["audio_true_head_mouth"]["l1"]


def test_the_landmarks_are_those_of_the_expressions(pair, folder, clip):
    found = judge(pair, folder).report["landmarks"]
    model = jax.device_get(pair[0].system.frozen["morphable"])
    basis = model.expression_basis[:, model.landmarks[48:68]]
    mean = clip.expression.mean(0)
    for name, shown in (("audio", 0), ("person_mean", mean)):
        moved = np.einsum("te,enc->tnc", shown - clip.expression[FIRST:], basis)
        assert found[name] == pytest.approx(np.linalg.norm(moved, axis=-1).mean(), rel=1e-4)


def test_frames_without_a_face_do_not_count(pair, folder, monkeypatch):
    opened = self_reenactment.held_out.open_stretches

    def blind(*arguments):
        found = opened(*arguments)
        return [one._replace(valid=np.arange(FRAMES - FIRST) % 4 != 1) for one in found]

    monkeypatch.setattr(self_reenactment.held_out, "open_stretches", blind)
    assert judge(pair, folder).report["frame_count"] == 15


def test_the_command_writes_figures_and_error_maps(pair, folder, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(runs, "load", lambda path, step=None: pair[path == "DRAWS"])
    given = ["--workdir", "HEARS", "--data", folder, "--split", "train", "--span", "0.5,1"]
    given = ["evaluate", "--metrics", "reenactment", *given, "--out", str(tmp_path / "r.json")]
    assert cli.main([*given, "--renderer-workdir", "DRAWS"]) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["step"] == report["renderer_step"] == 7 and report["video"]["l1"] == 0
    sheet = cv2.imread(str(tmp_path / "r.png"))
    assert sheet.shape[1] > 9 * self_reenactment.SIDE
    assert sheet.shape[0] > self_reenactment.SHOWN * self_reenactment.SIDE
    said = capsys.readouterr().out
    assert "video: L1 0.00" in said and "mouth landmarks: audio" in said
    assert cli.main(given) == 2
    assert "--renderer-workdir is missing" in capsys.readouterr().err


def test_wrong_runs_are_refused(pair, folder):
    hears, draws = pair
    with pytest.raises(InputError, match="run in --workdir is one of facial_video; due: speech"):
        judge((draws, draws), folder)
    with pytest.raises(InputError, match="in --renderer-workdir is one of facial; due: headgan"):
        judge((hears, hears), folder)
    slow = {"speakers": hears.system.frozen["speakers"] | {"fps": jnp.float32(20)}}
    system = hears.system._replace(frozen=hears.system.frozen | slow)
    with pytest.raises(InputError, match="25 frames a second, the run in --workdir 20"):
        judge((hears._replace(system=system), draws), folder)
    model = hears.system.frozen["morphable"]
    other = hears.system.frozen | {"morphable": model._replace(mean=model.mean + 1)}
    with pytest.raises(InputError, match="another face model"):
        judge((hears._replace(system=hears.system._replace(frozen=other)), draws), folder)
