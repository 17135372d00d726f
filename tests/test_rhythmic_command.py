"""facejax animate with Rhythmic Head Motion, with a generator that shows what it is given."""

import types

import av
import numpy as np
import pytest
from ml_collections import ConfigDict

from facejax import rhythmic_command, rhythmic_rendering, runs, settings
from facejax.cli import main
from facejax.data import records, shots, takes
from facejax.errors import InputError
from facejax.files import read_image
from facejax.geometry.morphable import MorphableModel
from facejax.rhythmic_animation import cut
from facejax.system import System
from tests import fake_performances, test_rhythmic_drive
from tests.data import fake

MODEL = MorphableModel(**fake.model_arrays())
FRAMES, TAU = 40, 13


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    clips = [fake_performances.clip(name, FRAMES, seed=k) for k, name in enumerate("ab")]
    return fake_performances.folder(tmp_path_factory.mktemp("talks"), {"train": clips})


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """Replaces the loading of runs: a workdir is called by what it holds."""
    given = []

    def generate(inputs):
        given.append({k: np.asarray(v) for k, v in inputs.items() if k != "key_frame"})
        count = len(inputs["landmarks"])
        shade = np.asarray(inputs["head"])[:, 1, None, None, None]  # the turn about y in grey
        image = np.broadcast_to(np.clip(4 * shade, -1, 1), (count, 16, 16, 3))
        return {"image": image.astype(np.float32), "projection": image, "warped": image}

    config = settings.default_config("rhythmic")
    config.data.update(size=16, references=3, tau=TAU)
    frozen = {"morphable": MODEL}
    generator = runs.Run(config, System(None, None, None, None, frozen), None, None, 0, generate)
    kinds = {
        "generator": generator,
        "psi": test_rhythmic_drive.psi(),
        "phi": test_rhythmic_drive.phi(),
        "headgan": types.SimpleNamespace(config=ConfigDict({"system": "headgan"})),
    }
    monkeypatch.setattr(runs, "load", lambda folder, step=None: kinds[str(folder)])
    monkeypatch.setattr(rhythmic_command, "asked", lambda args: True)
    monkeypatch.setattr(runs, "use_compile_cache", lambda: None)
    return given


def animate(tmp_path, *arguments, workdir="generator"):
    out = tmp_path / "out.mp4"
    code = main(["animate", "--workdir", workdir, "--out", str(out), *map(str, arguments)])
    return code, out


def wave_file(path, seconds=0.8):
    import wave

    samples = (8000 * np.random.default_rng(0).normal(size=round(16000 * seconds))).clip(
        -30000, 30000
    )
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.astype(np.int16).tobytes())
    return path


def seen(out):
    with av.open(str(out)) as container:
        return sum(1 for _ in container.decode(video=0)), bool(container.streams.audio)


def joined(calls, name, frames):
    return np.concatenate([one[name] for one in calls])[:frames]


LEARNERS = ("--expression-workdir", "psi", "--motion-workdir", "phi")


def test_sound_drives_expression_and_head_motion(tmp_path, folder, calls):
    sound = wave_file(tmp_path / "s.wav")
    code, out = animate(tmp_path, "--reference", f"{folder}:a", "--audio", sound, *LEARNERS)
    assert code == 0 and seen(out) == (20, True)
    heads = joined(calls, "head", 20)
    assert np.ptp(heads, axis=0).min() > 0
    assert calls[0]["references"].shape == (1, 3, 16, 16, 3)


def test_a_video_drives_the_same_person_with_its_own_landmarks(tmp_path, folder, calls):
    code, out = animate(tmp_path, "--reference", f"{folder}:a", "--driving", f"{folder}:a")
    assert code == 0 and seen(out)[0] == FRAMES
    due = fake_performances.landmarks(FRAMES, 0)[:, :68, :2]
    found = joined(calls, "landmarks", FRAMES)
    assert np.abs(found - due)[3:-3].mean() < 0.05  # px of 16: smoothing only
    matched = joined(calls, "matched", FRAMES)
    assert set(matched) <= {0, 1, 2} and len(set(matched)) > 1


def test_head_motion_of_another_video_and_expression_from_sound(tmp_path, folder, calls):
    sound = wave_file(tmp_path / "s.wav")
    animate(
        tmp_path, "--reference", f"{folder}:a", "--audio", sound, "--pose-from", f"{folder}:b",
        "--expression-workdir", "psi",
    )  # fmt: skip
    turns = joined(calls, "head", 20)[:, :3]
    due = -fake_performances.turns(FRAMES, 1)[:20]  # the inverse, in the image frame
    assert np.abs(turns - due)[3:].max() < 0.05


def test_either_can_be_held_still(tmp_path, folder, calls):
    sources = ("--reference", f"{folder}:a", "--driving", f"{folder}:a")
    animate(tmp_path, *sources, "--pose-scale", 0)
    assert np.ptp(joined(calls, "head", FRAMES), axis=0).max() < 1e-4
    assert np.ptp(joined(calls, "landmarks", FRAMES), axis=0).max() > 0.5
    calls.clear()
    animate(tmp_path, *sources, "--frontalize")
    assert np.ptp(joined(calls, "head", FRAMES), axis=0).max() < 1e-5
    calls.clear()
    animate(tmp_path, *sources, "--expression-scale", 0, "--pose-scale", 0)
    assert np.ptp(joined(calls, "landmarks", FRAMES), axis=0).max() < 1e-3


