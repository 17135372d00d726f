import numpy as np
import pytest

from facejax.audio import chunks as sound
from facejax.data import takes
from facejax.errors import InputError
from tests import fake_performances


def opened(path, *clips, **changes):
    folder = fake_performances.folder(path, {"train": clips})
    return takes.open_takes(takes.Config(path=str(folder), **{"rate": 1000} | changes))


def test_sound_is_that_of_the_clip_at_another_rate(tmp_path):
    clip = fake_performances.clip("a", 40, seed=1)
    take = opened(tmp_path, clip, rate=16000)[0]
    own = take.chunks[sound.AROUND : -sound.AROUND].ravel()
    np.testing.assert_allclose(own, clip.audio, atol=2)
    assert take.chunks.shape == (46, 640)


def test_clips_of_other_rates_become_25_frames_a_second(tmp_path):
    take = opened(tmp_path, fake_performances.clip("a", 60, seed=1, fps=50))[0]
    assert len(take.seen.motion) == 30


def test_clips_without_sound_are_left_out_and_named(tmp_path, caplog):
    clip, other = fake_performances.clips()
    mute = other._replace(clip_id="mute", audio=np.zeros(0, np.int16))
    assert [take.clip_id for take in opened(tmp_path, clip, mute)] == ["a"]
    assert "mute" in caplog.text


def test_no_clip_with_sound_and_a_face_is_refused(tmp_path):
    mute = fake_performances.clip("a", 40)._replace(audio=np.zeros(0, np.int16))
    with pytest.raises(InputError, match="both sound and a face"):
        opened(tmp_path, mute)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"identity": "own"}, "data.identity"),
        ({"statistics": "mine"}, "data.statistics"),
        ({"tau": 12}, "data.tau is 12; due: 13"),
        ({"frames": 1}, "data.frames"),
        ({"fps": 30.0}, "whole number"),
        ({"fps": 0.0}, "data.fps"),
        ({"span": (0.5, 0.5)}, "span"),
    ],
)
def test_numbers_out_of_range_are_refused(changes, told):
    with pytest.raises(InputError, match=told):
        takes.Config(path="", **changes)
