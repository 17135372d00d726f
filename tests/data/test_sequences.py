import logging
import wave

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax import speakers
from facejax.audio import features, waveform, windows
from facejax.data import sequences, talks
from facejax.errors import InputError
from facejax.geometry.camera import camera_from_pose, project
from facejax.geometry.rotations import euler_to_matrix
from tests import fake_talks

SMALL = {"batch": 2, "frames": 8, "step": 3}


@pytest.fixture(scope="module")
def clips():
    return [
        fake_talks.clip("a", "ann", 40, seed=1),
        fake_talks.clip("b", "bob", 30, seed=2),
        fake_talks.clip("c", "ann", 20, seed=3),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, clips):
    return fake_talks.folder(tmp_path_factory.mktemp("talks"), {"train": clips})


def config(path, **changes):
    return sequences.Config(path=str(path), **SMALL | changes)


def make(path, seed=0, rows=None, **changes):
    return sequences.Sequences(config(path, **changes), seed, rows)


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def shapes(batch):
    return {name: (leaf.shape, np.dtype(leaf.dtype)) for name, leaf in batch.items()}


@pytest.mark.parametrize(
    ("changes", "channels"),
    [({}, 29), ({"frames": 16, "batch": 3, "speech": "mfcc"}, 26), ({"speech": "null"}, 29)],
)
def test_a_batch_has_the_shapes_that_were_announced(folder, changes, channels):
    source = make(folder, **changes)
    batch, frames, rows = source.load(0), source.config.frames, source.config.batch
    assert batch["speech"].shape == (rows, frames, 16, channels)
    assert batch["attributes"].shape == (rows, frames, 7 + 3)
    assert batch["identity"].shape == (rows, frames, 4) and batch["speaker"].shape == (rows,)
    assert shapes(sequences.batch_spec(source.config, source.given, rows)) == shapes(batch)
    assert batch["speech"].any() == (changes.get("speech") != "null")


def sequence_of(source, batch, row):
    """Which clip, and from which frame on, a row of a batch shows."""
    found = [
        (number, first)
        for number, values in enumerate(source._attributes)
        for first in range(len(values) - source.config.frames + 1)
        if np.array_equal(values[first : first + source.config.frames], batch["attributes"][row])
    ]
    assert len(found) == 1
    return found[0]


def test_speech_attributes_and_state_are_of_the_same_frames(folder, clips):
    source = make(folder)
    for step in range(4):
        batch = source.load(step)
        for row in range(2):
            number, first = sequence_of(source, batch, row)
            clip, near = clips[number], slice(first, first + 8)
            whole = features.speech_features(clip.audio / np.float32(32768), fps=25)
            np.testing.assert_allclose(batch["speech"][row], windows.windows(whole)[near])
            np.testing.assert_array_equal(batch["attributes"][row, :, 6], clip.blink[near])
            np.testing.assert_array_equal(batch["attributes"][row, :, 7:], clip.expression[near])
            np.testing.assert_array_equal(batch["state"][row], batch["attributes"][row, 0])
            mean = np.broadcast_to(clip.identity.mean(0), (8, 4))
            np.testing.assert_allclose(batch["identity"][row], mean, atol=1e-6)
            ids = list(source.given["speakers"]["ids"])
            assert ids[int(batch["speaker"][row])] == clip.speaker_id