def test_a_sheet_shows_references_and_results(tmp_path, folder, calls):
    sheet = tmp_path / "sheet.png"
    code, _ = animate(
        tmp_path, "--reference", f"{folder}:a", "--driving", f"{folder}:b", "--sheet", sheet
    )
    assert code == 0
    image = read_image(sheet)
    assert image.shape[0] > 6 * 128 and image.shape[1] > 4 * 128


def test_another_persons_expression_moves_the_reference(tmp_path, folder, calls):
    animate(tmp_path, "--reference", f"{folder}:a", "--driving", f"{folder}:b")
    found = joined(calls, "landmarks", FRAMES)
    opening = np.linalg.norm(found[:, 62] - found[:, 66], axis=-1)
    assert np.corrcoef(opening, fake_performances.loudness(FRAMES, 1))[0, 1] > 0.9


# What will not do.


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--audio", "s.wav"], "--reference is missing"),
        (["--reference", "{}:a"], "nothing drives"),
        (["--reference", "{}:a", "--audio", "{}/s.wav"], "--expression-workdir is missing"),
        (
            ["--reference", "{}:a", "--audio", "{}/s.wav", "--expression-workdir", "psi"],
            "--motion-workdir is missing",
        ),
        (["--reference", "{}:a", "--driving", "{}:b", "--yaw", "20"], "--yaw is not for Rhythmic"),
        (["--reference", "{}:none", "--driving", "{}:b"], "no clip 'none'"),
        (["--reference", "{}:a", "--driving", "{}:b", "--system", "facial"], "--system is facial"),
    ],
)
def test_what_is_missing_is_named(tmp_path, folder, calls, capsys, arguments, told):
    wave_file(f"{folder}/s.wav")
    code, out = animate(tmp_path, *(a.format(folder) for a in arguments))
    assert code == 2 and not out.exists()
    assert told in capsys.readouterr().err


def test_a_run_of_another_system_is_refused(tmp_path, folder, calls, capsys):
    sources = ("--reference", f"{folder}:a", "--driving", f"{folder}:b")
    assert animate(tmp_path, *sources, workdir="headgan")[0] == 2
    assert "--workdir is of headgan" in capsys.readouterr().err
    assert animate(tmp_path, *sources, "--motion-workdir", "psi")[0] == 2
    assert "rhythmic_motion is due" in capsys.readouterr().err


def test_a_reference_shorter_than_tau_is_refused(tmp_path, folder, calls, capsys):
    clip = fake_performances.clip("c", 8)
    short = fake_performances.folder(tmp_path / "short", {"train": [clip]})
    sound = wave_file(tmp_path / "s.wav")
    code, _ = animate(tmp_path, "--reference", f"{short}:c", "--audio", sound, *LEARNERS)
    assert code == 2 and "has 8 frames at 25 a second, and 13" in capsys.readouterr().err
    # One frame of it is an image, and will do.
    assert animate(tmp_path, "--reference", f"{short}:c:2", "--audio", sound, *LEARNERS)[0] == 0
    assert calls[0]["references"].shape == (1, 1, 16, 16, 3)


def test_a_command_line_is_for_this_system_by_its_runs(tmp_path):
    args = types.SimpleNamespace(expression_workdir=None, motion_workdir=None, workdir=tmp_path)
    assert not rhythmic_command.asked(args)
    settings.write_config(tmp_path / runs.CONFIG, settings.default_config("rhythmic_expression"))
    assert rhythmic_command.asked(args)
    args.workdir, args.motion_workdir = tmp_path / "none", "W"
    assert rhythmic_command.asked(args)


# Parts.


def test_a_cut_clip_has_its_own_frames_and_sound():
    clip = fake_performances.clip("a", 20)
    part = cut(clip, 5, 12)
    assert len(part.frames) == len(part.times) == 7 and part.times[0] == 0
    np.testing.assert_array_equal(part.landmarks, clip.landmarks[5:12])
    np.testing.assert_array_equal(part.audio, clip.audio[5 * 640 : 12 * 640])
    assert len(cut(clip, 0, 99).times) == 20


def test_the_nearest_reference_is_that_of_a_search():

    rng = np.random.default_rng(0)
    references, head = rng.normal(size=(5, 6)), rng.normal(size=(7, 6))
    data = shots.Config(path="", matcher="rotation")
    found = rhythmic_rendering.nearest(references, head, data)
    apart = np.abs(references[None, :, :3] - head[:, None, :3]).mean(-1)
    np.testing.assert_array_equal(found, apart.argmin(1))


def test_sound_of_clips_is_read_at_its_rate():
    assert records.AUDIO_RATE == 16000
    np.testing.assert_array_equal(
        takes.as_integers(takes.as_floats(np.int16([0, 5, -7]))), [0, 5, -7]
    )
    with pytest.raises(InputError):
        takes.Config(path="", fps=7.0)
