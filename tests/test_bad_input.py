"""Every wrong input is one line that names it and says what to do; nothing half-written stays.

Through the command line, as a user meets it. What is accepted (grayscale, RGBA) is here, too.
"""

import errno
import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from facejax import animator, cli, preprocess, video_writer
from facejax.data import records
from facejax.morphable_files import save_model
from tests.data import fake
from tests.fake_faces import FakeMesh, face_of, make_model, make_motion, points_of, write_video
from tests.fake_runs import make_workdir, stub_run

SIZE = (120, 160)
FRAMES = 12


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def face(model):
    return face_of(points_of(model, make_motion(1), SIZE)[0])


@pytest.fixture(scope="module")
def half(model):
    return face_of(points_of(model, make_motion(1), SIZE)[0] + [SIZE[1] / 2, 0, 0])


@pytest.fixture(scope="module")
def media(tmp_path_factory, model):
    """Good and bad files, by name."""
    folder = tmp_path_factory.mktemp("media")
    picture = np.full((*SIZE, 3), 90, np.uint8)
    cv2.imwrite(str(folder / "photo.png"), picture)
    cv2.imwrite(str(folder / "gray.png"), picture[..., 0])
    cv2.imwrite(str(folder / "rgba.png"), np.dstack([picture, picture[..., 0]]))
    cv2.imwrite(str(folder / "dot.png"), picture[:1, :1])
    cv2.imwrite(str(folder / "huge.png"), np.zeros((12000, 12000), np.uint8))
    (folder / "text.png").write_text("no image")
    (folder / "text.mp4").write_text("no video\n" * 50)
    tone = np.sin(np.arange(16000) / 5) / 2, 16000
    loud = write_video(folder / "loud.mp4", FRAMES, SIZE, audio=tone)
    write_video(folder / "silent.mp4", FRAMES, SIZE)
    write_video(folder / "single.mp4", 1, SIZE)
    whole = write_video(folder / "whole.mp4", 90, SIZE).read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "tail.mp4").write_bytes(loud.read_bytes()[:600])
    (folder / "empty.mp4").write_bytes(b"")
    save_model(folder / "face.npz", model)
    return folder


@pytest.fixture
def seen(monkeypatch, face):
    """What the detector sees: call it with the faces of the photo and of the driver's frames."""

    def set_faces(photo, driver):
        def make():
            return FakeMesh([photo, *[driver] * 99])

        monkeypatch.setattr(animator, "FaceMesh", make)
        monkeypatch.setattr(preprocess, "FaceMesh", lambda: FakeMesh([driver] * 99))

    set_faces([face], [face])
    return set_faces


@pytest.fixture
def run_animate(monkeypatch, model, media, tmp_path):
    """Runs `facejax animate` with a stub for the net; returns exit status."""
    stub = stub_run(model, 32)[0]
    monkeypatch.setattr(animator.runs, "load", lambda *_: stub)
    monkeypatch.setattr(animator.runs, "use_compile_cache", lambda: None)

    def run(reference="photo.png", driving="loud.mp4", *more, out="talk.mp4"):
        sources = ["--reference", str(media / reference), "--driving", str(media / driving)]
        place = ["--workdir", "w", "--out", str(tmp_path / out)]
        return cli.main(["animate", *sources, *place, *map(str, more)])

    return run


def error_line(capsys, *words):
    """Checks that standard error is one line with every word; returns it."""
    error = capsys.readouterr().err
    assert error.startswith("facejax: error: ") and error.count("\n") == 1, error
    for word in words:
        assert word in error, error
    return error


def nothing_in(folder):
    return not any(folder.iterdir())


@pytest.mark.parametrize(
    "reference,words",
    [
        ("dot.png", ("dot.png is 1x1 px", "at least 16x16 px")),
        ("huge.png", ("huge.png is 12000x12000 px", "64 megapixels", "shrink it")),
        ("text.png", ("text.png is not an image", "PNG, JPEG")),
        ("gone.png", ("no file", "gone.png")),
    ],
)
def test_a_wrong_image_is_refused(run_animate, seen, capsys, tmp_path, reference, words):
    assert run_animate(reference) == 2
    error_line(capsys, *words)
    assert nothing_in(tmp_path)


@pytest.mark.parametrize("reference", ["gray.png", "rgba.png"])
def test_grayscale_and_transparent_images_are_accepted(run_animate, seen, tmp_path, reference):
    assert run_animate(reference) == 0
    assert (tmp_path / "talk.mp4").stat().st_size > 0