def test_poses_are_normalised_with_all_of_their_speakers_training_frames(folder, clips):
    source = make(folder, span=(0.0, 0.5))
    table = source.given["speakers"]
    assert list(table["ids"]) == ["ann", "bob"]
    ann = np.concatenate([clips[0].pose[:20], clips[2].pose[:10]]).astype(np.float64)
    np.testing.assert_allclose(table["pose_mean"][0], ann.mean(0), rtol=1e-5)
    np.testing.assert_allclose(table["pose_std"][0], ann.std(0), rtol=1e-5)
    own = np.concatenate([source._attributes[0][:20, :6], source._attributes[2][:10, :6]])
    np.testing.assert_allclose(own.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(own.std(0), 1, atol=1e-4)
    back = speakers.denormalised(source._attributes[1][:, :6], table, 1)
    np.testing.assert_allclose(back, clips[1].pose, rtol=1e-4, atol=1e-4)


def test_an_epoch_visits_every_sequence_once(folder):
    source = make(folder, seed=5, batch=5)
    due = [(n, k) for n, length in enumerate((40, 30, 20)) for k in range(0, length - 7, 3)]
    steps = source.plan.epoch_end(1)
    assert steps == len(due) // 5 == 4
    batches = [source.load(step) for step in range(2 * steps)]
    seen = [sequence_of(source, batch, row) for batch in batches for row in range(5)]
    for epoch in (seen[:20], seen[20:]):
        assert len(set(epoch)) == 20 and set(epoch) < set(due)  # of 24, the last four are dropped
    assert seen[:20] != seen[20:]


def test_speech_is_seen_past_the_span_but_not_past_the_clip(folder):
    source = make(folder, span=(0.5, 1.0), clips="a", step=4)
    assert len(source.recordings) == 1
    whole = windows.windows(source.recordings[0].speech)
    for step in range(2):
        batch = source.load(step)
        for row in range(2):
            first = sequence_of(source, batch, row)[1]
            assert first >= 20
            np.testing.assert_array_equal(batch["speech"][row], whole[first : first + 8])
    assert whole[20, :8].any() and not whole[-1, 9:].any()


def test_each_frame_may_keep_its_own_identity(folder, clips):
    source = make(folder, identity="frame")
    batch = source.load(0)
    number, first = sequence_of(source, batch, 0)
    np.testing.assert_array_equal(batch["identity"][0], clips[number].identity[first : first + 8])


def test_iterating_from_any_step_equals_loading_it(folder):
    one, two = make(folder), make(folder)
    for step, batch in enumerate(one.iterate(11, 14), start=11):
        assert_same(batch, two.load(step))


def test_hosts_share_a_batch_by_rows(folder):
    whole = make(folder, batch=4).load(3)
    parts = [make(folder, batch=4, rows=slice(k, k + 2)).load(3) for k in (0, 2)]
    assert_same(jax.tree.map(lambda *p: np.concatenate(p), *parts), whole)


def test_frames_without_a_face_are_joined_and_sequences_of_many_are_left_out(tmp_path):
    clip = fake_talks.clip("a", frames=60)
    valid = np.ones(60, bool)
    valid[[5, 6]] = False
    valid[30:50] = False
    path = fake_talks.folder(tmp_path, {"train": [clip._replace(valid=valid)]})
    source = make(path, frames=20, step=1)
    assert [tuple(part)[1] for part in source.plan._parts] == list(range(13))  # two in twenty
    pose = source.recordings[0].pose
    third = clip.pose[4] + (clip.pose[7] - clip.pose[4]) / 3
    np.testing.assert_allclose(pose[5], third, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        source.given["speakers"]["pose_mean"][0], clip.pose[valid].mean(0), rtol=1e-4
    )


def test_another_frame_rate_interpolates_motion_and_speech(tmp_path, clips):
    slow = fake_talks.clip("slow", "ann", 30, seed=4, fps=20)
    path = fake_talks.folder(tmp_path, {"train": [clips[0], slow]})
    with pytest.raises(InputError, match=r"have 20, 25 frames a second.*data\.fps=20"):
        make(path)
    found = sequences.open_recordings(config(path, fps=40))
    assert [len(one.pose) for one in found] == [64, 60] and {one.fps for one in found} == {40.0}
    np.testing.assert_allclose(found[1].pose[::2], slow.pose, rtol=1e-5)
    np.testing.assert_allclose(found[1].blink[1], slow.blink[:2].mean(), rtol=1e-5)
    due = features.speech_features(slow.audio / np.float32(32768), fps=40)
    np.testing.assert_allclose(found[1].speech, due, atol=1e-6)


def test_a_silent_clip_is_left_out_and_named(tmp_path, caplog, clips):
    silent = fake_talks.clip("mute", "bob", 30, silent=True)
    path = fake_talks.folder(tmp_path / "some", {"train": [clips[0], silent]})
    with caplog.at_level(logging.WARNING):
        found = sequences.open_recordings(config(path))
    assert [one.clip_id for one in found] == ["a"] and "left out: mute" in caplog.text
    assert len(sequences.open_recordings(config(path, speech="null"))) == 2
    path = fake_talks.folder(tmp_path / "none", {"train": [silent]})
    with pytest.raises(InputError, match=r"no clip in .* has sound, and speech is needed"):
        make(path)


def test_short_clips_are_left_out_and_if_all_are_so_it_is_an_error(folder, caplog):
    with caplog.at_level(logging.WARNING):
        make(folder, frames=24)
    assert "1 of 3 clips are shorter than 24 frames" in caplog.text
    with pytest.raises(InputError, match=r"no clip has 128 frames .*the longest has 40"):
        make(folder, frames=128)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speech": "wav2vec"}, "data.speech is 'wav2vec'; due: one of mel"),
        ({"identity": "none"}, "data.identity is 'none'; due: clip or frame"),
        ({"batch": 0}, "data.batch is 0"),
        ({"frames": 10}, "data.frames is 10; due: a multiple of 4"),
        ({"step": 0}, "data.step is 0"),
        ({"fps": -1.0}, "data.fps is -1.0"),
        ({"span": (0.8, 0.2)}, "span"),
        ({"clips": "zoe"}, "no clip matches 'zoe'"),
        ({"split": "test"}, "no split 'test'"),
        ({"speech": "deepspeech"}, "no weights; give the path of output_graph.pb"),
    ],
)
def test_a_wrong_option_is_named(folder, changes, message):
    with pytest.raises(InputError, match=message):
        make(folder, **changes)


