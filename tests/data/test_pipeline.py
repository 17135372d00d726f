import jax
import numpy as np
import pytest

from facejax.data import batches, pipeline, records
from facejax.errors import InputError
from tests.data import fake


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(fake.folder(tmp_path_factory.mktemp("clips"), (12, 9, 14), size=16))


def options(folder, **changes):
    small = {"batch": 2, "size": 8, "part_frames": 4, "windows": (2,), "audio": "null"}
    return pipeline.Config(path=folder, **small | changes)


def make(folder, **changes):
    return pipeline.Pipeline(options(folder, **changes), seed=3)


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_batch_has_the_shapes_and_ranges_of_the_contract(folder):
    batch = make(folder).load(0)
    shapes = {name: leaf.shape for name, leaf in batches.flatten(batch)}
    assert shapes == {
        "reference": (2, 8, 8, 3),
        "target": (2, 8, 8, 3),
        "reference_motion/identity": (2, 4),
        "reference_motion/expression": (2, 3),
        "reference_motion/pose": (2, 6),
        "driving_motion/identity": (2, 3, 4),
        "driving_motion/expression": (2, 3, 3),
        "driving_motion/pose": (2, 3, 6),
        "landmarks": (2, 70, 2),
        "audio": (2, 84),
    }
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(batch))
    assert -1 <= batch["target"].min() < batch["target"].max() <= 1


def test_images_motion_and_landmarks_are_of_the_same_frame(folder):
    config = options(folder, size=16)
    shot = pipeline.footage(fake.clip("clip-0", 12), config)
    row = pipeline.example(shot, np.array([4, 5, 6]), 2, config)
    clip = fake.clip("clip-0", 12)
    np.testing.assert_array_equal(row["driving_motion"]["pose"], clip.pose[4:7])
    np.testing.assert_array_equal(row["landmarks"], clip.landmarks[6, :, :2])
    due = records.decode_frame(clip.frames[6]) / 127.5 - 1
    np.testing.assert_allclose(row["target"], due, atol=1e-6)


def test_landmarks_and_images_shrink_together(folder):
    clip = fake.clip("clip-0", 12)
    shot = pipeline.footage(clip, options(folder, size=8))
    np.testing.assert_allclose(shot.landmarks, clip.landmarks[..., :2] / 2)
    large = records.decode_frame(clip.frames[0]).astype(float)
    due = large.reshape(8, 2, 8, 2, 3).mean((1, 3))
    image = (pipeline.image_of(clip.frames[0], 8) + 1) * 127.5
    np.testing.assert_allclose(image, due, atol=0.51)  # rounded to 8 bits


def test_the_identity_is_the_references_or_each_frames_own(folder):
    clip = fake.clip("clip-0", 12)
    clip = clip._replace(identity=np.arange(48, dtype=np.float32).reshape(12, 4))
    for source, due in (("reference", [2, 2, 2]), ("frame", [4, 5, 6])):
        config = options(folder, size=8, id_source=source)
        row = pipeline.example(pipeline.footage(clip, config), np.array([4, 5, 6]), 2, config)
        np.testing.assert_array_equal(row["driving_motion"]["identity"], clip.identity[due])
        np.testing.assert_array_equal(row["reference_motion"]["identity"], clip.identity[2])


def test_iterating_from_any_step_equals_loading_it(folder):
    one, two = make(folder), make(folder)
    for step, batch in enumerate(one.iterate(3, 6), start=3):
        assert_same(batch, two.load(step))


def test_hosts_share_a_batch_by_rows(folder):
    whole = make(folder, batch=4).load(5)
    parts = [
        pipeline.Pipeline(options(folder, batch=4), 3, slice(k, k + 2)).load(5) for k in (0, 2)
    ]
    assert_same(jax.tree.map(lambda *p: np.concatenate(p), *parts), whole)


