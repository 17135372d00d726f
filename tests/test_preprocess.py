import itertools
import json

import numpy as np
import pytest

from facejax import cli, crops, preprocess, recordings, weights
from facejax.data import records
from facejax.errors import InputError
from facejax.media import exact
from facejax.morphable_files import save_model
from tests.fake_faces import FakeMesh, face_of, make_model, make_motion, points_of, write_video

SIZE = (180, 240)
FRAMES = 30
TONE = 0.5 * np.sin(np.arange(32000) / 5), 16000


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def motion():
    return make_motion(FRAMES)


@pytest.fixture(scope="module")
def points(model, motion):
    return points_of(model, motion, SIZE)


@pytest.fixture(scope="module")
def footage(tmp_path_factory, model):
    """A folder with two people's videos, one of them silent, a broken file, and the face model."""
    folder = tmp_path_factory.mktemp("footage")
    for name in ("ann", "bob"):
        (folder / "in" / name).mkdir(parents=True)
    write_video(folder / "in" / "ann" / "one.mp4", FRAMES, SIZE, audio=TONE)
    write_video(folder / "in" / "bob" / "two.mp4", FRAMES, SIZE)
    (folder / "in" / "bob" / "notes.txt").write_text("no video")
    (folder / "broken.mp4").write_text("no video")
    save_model(folder / "face.npz", model)
    return folder


@pytest.fixture
def meshes(monkeypatch, points):
    """Every detector that is made, in order; each sees the same face again and again."""
    made = []

    def make():
        made.append(FakeMesh([[face_of(one)] for one in points] * 9))
        return made[-1]

    monkeypatch.setattr(preprocess, "FaceMesh", make)
    return made


def run(footage, out, *inputs, **options):
    arguments = [x for name, value in options.items() for x in (f"--{name}", str(value))]
    given = [str(footage / name) for name in inputs]
    model = ["--model", str(footage / "face.npz")]
    return cli.main(["preprocess", *given, "--out", str(out), "--size", "48", *model, *arguments])


def report(out):
    return json.loads((out / "report.json").read_text())