def test_features_in_the_cache_are_not_made_again(folder, tmp_path, monkeypatch, caplog):
    first = sequences.open_recordings(config(folder, cache=str(tmp_path / "kept")))
    with monkeypatch.context() as patch:
        patch.setattr(features, "speech_features", lambda *_, **__: pytest.fail("heard again"))
        again = sequences.open_recordings(config(folder, cache=str(tmp_path / "kept")))
    assert_same([one.speech for one in first], [one.speech for one in again])
    broken = next((tmp_path / "kept").iterdir())
    broken.write_bytes(broken.read_bytes()[:50])
    with caplog.at_level(logging.WARNING):
        mended = sequences.open_recordings(config(folder, cache=str(tmp_path / "kept")))
    assert "damaged" in caplog.text
    assert_same([one.speech for one in first], [one.speech for one in mended])


# FACIAL's own files.


@pytest.fixture(scope="module")
def facial(tmp_path_factory):
    path = tmp_path_factory.mktemp("facial")
    for seed, name in enumerate(("obama", "zoe")):
        np.savez(path / f"{name}.npz", **fake_talks.facial_arrays(seed=seed))
    return path


def test_files_in_facials_layout_are_read_one_speaker_a_file(facial):
    source = make(facial, speech="deepspeech")
    assert list(source.given) == ["speakers"] and sequences.splits(str(facial)) == ["train"]
    assert list(source.given["speakers"]["ids"]) == ["obama", "zoe"]
    assert source.given["speakers"]["fps"] == 30
    batch = source.load(0)
    assert batch["attributes"].shape == (2, 8, 71) and batch["identity"].shape == (2, 8, 0)
    number, first = sequence_of(source, batch, 1)
    arrays = fake_talks.facial_arrays(seed=number)
    np.testing.assert_array_equal(batch["speech"][1], arrays["deepspeech"][first : first + 8])
    np.testing.assert_array_equal(
        batch["attributes"][1, :, 6:], arrays["face"][first : first + 8, 6:]
    )
    one = make(facial / "zoe.npz", speech="deepspeech")
    assert list(one.given["speakers"]["ids"]) == ["zoe"]
    assert shapes(sequences.batch_spec(one.config, one.given, 2)) == shapes(one.load(0))


def test_facials_poses_show_the_same_place_in_the_picture(facial):
    face = fake_talks.facial_arrays(seed=0)["face"]
    pose = make(facial, speech="deepspeech").recordings[0].pose
    points = np.random.default_rng(0).normal(0, 80, (7, 3))  # mm
    for row in (0, 11):
        turn = np.asarray(euler_to_matrix(jnp.asarray(np.deg2rad(face[row, :3]))))
        moved = face[row, 3] / 100 * points @ turn.T  # px
        x, y = moved[:, 0] + face[row, 4] + 256, moved[:, 1] + face[row, 5]
        column, line = x, 512 - (y + 256) - 1  # of a pixel whose centre is a whole number
        camera = camera_from_pose(jnp.asarray(pose[row]), 512, 512)
        found = np.asarray(project(jnp.asarray(points, jnp.float32), camera))
        np.testing.assert_allclose(found[:, 0], column + 0.5, atol=2e-3)
        np.testing.assert_allclose(found[:, 1], line + 0.5, atol=2e-3)


