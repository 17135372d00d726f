import types

import numpy as np
import pytest

from facejax import speakers
from facejax.errors import InputError


def recording(speaker, frames, seed, valid=None):
    rng = np.random.default_rng(seed)
    return types.SimpleNamespace(
        speaker_id=speaker,
        fps=25.0,
        pose=rng.normal(3, 2, (frames, 6)),
        blink=rng.uniform(0, 5, frames),
        expression=rng.normal(1, 1, (frames, 4)),
        identity=rng.normal(size=(frames, 2)),
        valid=np.ones(frames, bool) if valid is None else valid,
    )


@pytest.fixture
def table():
    return speakers.measure(
        [recording("zoë", 9, 0), recording("bob", 5, 1), recording("zoë", 4, 2)]
    )


def test_a_speakers_numbers_are_over_all_of_their_frames(table):
    assert table["ids"].tolist() == ["bob", "zoë"] and table["fps"] == 25
    both = [recording("zoë", 9, 0), recording("zoë", 4, 2)]
    pooled = lambda name: np.concatenate([getattr(one, name) for one in both])
    np.testing.assert_allclose(table["pose_mean"][1], pooled("pose").mean(0), rtol=1e-6)
    np.testing.assert_allclose(table["pose_std"][1], pooled("pose").std(0), rtol=1e-6)
    np.testing.assert_allclose(table["blink_mean"][1], pooled("blink").mean(), rtol=1e-6)
    np.testing.assert_allclose(table["expression_mean"][1], pooled("expression").mean(0), rtol=1e-5)
    assert all(value.dtype == np.float32 for name, value in table.items() if name != "ids")


def test_frames_without_a_face_do_not_count():
    valid = np.arange(9) < 4
    one = recording("a", 9, 0, valid)
    found = speakers.measure([one])
    np.testing.assert_allclose(found["pose_mean"][0], one.pose[:4].mean(0), rtol=1e-6)
    with pytest.raises(InputError, match="no frame of speaker a has a face"):
        speakers.measure([recording("a", 9, 0, ~np.ones(9, bool))])


def test_normalising_and_its_inverse(table):
    pose = np.random.default_rng(3).normal(size=(2, 7, 6))
    there = speakers.normalised(pose, table, 1)
    np.testing.assert_allclose(speakers.denormalised(there, table, 1), pose, atol=1e-6)
    mean = np.asarray(table["pose_mean"][1])
    np.testing.assert_allclose(speakers.normalised(mean, table, 1), 0, atol=1e-6)


def test_joined_statistics_are_those_of_everyone_together():
    clips = [recording("bob", 6, 1), recording("zoë", 6, 2)]
    clips[1].pose[:] += 4
    table = speakers.measure(clips)
    joined = speakers.joined(table, [table])
    assert joined["ids"].tolist() == ["bob", "zoë"] and joined["fps"] == 25
    for name in ("pose", "expression", "blink"):
        every = np.concatenate([getattr(clip, name) for clip in clips])
        for row in (0, 1):
            np.testing.assert_allclose(joined[f"{name}_mean"][row], every.mean(0), rtol=1e-5)
    every = np.concatenate([clip.pose for clip in clips])
    np.testing.assert_allclose(joined["pose_std"][0], every.std(0), rtol=1e-5)
    alone = [speakers.measure([clip]) for clip in clips]
    other = speakers.joined(alone[0], alone)
    np.testing.assert_allclose(other["pose_std"], joined["pose_std"][:1], rtol=1e-6)
    assert other["ids"].tolist() == ["bob"]


def test_a_head_that_never_moves_is_not_blown_up():
    one = recording("a", 9, 0)
    one.pose[:] = 4.0
    table = speakers.measure([one])
    assert (table["pose_std"] >= 1e-3).all()
    assert np.abs(speakers.normalised(one.pose + 1e-5, table, 0)).max() < 0.1


def test_ids_survive_as_numbers(table):
    numbers = speakers.as_numbers(table["ids"])
    assert numbers.dtype == np.uint32 and speakers.as_text(numbers) == ["bob", "zoë"]
    assert speakers.as_text(table["ids"]) == ["bob", "zoë"]
    assert speakers.as_numbers(table["pose_mean"]) is table["pose_mean"]


def test_a_speaker_is_found_or_those_known_are_named(table):
    frozen = {name: speakers.as_numbers(value) for name, value in table.items()}
    for known in (table, frozen):
        assert speakers.find(known, "zoë") == 1
        with pytest.raises(
            InputError, match="speaker 'ann' is unknown to the run; it knows: bob, zoë"
        ):
            speakers.find(known, "ann")
        with pytest.raises(InputError, match="the run knows 2 speakers; choose one of: bob, zoë"):
            speakers.find(known, None)
    assert speakers.find(speakers.measure([recording("bob", 5, 1)]), None) == 0
