import dataclasses

import numpy as np
import pytest
import tensorflow_datasets as tfds

from facejax.data import records
from facejax.data.builders import synthetic as builder
from facejax.data.synthetic import dataset, expression, head
from facejax.errors import InputError

CONFIG = dataset.Config(size=48, identities=3, held_out=2, frames=4, clips=2, seed=7)


@pytest.fixture(scope="module")
def clips():
    return {split: list(dataset.clips(CONFIG, split)) for split in dataset.SPLITS}


def assert_same(a, b):
    for name in records.Clip._fields:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def test_every_clip_is_there_and_sound(clips):
    assert [len(clips[split]) for split in dataset.SPLITS] == [6, 4, 4]
    for clip in (clip for split in clips.values() for clip in split):
        records.example(clip)  # raises when lengths disagree
        assert records.decode_frame(clip.frames[0]).shape == (48, 48, 3)
        assert records.decode_mask(clip.mask[0]).shape == (48, 48)
        np.testing.assert_allclose(clip.times, np.arange(4) / 25)
        assert clip.audio.shape == (4 * 640,) and clip.valid.all()
    ids = [clip.clip_id for split in clips.values() for clip in split]
    assert len(set(ids)) == len(ids)


def test_the_same_seed_gives_the_same_bytes(clips):
    dataset.actor.cache_clear()
    assert_same(dataset.make_clip(CONFIG, "test", 1, 1), clips["test"][3])


def test_another_seed_gives_other_people(clips):
    other = dataset.make_clip(dataclasses.replace(CONFIG, seed=8), "train", 0, 0)
    assert np.abs(other.identity - clips["train"][0].identity).max() > 0.5
    assert other.frames != clips["train"][0].frames


def test_splits_share_nobody(clips):
    people = {}
    for split in dataset.SPLITS:
        people |= {clip.speaker_id: clip.identity[0] for clip in clips[split]}
    assert len(people) == 7
    table = np.stack(list(people.values()))
    distance = np.linalg.norm(table[:, None] - table, axis=-1)
    assert distance[~np.eye(7, dtype=bool)].min() > 1.0


def test_more_people_and_clips_leave_the_others_as_they_were(clips):
    more = dataclasses.replace(CONFIG, identities=9, held_out=5, clips=4)
    assert_same(dataset.make_clip(more, "train", 2, 1), clips["train"][5])


def test_clips_of_a_person_differ_in_motion_and_share_the_look(clips):
    one, other = clips["train"][:2]
    assert one.speaker_id == other.speaker_id
    np.testing.assert_array_equal(
        one.identity, np.broadcast_to(other.identity[0], one.identity.shape)
    )
    assert np.abs(one.pose - other.pose).max() > 0.01
    assert (one.audio != other.audio).any()
    images = [records.decode_frame(clip.frames[0]) for clip in (one, other)]
    masks = [records.decode_mask(clip.mask[0]) for clip in (one, other)]
    wall = (masks[0] == 0) & (masks[1] == 0)
    assert wall.any()
    np.testing.assert_array_equal(images[0][wall], images[1][wall])
    assert (images[0] != images[1]).any()


def test_landmarks_and_points_are_the_projected_face(clips):
    """Against the equations of the README, in plain numpy."""
    model, clip = head.model(), clips["validation"][1]
    for t in range(4):
        face = model.mean + np.tensordot(clip.identity[t], model.identity_basis, 1)
        face = face + np.tensordot(clip.expression[t], model.expression_basis, 1)
        (sp, sy, sr), (cp, cy, cr) = np.sin(clip.pose[t, :3]), np.cos(clip.pose[t, :3])
        about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        turned = face @ (about_z @ about_y @ about_x).T
        x, y, z = clip.pose[t, 3:]
        scale = 4 * 48 / z
        screen = scale * (turned + np.array([x, y, 0])) * [1, -1, -1] + np.array([24, 24, 0])
        np.testing.assert_allclose(clip.landmarks[t], screen[model.landmarks], atol=2e-3)
        np.testing.assert_allclose(clip.points[t], screen[model.points], atol=2e-3)


def test_coefficients_have_a_spread_of_about_one():
    config = dataclasses.replace(CONFIG, frames=25)
    rows = [dataset.performance(config, "train", n, 0).expression for n in range(24)]
    spread = np.std(np.concatenate(rows), axis=0)
    assert ((spread > 0.5) & (spread < 1.7)).all(), dict(zip(expression.NAMES, spread, strict=True))


@pytest.mark.parametrize("name", ["size", "frames", "identities", "held_out", "clips", "fps"])
def test_a_config_out_of_range_is_refused_by_name(name):
    with pytest.raises(InputError, match=f"{name} is 0; due: at least"):
        dataset.Config(**{name: 0})


def test_the_tfds_builder_writes_the_same_clips_and_the_model(clips, tmp_path):
    tiny = dataclasses.replace(CONFIG, identities=1, held_out=1, clips=1)
    config = builder.SyntheticConfig(name="tiny", data=tiny)
    made = builder.FacejaxSynthetic(
        data_dir=str(tmp_path), config=config, file_format="array_record"
    )
    made.download_and_prepare()
    opened = records.open_clips(made.data_dir, "validation")
    assert_same(opened[0], clips["validation"][0])
    np.testing.assert_array_equal(opened.model.mean, head.model().mean)
    row = tfds.builder_from_directory(made.data_dir).as_data_source("train")[0]
    np.testing.assert_array_equal(row["pose"], clips["train"][0].pose)
    frames = [records.decode_frame(frame) for frame in clips["train"][0].frames]
    np.testing.assert_array_equal(row["frames"], frames)  # lossless at this size