def test_log_probabilities_sum_to_one(facial):
    rows = make(facial, speech="deepspeech_log").recordings[0].speech
    np.testing.assert_allclose(np.exp(rows).sum(1), 1, rtol=1e-5)
    logits = make(facial, speech="deepspeech").recordings[0].speech
    np.testing.assert_allclose(np.diff(rows, axis=1), np.diff(logits, axis=1), atol=1e-4)


def damage(arrays, name):
    face, speech = arrays["face"], arrays["deepspeech"]
    return {
        "rows": arrays | {"deepspeech": speech[:, 8]},
        "short": arrays | {"deepspeech": speech[:-1]},
        "columns": arrays | {"face": face[:, :70]},
        "nan": arrays | {"face": np.where(face > 2, np.nan, face)},
        "missing": {"face": face},
        "normalised": arrays | {"face": face - [0, 0, 0, 170] @ np.eye(4, 71, dtype="f4")},
        "text": arrays | {"face": np.full(face.shape, "x")},
    }[name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rows", r"has deepspeech \[40, 29\] and face \[40, 71\]; due: \[T, 16, 29\]"),
        ("short", r"has deepspeech \[39, 16, 29\]"),
        ("columns", r"face \[40, 70\]"),
        ("nan", "not finite"),
        ("missing", "is not a file in FACIAL's layout .*deepspeech"),
        ("normalised", "holds normalised poses .mean scale .*: they are a net's output"),
        ("text", "is not a file in FACIAL's layout"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, name, message):
    np.savez(tmp_path / "x.npz", **damage(fake_talks.facial_arrays(), name))
    with pytest.raises(InputError, match=message) as caught:
        make(tmp_path / "x.npz", speech="deepspeech")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_none_or_heard_in_another_way_is_refused(tmp_path, facial):
    (tmp_path / "x.npz").write_text("nothing")
    with pytest.raises(InputError, match="is not a file in FACIAL's layout"):
        make(tmp_path / "x.npz", speech="deepspeech")
    with pytest.raises(InputError, match=r"no file .*gone.npz"):
        make(tmp_path / "gone.npz", speech="deepspeech")
    with pytest.raises(InputError, match=r"holds features of deepspeech; set --config.data.speech"):
        make(facial)
    with pytest.raises(InputError, match="has no split 'test'"):
        make(facial, speech="deepspeech", split="test")
    with pytest.raises(InputError, match="FACIAL's files have 30"):
        make(facial, speech="deepspeech", fps=25.0)


def test_other_features_are_heard_from_the_sound_beside_a_file(tmp_path):
    np.savez(tmp_path / "x.npz", **fake_talks.facial_arrays())
    sound = np.random.default_rng(0).uniform(-0.3, 0.3, round(40 / 30 * 16000))
    with wave.open(str(tmp_path / "x.wav"), "wb") as file:
        file.setparams((1, 2, 16000, len(sound), "NONE", ""))
        file.writeframes((32767 * sound).astype("<i2").tobytes())
    one = make(tmp_path / "x.npz").recordings[0]
    heard = talks.make_ear("mel")(waveform.load(tmp_path / "x.wav"), np.arange(40) / 30)
    np.testing.assert_array_equal(one.speech, heard)


def test_poses_around_a_sequence_are_those_of_the_clip_with_zeros_beyond(folder):
    source = make(folder, frames=8, step=1)
    for step in range(6):
        batch, draw = source.load(step), source.plan.draw(step)
        for row, (clip, frames) in enumerate(zip(draw.clip, draw.frames, strict=True)):
            own = source._attributes[clip][:, :6]
            for k, t in enumerate(range(frames[0] - 8, frames[-1] + 8)):
                due = own[t] if 0 <= t < len(own) else np.zeros(6)
                np.testing.assert_array_equal(batch["around"][row, k], due)


def test_the_published_windows_come_out_as_they_went_in(real_data):
    path = real_data / "facial" / "deepspeech_windows_and_coefficients.npz"
    one = talks.from_facial(path, "deepspeech")
    with np.load(path) as file:
        np.testing.assert_array_equal(windows.windows(one.speech), file["deepspeech"])
    assert 800 < one.pose[:, 5].mean() < 2000  # mm, at four image widths