@pytest.mark.parametrize(
    "driving,words",
    [
        ("text.mp4", ("text.mp4 is a text file",)),
        ("cut.mp4", ("cut.mp4 is cut short", "of its 90 frames", "download it again")),
        ("tail.mp4", ("tail.mp4 is cut short",)),
        ("empty.mp4", ("empty.mp4 is empty",)),
        ("single.mp4", ("single.mp4 has 1 frame", "at least 2", "longer video")),
        ("gone.mp4", ("no file", "gone.mp4")),
    ],
)
def test_a_wrong_video_is_refused(run_animate, seen, capsys, tmp_path, driving, words):
    assert run_animate("photo.png", driving) == 2
    error_line(capsys, *words)
    assert nothing_in(tmp_path)


@pytest.mark.parametrize("driving", ["text.mp4", "cut.mp4", "single.mp4", "empty.mp4"])
def test_preprocess_gives_the_same_reasons(media, seen, capsys, tmp_path, driving):
    arguments = ["--model", str(media / "face.npz"), "--out", str(tmp_path / "clips")]
    assert cli.main(["preprocess", str(media / driving), *arguments]) == 2
    error = capsys.readouterr().err
    assert "no clip could be used" in error and driving in error and error.count("\n") == 1
    reasons = json.loads((tmp_path / "clips" / "report.json").read_text())["sources"]
    assert driving in next(iter(reasons.values()))["skipped"][0]["reason"]


def test_the_first_frame_of_a_video_may_be_the_reference(run_animate, seen, tmp_path, face):
    seen([face], [face])
    assert run_animate("loud.mp4") == 0 and (tmp_path / "talk.mp4").exists()


def test_no_face_is_refused(run_animate, seen, capsys, tmp_path, face):
    seen([], [face])
    assert run_animate() == 2
    error_line(capsys, "photo.png shows no face", "give an upright face")
    seen([face], [])
    assert run_animate() == 2
    error_line(capsys, "loud.mp4 shows no face in all of its 12 frames")
    assert nothing_in(tmp_path)


def test_several_faces_in_the_photo_want_a_choice(run_animate, seen, capsys, tmp_path, face):
    seen([face, face], [face])
    assert run_animate() == 2
    error_line(capsys, "photo.png shows 2 faces", "--face N")
    assert nothing_in(tmp_path)
    assert run_animate("photo.png", "loud.mp4", "--face", 1) == 0


def test_several_faces_in_the_driver_are_a_warning(run_animate, seen, tmp_path, capsys, face):
    seen([face], [face, face])
    assert run_animate() == 0
    assert "shows 2 faces; the largest is followed" in capsys.readouterr().err


def test_a_face_half_out_of_the_frame_is_refused(run_animate, seen, capsys, tmp_path, face, half):
    seen([half], [face])
    assert run_animate() == 2
    error_line(capsys, "photo.png", "of the face lie outside")
    seen([face], [half])
    assert run_animate() == 2
    error_line(capsys, "loud.mp4", "cut by the frame's edge")
    assert nothing_in(tmp_path)


def test_a_silent_driver_works(run_animate, seen, tmp_path, capsys):
    assert run_animate("photo.png", "silent.mp4") == 0
    assert "silent" in capsys.readouterr().out


def test_sound_that_is_asked_for_must_be_there(run_animate, seen, capsys, tmp_path, media):
    assert run_animate("photo.png", "silent.mp4", "--audio", media / "silent.mp4") == 2
    error_line(capsys, "silent.mp4 has no sound", "--audio")
    assert nothing_in(tmp_path)


@pytest.mark.parametrize(
    "more,words",
    [
        (("--start", 3, "--end", 1), ("--start 3.0 --end 1.0",)),
        (("--start", 50), ("loud.mp4 has 0 frames from 50", "at least 2")),
        (("--chunk", 0), ("--chunk is 0",)),
        (("--paste-back", "--side-by-side"), ("exclude each other",)),
    ],
)
def test_wrong_options_are_refused(run_animate, seen, capsys, tmp_path, more, words):
    assert run_animate("photo.png", "loud.mp4", *more) == 2
    error_line(capsys, *words)
    assert nothing_in(tmp_path)


def test_a_video_without_a_driver_is_refused(tmp_path, media, capsys):
    sources = ["--reference", str(media / "photo.png"), "--workdir", "w"]
    assert cli.main(["animate", *sources, "--out", str(tmp_path / "talk.mp4")]) == 2
    error_line(capsys, "--driving is missing")


def test_an_unknown_option_is_refused_with_a_hint(run_animate, capsys):
    with pytest.raises(SystemExit) as end:
        run_animate("photo.png", "loud.mp4", "--frontalise")
    assert end.value.code == 2
    assert "--frontalise" in capsys.readouterr().err


@pytest.mark.parametrize(
    "out,words", [("no/such/talk.mp4", ("no folder", "mkdir -p")), ("talk.gif", ("must end in",))]
)
def test_a_wrong_output_place_is_refused(run_animate, seen, capsys, tmp_path, out, words):
    assert run_animate(out=out) == 2
    error_line(capsys, *words)
    assert nothing_in(tmp_path)


