"""The demo at its smallest: every stage runs, and the report says what the issue of it promises."""

import json

import av
import cv2
import pytest

from facejax import cli, demo
from facejax.data.synthetic import dataset

TINY = dataset.Config(size=32, identities=2, held_out=1, frames=6, seed=3)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    return out, demo.demo(out, "configs/headgan.py:smoke", ["--config.data.batch=4"], TINY)


def test_report_holds_the_figures_and_the_seconds_of_each_stage(made):
    out, report = made
    written = json.loads((out / "report.json").read_text())
    assert written == report
    for name in ("model", "warped", "copy_reference"):
        assert 0 < written[name]["l1"] < 255 and 0 < written[name]["psnr"] < 100
    assert set(written["seconds"]) == {"data", "train", "evaluate", "animate"}
    assert written["frame_count"] == TINY.held_out * (TINY.frames - 1)


def test_copying_is_measured_on_the_clip_itself(made):
    """The baseline's L1 is that of the first frame against each later one, by hand."""
    import numpy as np

    from facejax.data import records

    out, report = made
    clip = records.open_clips(out / "heads", "test")[0]
    frames = np.stack([records.decode_frame(f) for f in clip.frames]).astype(float)
    due = np.abs(frames[1:] - frames[:1]).mean()
    np.testing.assert_allclose(report["copy_reference"]["l1"], due, rtol=1e-4)


def test_video_and_picture_are_whole(made):
    out, _ = made
    with av.open(str(out / "demo.mp4")) as video:
        assert len(list(video.decode(video=0))) == TINY.frames
        assert video.streams.video[0].codec_context.name == "h264"
        assert video.streams.audio[0].codec_context.name == "aac"
    assert cv2.imread(str(out / "demo.png")).shape[1] > 6 * TINY.size


def test_a_missing_config_is_one_line_that_names_it(tmp_path, capsys):
    status = cli.main(["demo", "--out", str(tmp_path / "d"), "--config", "nothing.py"])
    err = capsys.readouterr().err
    assert status == 2 and err.count("\n") == 1 and "nothing.py" in err
