import numpy as np
import pytest
import tensorflow_datasets as tfds

from facejax.data import records, shards
from facejax.errors import InputError
from tests.data import fake


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return fake.folder(tmp_path_factory.mktemp("clips"))


def assert_equal(a, b):
    for name in records.Clip._fields:
        left, right = getattr(a, name), getattr(b, name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype, name
        np.testing.assert_array_equal(left, right, err_msg=name)


def test_what_is_written_is_read_back_exactly(folder):
    clips = records.open_clips(folder, "train")
    assert clips.ids == ["clip-0", "clip-1"] and clips.lengths == [12, 9]
    assert_equal(clips[1], fake.clip("clip-1", 9, seed=1))


def test_tfds_opens_the_folder_and_reads_the_same(folder):
    row = tfds.builder_from_directory(str(folder)).as_data_source("test")[0]
    clip = records.open_clips(folder, "test")[0]
    np.testing.assert_array_equal(row["times"], clip.times)
    np.testing.assert_array_equal(row["audio"], clip.audio)
    assert len(row["frames"]) == len(clip.frames) and row["clip_id"] == b"clip-2"
    jpeg_difference = row["frames"][3].astype(int) - records.decode_frame(clip.frames[3])
    assert np.abs(jpeg_difference).max() <= 4  # two JPEG decoders


def test_a_silent_clip_has_no_samples(tmp_path):
    shards.write_shard(tmp_path, "train", "s", [fake.clip(silent=True)])
    np.savez(tmp_path / records.MODEL, **fake.model_arrays())
    shards.seal(tmp_path)
    assert records.open_clips(tmp_path)[0].audio.shape == (0,)
    assert len(tfds.builder_from_directory(str(tmp_path)).as_data_source("train")[0]["audio"]) == 0


def test_shards_can_be_added_after_sealing(tmp_path):
    fake.folder(tmp_path, (5, 6), test=0)
    before = records.open_clips(tmp_path)[1]
    shards.write_shard(tmp_path, "train", "more/of it", [fake.clip("x", 3), fake.clip("y", 4)])
    assert shards.seal(tmp_path) == {"train": 4}
    clips = records.open_clips(tmp_path)
    assert clips.ids == ["clip-0", "clip-1", "x", "y"]
    assert_equal(clips[1], before)
    assert shards.sources(tmp_path)["more/of it"] == "train"
    assert not list(tmp_path.glob("*-of-00002"))


def test_a_seal_cut_short_is_finished_by_the_next(tmp_path, monkeypatch):
    fake.folder(tmp_path, (5, 6), test=0)
    shards.write_shard(tmp_path, "train", "new", [fake.clip("x", 3)])
    with monkeypatch.context() as patch:
        patch.setattr(shards, "_survey", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            shards.seal(tmp_path)
    shards.seal(tmp_path)
    assert records.open_clips(tmp_path).ids == ["clip-0", "clip-1", "x"]


def test_a_failing_source_leaves_no_shard(tmp_path):
    def clips():
        yield fake.clip("x", 3)
        raise RuntimeError("decoder")

    with pytest.raises(RuntimeError):
        shards.write_shard(tmp_path, "train", "bad", clips())
    assert not list((tmp_path / "pending").iterdir()) and shards.sources(tmp_path) == {}


def test_the_index_is_made_when_missing(tmp_path):
    fake.folder(tmp_path, (5, 6), test=0)
    (tmp_path / records.INDEX).unlink()
    assert records.open_clips(tmp_path).lengths == [5, 6]
    assert (tmp_path / records.INDEX).is_file()


def test_clips_of_different_kinds_do_not_share_a_folder(tmp_path):
    shards.write_shard(tmp_path, "train", "a", [fake.clip(size=16)])
    shards.write_shard(tmp_path, "train", "b", [fake.clip("b", size=24)])
    with pytest.raises(InputError, match="clip b has"):
        shards.seal(tmp_path)


def test_a_clip_whose_lengths_disagree_is_refused():
    clip = fake.clip(frames=4)
    with pytest.raises(ValueError, match="blink"):
        records.example(clip._replace(blink=np.zeros(3, np.float32)))
    with pytest.raises(ValueError, match="3 frames"):
        records.example(clip._replace(frames=clip.frames[:3]))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "does not exist"),
        ("empty", "is empty"),
        ("file", "is a file"),
        ("other", "is not"),
    ],
)
def test_a_wrong_folder_is_named(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "readme").write_text("x")
    with pytest.raises(InputError, match=f"{name}.*{message}") as caught:
        records.open_clips(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_split_or_shard_is_named(tmp_path):
    fake.folder(tmp_path, (3,), test=0)
    with pytest.raises(InputError, match="no split 'test'; it has: train"):
        records.open_clips(tmp_path, "test")
    shard = next(tmp_path.glob("clips-train*"))
    shard.unlink()
    with pytest.raises(InputError, match=shard.name):
        records.open_clips(tmp_path)
    with pytest.raises(InputError, match="no clips to seal"):
        shards.seal(tmp_path / "nowhere")