def test_a_missing_folder_for_clips_is_refused(media, seen, capsys, tmp_path):
    arguments = ["--model", str(media / "face.npz"), "--out", str(tmp_path / "no" / "clips")]
    assert cli.main(["preprocess", str(media / "loud.mp4"), *arguments]) == 2
    error_line(capsys, "no folder", "mkdir -p")


def test_a_full_disk_while_animating_leaves_nothing(
    run_animate, seen, capsys, tmp_path, monkeypatch
):
    written = []

    def write(self, image, time=None):
        written.append(time)
        if len(written) > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(video_writer.VideoWriter, "write", write)
    assert run_animate() == 2
    error_line(capsys, "cannot write", "talk.mp4", "disk is full", "free some space")
    assert nothing_in(tmp_path)


def test_an_old_output_outlives_a_failed_run(run_animate, seen, capsys, tmp_path):
    (tmp_path / "talk.mp4").write_text("old")
    assert run_animate("photo.png", "cut.mp4") == 2
    assert (tmp_path / "talk.mp4").read_text() == "old"


FULL = """
import resource, sys
import numpy as np
from facejax import cli, preprocess
from tests.fake_faces import FakeMesh, face_of, make_model, make_motion, points_of
face = face_of(points_of(make_model(), make_motion(1), (120, 160))[0])
preprocess.FaceMesh = lambda: FakeMesh([[face]])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(cli.main(["preprocess", *sys.argv[2:]]))
"""


@pytest.mark.parametrize("limit,place", [(2000, "model.npz"), (90000, "loud.array_record")])
def test_a_full_disk_while_preprocessing_is_one_line(media, tmp_path, limit, place):
    """A limit on the size of files: the system refuses to write on, as a full disk does."""
    arguments = [str(media / "loud.mp4"), "--out", str(tmp_path / "clips"), "--size", "128"]
    arguments += ["--model", str(media / "face.npz")]
    result = subprocess.run(
        [sys.executable, "-c", FULL, str(limit), *arguments], capture_output=True, text=True
    )
    assert result.returncode == 2, result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert "cannot write" in last and place in last and "Traceback" not in result.stderr
    left = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert left <= {"model.npz", "report.json"}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, model):
    return make_workdir(tmp_path_factory.mktemp("run") / "w", model)


def animate_with(workdir, media, out):
    sources = ["--reference", str(media / "photo.png"), "--driving", str(media / "loud.mp4")]
    return cli.main(["animate", *sources, "--workdir", str(workdir), "--out", str(out)])


def test_a_checkpoint_of_another_config_is_refused(workdir, media, seen, capsys, tmp_path):
    config = json.loads((workdir / "config.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    config["model"]["width"] = 3
    (other / "config.json").write_text(json.dumps(config))
    for name in ("model.npz", "checkpoints"):
        (other / name).symlink_to(workdir / name)
    assert animate_with(other, media, tmp_path / "talk.mp4") == 2
    error_line(capsys, "is of another model than the config")
    assert not (tmp_path / "talk.mp4").exists()


def test_an_unknown_key_in_the_runs_config_is_refused(workdir, media, seen, capsys, tmp_path):
    config = json.loads((workdir / "config.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    config["model"]["widht"] = 3
    (other / "config.json").write_text(json.dumps(config))
    (other / "model.npz").symlink_to(workdir / "model.npz")
    assert animate_with(other, media, tmp_path / "talk.mp4") == 2
    error_line(capsys, "model.widht is unknown", "did you mean", "width")


def test_an_unknown_config_key_is_refused_before_training(capsys, tmp_path):
    arguments = ["--config", "configs/headgan.py:smoke", "--workdir", str(tmp_path / "w")]
    assert cli.main(["train", *arguments, "--config.model.widht=3"]) == 2
    error_line(capsys, "model.widht is unknown", "did you mean", "width")
    assert nothing_in(tmp_path)


def test_a_missing_workdir_is_refused(media, seen, capsys, tmp_path):
    assert animate_with(tmp_path / "gone", media, tmp_path / "talk.mp4") == 2
    error_line(capsys, "no workdir", "gone", "facejax train")


def test_a_missing_landmark_model_says_how_to_get_it(run_animate, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEJAX_CACHE", str(tmp_path / "cache"))
    assert run_animate() == 2
    error_line(capsys, "face-mesh is missing", "facejax weights face-mesh")


def test_clips_of_another_face_model_are_refused(run_animate, seen, capsys, tmp_path, media):
    fake.folder(tmp_path / "clips")
    clip = records.open_clips(tmp_path / "clips", "test").ids[0]
    assert run_animate(tmp_path / f"clips:{clip}:0", tmp_path / f"clips:{clip}") == 2
    error_line(capsys, "another face model")
