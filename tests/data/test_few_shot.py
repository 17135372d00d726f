import dataclasses

import numpy as np
import pytest

from facejax.data import few_shot, records, shards, shots
from facejax.errors import InputError
from tests.data import fake

TAU, SIZE = 6, 16


def talk(name, frames=14, seed=0, valid=None):
    """A clip whose landmarks turn about the y axis as its pose says."""
    clip = fake.clip(name, frames, SIZE, seed)
    rng = np.random.default_rng(5)
    face = rng.normal(size=(70, 3)) * [4, 5, 3]
    turned = []
    for yaw in clip.pose[:, 1]:
        sin, cos = np.sin(yaw), np.cos(yaw)
        turned.append(face @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]) + 8)
    valid = clip.valid if valid is None else valid
    return clip._replace(landmarks=np.asarray(turned, np.float32), valid=valid)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("talks")
    for number, frames in enumerate((14, 9, 5)):
        name = f"clip-{number}"
        shards.write_shard(path, "train", name, [talk(name, frames, number)])
    np.savez(path / records.MODEL, **fake.model_arrays())
    shards.seal(path)
    return path


def config(folder, **options):
    base = {"path": str(folder), "size": SIZE, "references": 3, "tau": TAU, "batch": 3}
    return shots.Config(**base | options)


def source(folder, seed=1, **options):
    return few_shot.FewShots(config(folder, **options), seed)


def test_references_come_from_the_first_frames_and_the_target_from_the_rest(folder):
    found = source(folder)
    marks = np.concatenate([found._shot(clip).expression[:, 0] for clip in range(2)])
    frame = np.concatenate([np.arange(14), np.arange(9)])  # of each mark, which no other has
    where = lambda values: frame[np.abs(marks - np.asarray(values)[..., None]).argmin(-1)]
    for step in range(6):
        batch = found.load(step)
        assert np.all(where(batch["target_motion"]["expression"][:, 0]) >= TAU)
        assert np.all(where(batch["key_frame"]["expression"][:, 0]) < TAU)
        for chosen in where(batch["reference_motion"]["expression"][..., 0]):
            assert len(set(chosen)) == 3
            assert max(chosen) < TAU


@pytest.mark.parametrize("per_clip", [1, 4])
def test_the_batch_has_the_shapes_that_it_declares(folder, per_clip):
    found = source(folder, per_clip=per_clip)
    batch = found.load(0)
    spec = few_shot.batch_spec(found.config, found.given, 3)
    assert batch.keys() == spec.keys()
    for name, due in spec.items():
        inner = due.items() if isinstance(due, dict) else [(None, due)]
        for key, leaf in inner:
            value = batch[name] if key is None else batch[name][key]
            assert (value.shape, value.dtype) == (leaf.shape, np.float32), (name, key)


def test_a_batch_depends_on_seed_and_step_alone_and_hosts_share_it(folder):
    whole = source(folder).load(5)
    half = few_shot.FewShots(config(folder), 1, slice(1, 3)).load(5)
    np.testing.assert_array_equal(half["references"], whole["references"][1:])
    np.testing.assert_array_equal(half["matched"], whole["matched"][1:])
    other = source(folder, seed=2).load(5)
    assert not np.array_equal(other["references"], whole["references"])


def test_targets_in_order_of_their_clips_share_its_references(folder):
    one, many = source(folder), source(folder, per_clip=4)
    assert many.config.images == 12
    alone, together = one.load(2), many.load(2)
    clips = alone["target_motion"]["expression"][:, 0]  # a mark that no other frame has
    np.testing.assert_array_equal(together["target_motion"]["expression"][::4, 0], clips)
    np.testing.assert_array_equal(together["key_frame"]["image"], alone["key_frame"]["image"])
    shots = [many._shot(clip) for clip in range(2)]
    for row, key in enumerate(together["key_frame"]["expression"]):
        own = next(shot for shot in shots if np.allclose(shot.expression[shot.key], key))
        marks = together["target_motion"]["expression"][4 * row : 4 * row + 4, 0]
        assert set(marks) <= set(own.expression[TAU:, 0].astype(np.float32))
        assert together["matched"][4 * row : 4 * row + 4].max() < 3


def test_the_key_frame_is_the_most_frontal_one(folder):
    canonical = talk("x", 9).landmarks[0, :68]  # whose yaw is the least there is
    shot = shots.prepare(talk("x", 9), config(folder), canonical)
    assert shot.key == int(np.argmin(np.abs(shot.pose[:TAU, 1] - shot.pose[0, 1])))
    np.testing.assert_allclose(shot.head[0], 0, atol=1e-3)


def test_training_warps_the_worst_reference_as_often_as_asked(folder):
    for worst, due in ((1.0, True), (0.0, False)):
        found = source(folder, worst=worst, batch=6)
        hits = []
        for step in range(4):
            batch = found.load(step)
            for row in range(6):
                angles = batch["reference_motion"]["pose"][row, :, 1]
                away = np.abs(angles - batch["target_motion"]["pose"][row, 1])
                hits.append(int(batch["matched"][row]) == int(np.argmax(away)))
        assert (np.mean(hits) > 0.9) == due, np.mean(hits)


def test_fine_tuning_takes_targets_from_the_reference_video(folder):
    found = source(folder, targets="references", clips="clip-2", references=2)
    assert found.plan.epoch_end(1) * 3 >= 3
    batch = found.load(0)
    for row in range(3):
        target = batch["target_motion"]["pose"][row, 1]
        assert np.abs(batch["reference_motion"]["pose"][row, :, 1] - target).min() > 1e-6


def test_clips_that_end_with_their_reference_video_are_refused(folder):
    with pytest.raises(InputError, match="no clip goes on after the 14 frames"):
        source(folder, tau=14)


def test_a_reference_video_with_too_few_faces_is_refused_by_name(folder):
    valid = np.arange(14) % 4 == 0
    with pytest.raises(InputError, match="clip hidden shows a face in 2 of the 6 frames"):
        shots.prepare(talk("hidden", valid=valid), config(folder), np.zeros((68, 3)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"references": 9}, "data.references is 9 and data.tau 6"),
        ({"matcher": "looks"}, "data.matcher is 'looks'; due: motion or rotation"),
        ({"worst": 1.5}, "data.worst is 1.5; due: 0 to 1"),
        ({"targets": "any"}, "data.targets is 'any'"),
    ],
)
def test_numbers_out_of_range_are_refused(folder, options, message):
    with pytest.raises(InputError, match=message):
        config(folder, **options)


def test_a_part_of_the_clip_may_be_its_reference_video(folder):
    part = dataclasses.replace(config(folder), tau_part=0.25)
    assert shots.reference_end(10, 50, part) == 20
    assert shots.reference_end(10, 50, config(folder)) == 16
    assert shots.reference_end(10, 13, config(folder)) == 13