def files_of(folder):
    return {p.relative_to(folder): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_a_clip_holds_what_was_seen_and_heard(footage, tmp_path, meshes, model, motion, points):
    assert run(footage, tmp_path / "out", "in/ann/one.mp4", licence="CC0") == 0
    clips = records.open_clips(tmp_path / "out", "train")
    clip = clips[0]
    assert clips.ids == ["one"] and clip.licence == "CC0"
    assert (clip.fps_num, clip.fps_den) == (25, 1)
    np.testing.assert_allclose(clip.times, np.arange(FRAMES) / 25)
    np.testing.assert_allclose(clip.identity, motion["identity"], atol=0.05)
    np.testing.assert_allclose(clip.expression, motion["expression"], atol=0.05)
    np.testing.assert_allclose(clip.points, crops.to_crop(points, clip.box, 48), atol=1e-3)
    assert clip.valid.all() and len(clip.frames) == FRAMES
    assert records.decode_frame(clip.frames[7]).shape == (48, 48, 3)
    assert abs(len(clip.audio) - 1.2 * 16000) < 200
    heard, due = clip.audio[:19000] / 32767, TONE[0][:19000]
    assert np.corrcoef(heard, due)[0, 1] > 0.99
    np.testing.assert_array_equal(clip.source_size, SIZE)
    np.testing.assert_allclose(clips.model.mean, model.mean)
    assert (tmp_path / "out" / "contact.png").stat().st_size > 1000


def test_frames_show_the_box(footage, tmp_path, meshes):
    run(footage, tmp_path / "out", "in/ann/one.mp4")
    clip = records.open_clips(tmp_path / "out", "train")[0]
    frames = [records.decode_frame(frame) for frame in clip.frames]
    brightness = np.array([frame[..., 2].mean() for frame in frames])
    np.testing.assert_allclose(brightness, 40 + np.arange(FRAMES) * 7 % 150, atol=3)
    middle = (SIZE[1] / 2 - clip.box[0]) / (clip.box[2] - clip.box[0]) * 48  # where red begins
    red = frames[3][..., 0].astype(int) - frames[3][..., 1]
    assert red[:, : int(middle) - 2].min() > 30 > red[:, int(middle) + 3 :].max()


def test_a_second_run_does_nothing(footage, tmp_path, meshes, capsys):
    assert run(footage, tmp_path / "out", "in") == 0
    before, made = files_of(tmp_path / "out"), len(meshes)
    assert run(footage, tmp_path / "out", "in") == 0
    assert files_of(tmp_path / "out") == before
    assert len(meshes) == made  # not even the detector is loaded
    assert "2 videos (2 done before), 2 clips, 60 frames" in capsys.readouterr().out


def test_new_videos_join_the_folder(footage, tmp_path, meshes):
    run(footage, tmp_path / "out", "in/ann/one.mp4")
    calls = meshes[0].calls
    assert run(footage, tmp_path / "out", "in/ann/one.mp4", "in/bob/two.mp4") == 0
    clips = records.open_clips(tmp_path / "out", "train")
    assert clips.ids == ["one", "two"] and not len(clips[1].audio)
    assert meshes[1].calls == calls  # one video's worth


def test_a_run_that_was_cut_short_is_finished_by_the_next(footage, tmp_path, meshes, monkeypatch):
    """Killed after the first of two videos: the second run does only the other."""
    whole, record = preprocess._record, preprocess._record

    def cut(out, report, maker, recording, settings):
        if recording.name == "bob/two":
            raise KeyboardInterrupt
        record(out, report, maker, recording, settings)

    monkeypatch.setattr(preprocess, "_record", cut)
    assert run(footage, tmp_path / "out", "in") == 130
    monkeypatch.setattr(preprocess, "_record", whole)
    assert run(footage, tmp_path / "out", "in") == 0
    assert records.open_clips(tmp_path / "out", "train").ids == ["ann/one", "bob/two"]
    assert meshes[1].calls == FRAMES


def test_a_run_cut_short_before_sealing_is_sealed_by_the_next(
    footage, tmp_path, meshes, monkeypatch
):
    seal = preprocess.shards.seal
    monkeypatch.setattr(preprocess.shards, "seal", lambda out: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        run(footage, tmp_path / "out", "in")
    monkeypatch.setattr(preprocess.shards, "seal", seal)
    assert run(footage, tmp_path / "out", "in") == 0
    assert len(meshes) == 1
    assert len(records.open_clips(tmp_path / "out", "train")) == 2


def test_a_changed_video_or_setting_is_done_again(footage, tmp_path, meshes):
    path = write_video(tmp_path / "a.mp4", FRAMES, SIZE)
    run(footage, tmp_path / "out", path)
    write_video(tmp_path / "a.mp4", FRAMES - 4, SIZE)
    run(footage, tmp_path / "out", path)
    assert records.open_clips(tmp_path / "out", "train").lengths == [FRAMES - 4]
    run(footage, tmp_path / "out", path, end=0.4)
    assert records.open_clips(tmp_path / "out", "train").lengths == [10]


def test_long_videos_are_cut_into_parts_that_miss_no_frame(footage, tmp_path, meshes):
    path = write_video(tmp_path / "long.mp4", 2 * FRAMES, SIZE)  # 2.4 s
    assert run(footage, tmp_path / "out", path, part=1) == 0
    clips = records.open_clips(tmp_path / "out", "train")
    assert clips.ids == ["long_000", "long_001", "long_002"]
    assert clips.lengths == [20, 20, 20]
    assert clips.speakers == ["long"] * 3
    assert clips[1].times[0] == 0


def test_bad_clips_are_skipped_with_the_reason(footage, tmp_path, monkeypatch, points, capsys):
    path = write_video(tmp_path / "gap.mp4", 2 * FRAMES, SIZE)
    faces = [[face_of(one)] for one in points]
    # broken.mp4 is never looked at; then the second part of gap.mp4 has no face for ten frames
    script = [*faces, *faces[:10], *[[]] * 10, *faces[:10]]
    monkeypatch.setattr(preprocess, "FaceMesh", lambda: FakeMesh(script))
    assert run(footage, tmp_path / "out", "broken.mp4", path, part=1.2) == 0
    rows = report(tmp_path / "out")["sources"]
    assert rows["broken"]["clips"] == []
    assert "text file" in rows["broken"]["skipped"][0]["reason"]
    assert [clip["clip_id"] for clip in rows["gap"]["clips"]] == ["gap_000"]
    assert "no face at 1.60-1.96 s" in rows["gap"]["skipped"][0]["reason"]
    out = capsys.readouterr().out
    assert "2 videos (0 done before), 1 clips, 30 frames" in out and "2 skipped" in out
    assert out.count("skipped: ") == 2


def test_when_nothing_can_be_used_the_reason_is_the_error(footage, tmp_path, meshes, capsys):
    assert run(footage, tmp_path / "out", "broken.mp4") == 2
    error = capsys.readouterr().err
    assert "no clip could be used of 1 videos" in error and "text file" in error
    assert run(footage, tmp_path / "out", "broken.mp4") == 2  # and again


def test_a_folder_has_one_size_and_one_model(footage, tmp_path, meshes, capsys):
    run(footage, tmp_path / "out", "in/ann/one.mp4")
    assert run(footage, tmp_path / "out", "in/bob/two.mp4", size=64) == 2
    assert "another --size" in capsys.readouterr().err
    save_model(tmp_path / "face.npz", make_model(seed=4))
    assert run(footage, tmp_path / "out", "in/bob/two.mp4", model=tmp_path / "face.npz") == 2
    assert "another --model" in capsys.readouterr().err


def test_two_videos_of_one_name_are_refused(footage, tmp_path, meshes, capsys):
    (tmp_path / "other").mkdir()
    other = write_video(tmp_path / "other" / "one.mp4", FRAMES, SIZE)
    assert run(footage, tmp_path / "out", "in/ann/one.mp4", other) == 2
    assert "2 videos are called 'one'" in capsys.readouterr().err
    run(footage, tmp_path / "out", "in/ann/one.mp4")
    assert run(footage, tmp_path / "out", other) == 2
    assert "already" in capsys.readouterr().err


def test_a_strange_folder_is_not_written_into(footage, tmp_path, meshes, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert run(footage, tmp_path / "out", "in") == 2
    assert "holds other files" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / "thesis.txt"]


@pytest.mark.parametrize(
    "options,words",
    [({"size": 8}, "--size is 8"), ({"part": 0}, "--part is 0"), ({"end": 0}, "--end 0.0")],
)
def test_options_out_of_range_are_refused(footage, tmp_path, capsys, options, words):
    assert run(footage, tmp_path / "out", "in", **options) == 2
    assert words in capsys.readouterr().err


def test_recordings_are_called_by_file_and_by_place_in_a_folder(footage):
    found = recordings.find([footage / "in", footage / "broken.mp4"])
    assert [(r.name, r.speaker) for r in found] == [
        ("ann/one", "ann"), ("bob/two", "bob"), ("broken", "broken")
    ]  # fmt: skip
    assert recordings.find([footage / "in"], "eve")[1].speaker == "eve"
    assert len(recordings.find([footage / "in", footage / "in" / "ann" / "one.mp4"])) == 2


def test_missing_inputs_and_empty_folders_are_named(tmp_path):
    with pytest.raises(InputError, match=r"no file or folder .*gone"):
        recordings.find([tmp_path / "gone"])
    with pytest.raises(InputError, match="holds no video"):
        recordings.find([tmp_path])


@pytest.mark.parametrize("span", [(0, None), (3.3, None), (1, 100.1)])
@pytest.mark.parametrize("longest", [10, 60, 1000, 123.4 / 3])
def test_parts_cover_the_span_without_gap_or_overlap(span, longest):
    start, end = span
    made = recordings.parts(123.4, longest, start, end)
    assert float(made[0][0]) == start and made[-1][1] == (None if end is None else exact(end))
    assert all(one[1] == other[0] for one, other in itertools.pairwise(made))
    inner = [last - first for first, last in made if last is not None]
    assert all(length <= longest + 1e-9 for length in inner)
    assert len(made) == int(np.ceil(((end or 123.4) - start) / longest - 1e-9))


def test_real_footage_is_fitted_closely(real_data, tmp_path):
    """The first second of a real clip, with the real detector and the ready-made face model."""
    if "present" not in dict(weights.status())["face-mesh"]:
        pytest.skip("the landmark models are not installed: facejax weights face-mesh")
    arguments = ["--out", str(tmp_path / "out"), "--end", "1"]
    assert cli.main(["preprocess", str(real_data / "real" / "driving.mp4"), *arguments]) == 0
    clip = records.open_clips(tmp_path / "out", "train")[0]
    (row,) = report(tmp_path / "out")["sources"]["driving"]["clips"]
    assert len(clip.times) == 30 and clip.valid.all() and len(clip.audio) == 16000
    assert row["fit_residual"] < 0.01
    height = np.ptp(clip.points[..., 1], axis=1) / 256
    assert (height > 0.5).all() and (height < 0.7).all()  # the crop is 1.64 times the face