def test_the_span_bounds_targets_and_references(folder):
    shot = pipeline.footage(
        fake.clip("clip-0", 12), options(folder, size=8, span=(0.5, 1), references=3)
    )
    assert shot.references.min() >= 6
    plan = make(folder, span=(0.5, 1.0), part_frames=0).plan
    lengths = [12, 9]
    for step in range(20):
        draw = plan.draw(step)
        assert all(f[0] >= lengths[c] // 2 for c, f in zip(draw.clip, draw.frames, strict=True))


def test_an_invalid_target_gives_way_to_a_valid_frame(tmp_path):
    from facejax.data import shards

    valid = np.zeros(6, bool)
    valid[2] = True
    clip = fake.clip("x", 6)._replace(valid=valid)
    shards.write_shard(tmp_path, "train", "x", [clip])
    np.savez(tmp_path / records.MODEL, **fake.model_arrays())
    shards.seal(tmp_path)
    batch = make(str(tmp_path), size=16, batch=1).load(0)
    due = pipeline.image_of(clip.frames[2], 16)
    np.testing.assert_array_equal(batch["target"][0], due)
    np.testing.assert_array_equal(batch["reference"][0], due)


def test_clips_are_chosen_by_id_or_pattern(folder):
    assert make(folder, clips="clip-1").numbers == [1]
    assert make(folder, clips="clip-1,clip-0").numbers == [0, 1]
    assert make(folder, clips="clip-*").numbers == [0, 1]
    with pytest.raises(InputError, match="'nobody'; there are: clip-0"):
        make(folder, clips="nobody")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio": "mfcc"}, "audio is 'mfcc'; due: lowlevel"),
        ({"id_source": "x"}, "id_source"),
        ({"batch": 0}, "batch is 0"),
        ({"windows": ()}, "windows"),
        ({"span": (0.5, 0.5)}, "span"),
        ({"frames": 30}, "no clip has 30 frames"),
        ({"mask": True}, "no foreground masks"),
    ],
)
def test_a_wrong_option_is_named(folder, changes, message):
    with pytest.raises(InputError, match=message):
        next(make(folder, **changes).iterate(0, 1))


def test_an_input_error_while_running_reaches_the_caller(folder, monkeypatch):
    source = make(folder)
    load = source.load

    def fail_at_two(step):
        if step == 2:
            raise InputError("clip lost")
        return load(step)

    monkeypatch.setattr(source, "load", fail_at_two)
    with pytest.raises(InputError, match="clip lost"):
        list(source.iterate(0, 5))


def test_speech_features_are_those_of_the_frames_own_time(folder):
    clip = fake.clip("clip-0", 50)
    loud = clip.audio * (np.arange(len(clip.audio)) > len(clip.audio) // 2)  # from frame 25 on
    clip = clip._replace(audio=loud.astype(np.int16))
    energy = {
        name: pipeline.footage(clip, options(folder, audio=name)).audio[:, 1]
        for name in ("lowlevel", "lowlevel_ahead", "null")
    }
    first = {name: int(np.argmax(values > 1e-6)) for name, values in energy.items()}
    assert first["lowlevel"] in (21, 22) and first["lowlevel_ahead"] in (17, 18)
    assert not energy["null"].any() and energy["lowlevel"].shape == (50,)


def test_the_mask_is_the_union_of_target_and_reference(folder):
    clip = fake.clip("clip-0", 4)
    masks = np.zeros((4, 16, 16), np.uint8)
    masks[0, :, :4], masks[3, :, 8:] = 255, 255
    clip = clip._replace(mask=[records.encode_frame(m) for m in masks])
    config = options(folder, size=8, mask=True)
    row = pipeline.example(pipeline.footage(clip, config), np.array([1, 2, 3]), 0, config)
    np.testing.assert_array_equal(row["mask"][0, :, 0], [1, 1, 0, 0, 1, 1, 1, 1])


def test_a_batch_survives_flattening(folder):
    batch = make(folder).load(1)
    names, leaves = zip(*batches.flatten(batch), strict=True)
    assert_same(batches.unflatten(names, leaves), batch)
