import jax
import numpy as np
import pytest

from facejax import landmark_basis, performance
from facejax.audio import chunks as sound
from facejax.data import performances, records
from facejax.errors import InputError
from tests import fake_performances
from tests.data import fake

SMALL = {"rate": 1000, "tau": 13, "frames": 6, "components": 4}


@pytest.fixture(scope="module")
def clips():
    return [fake_performances.clip("a", 40, seed=1), fake_performances.clip("b", 30, seed=2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, clips):
    return fake_performances.folder(tmp_path_factory.mktemp("talks"), {"train": clips})


def expressions(path, seed=0, rows=None, **changes):
    config = performances.ExpressionConfig(path=str(path), **SMALL | {"noise": ""} | changes)
    return performances.Expressions(config, seed, rows)


def motions(path, seed=0, rows=None, **changes):
    config = performances.Config(path=str(path), **SMALL | {"batch": 2} | changes)
    return performances.HeadMotions(config, seed, rows)


@pytest.mark.parametrize(
    ("make", "spec"),
    [(expressions, performances.expression_spec), (motions, performances.motion_spec)],
)
def test_a_batch_has_the_shapes_that_were_announced(folder, make, spec):
    source = make(folder)
    batch = source.load(0)
    announced = spec(source.config, source.given, source.config.batch)
    found = {name: (leaf.shape, leaf.dtype) for name, leaf in batch.items()}
    assert found == {name: (leaf.shape, leaf.dtype) for name, leaf in announced.items()}


def test_expressions_are_those_of_the_frame_that_is_heard(folder):
    source = expressions(folder)
    basis = source.given["landmarks"]
    assert basis["axes"].shape == (4, 204)
    for step in range(3):
        batch = source.load(step)
        draw = source.plan.draw(step)
        for row, (clip, frame) in enumerate(zip(draw.clip, draw.frames[:, 0], strict=True)):
            take = source.takes[clip]
            near = performances.as_floats(take.chunks[frame : frame + 7])
            np.testing.assert_allclose(batch["audio"][row], near.ravel())
            front, key = take.seen.fronts[frame], performance.key_frame(take.seen)
            due = (front - take.seen.fronts[key]).reshape(-1) @ basis["axes"].T
            np.testing.assert_allclose(batch["target"][row], due, atol=1e-2)


def test_sound_is_that_of_the_clip_at_another_rate(folder, clips):
    source = expressions(folder, rate=16000)
    take = source.takes[0]
    own = take.chunks[sound.AROUND : -sound.AROUND].ravel()
    np.testing.assert_allclose(own, clips[0].audio, atol=2)
    assert source.takes[0].chunks.shape == (46, 640)


def test_noise_lies_under_the_sound_at_6_to_30_db(folder):
    plain, noisy = expressions(folder), expressions(folder, noise="coloured")
    ratios = set()
    for step in range(20):
        one, other = plain.load(step)["audio"], noisy.load(step)["audio"]
        power = np.square(one).mean(1) / np.square(other - one).mean(1)
        ratios |= set(np.rint(10 * np.log10(power)).astype(int))
    assert ratios <= set(range(6, 31, 3)) and len(ratios) > 6
    assert not np.array_equal(noisy.load(0)["audio"], noisy.load(1)["audio"])


def test_loudness_is_drawn_from_the_gains(folder):
    plain, scaled = expressions(folder), expressions(folder, gains=(-6.0, 6.0))
    gains = set()
    for step in range(4):
        one, other = plain.load(step)["audio"], scaled.load(step)["audio"]
        gains |= set(np.rint(20 * np.log10(np.abs(other).max(1) / np.abs(one).max(1))))
    assert gains == {-6, 6}


def test_noises_are_read_from_files(tmp_path, folder):
    with pytest.raises(InputError, match="not there"):
        expressions(folder, noise=str(tmp_path / "none"))
    with pytest.raises(InputError, match="no sound"):
        expressions(folder, noise=str(tmp_path))


def test_a_basis_from_a_file_takes_the_place_of_the_clips_own(tmp_path, folder):
    source = expressions(folder)
    table = {k: v for k, v in source.given["landmarks"].items() if k != "usual"}
    basis = landmark_basis.LandmarkBasis(**table)
    smaller = basis._replace(axes=basis.axes[:2], deviations=basis.deviations[:2])
    landmark_basis.save(tmp_path / "b.npz", smaller)
    other = expressions(folder, landmarks=str(tmp_path / "b.npz"))
    assert other.load(0)["target"].shape == (4, 2)


def test_a_reference_and_what_follows_it_are_one_stretch(folder):
    source = motions(folder)
    table = source.given["head_motion"]
    for step in range(2):
        batch, draw = source.load(step), source.plan.draw(step)
        for row, (clip, frames) in enumerate(zip(draw.clip, draw.frames, strict=True)):
            take, first = source.takes[clip], frames[0]
            smooth = performance.smoothed(take.seen.motion, 11)
            due = performances.normalised(smooth, table)[first : first + 19]
            found = np.concatenate([batch["known_motion"][row], batch["motion"][row]])
            np.testing.assert_allclose(found, due, atol=1e-6)
            heard = performances.as_floats(take.chunks[first : first + 25])
            np.testing.assert_array_equal(batch["known_chunks"][row], heard[:19])
            np.testing.assert_array_equal(batch["chunks"][row], heard[13:])


def test_motions_are_normalised_with_the_clips_numbers_or_the_published(folder):
    source = motions(folder)
    table = source.given["head_motion"]
    rows = np.concatenate([performance.smoothed(one.seen.motion, 11) for one in source.takes])
    np.testing.assert_allclose(table["mean"], rows.mean(0), rtol=1e-3, atol=1e-4)
    back = performances.denormalised(performances.normalised(rows, table), table)
    np.testing.assert_allclose(back, rows, atol=1e-3)
    published = motions(folder, statistics="published").given["head_motion"]
    np.testing.assert_allclose(published["std"], performances.PUBLISHED_STD, rtol=1e-6)


@pytest.mark.parametrize("late", [0, 1])
def test_a_part_of_smoothed_sound_is_a_part_of_the_whole(late):
    chunks = np.random.default_rng(0).integers(-9, 9, (80, 3)).astype(np.int16)
    config = performances.Config(path="", late=late, smooth_sound=True)
    whole = performances.heard_as(config, chunks)
    for first, end in ((0, 20), (30, 41), (60, 74), (0, 74)):
        part = performances.heard_part(config, chunks, first, end)
        np.testing.assert_allclose(part, whole[first : end + 6], atol=1e-7)


def test_hosts_read_their_own_rows(folder):
    whole, half = motions(folder).load(3), motions(folder, rows=slice(1, 2)).load(3)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[1:2], b), whole, half)
    noisy = {"noise": "coloured"}
    whole = expressions(folder, **noisy).load(3)
    half = expressions(folder, rows=slice(2, 4), **noisy).load(3)
    np.testing.assert_array_equal(whole["audio"][2:], half["audio"])


def test_iterating_is_loading(folder):
    source = motions(folder)
    for step, batch in enumerate(source.iterate(1, 3, threads=2), 1):
        jax.tree.map(np.testing.assert_array_equal, batch, source.load(step))


def test_clips_of_other_rates_become_25_frames_a_second(tmp_path):
    clip = fake_performances.clip("a", 60, seed=1, fps=50)
    path = fake_performances.folder(tmp_path, {"train": [clip]})
    assert len(motions(path).takes[0].seen.motion) == 30


# What will not do.


def test_clips_without_sound_or_a_frontal_face_are_left_out(tmp_path, clips, caplog):
    away = clips[1]._replace(clip_id="away", landmarks=clips[1].landmarks[..., [2, 1, 0]])
    mute = clips[1]._replace(clip_id="mute", audio=np.zeros(0, np.int16))
    path = fake_performances.folder(tmp_path, {"train": [clips[0], away, mute]})
    source = expressions(path)
    assert [take.clip_id for take in source.takes] == ["a"]
    assert "mute" in caplog.text and "clip away has no frontal frame" in caplog.text


def test_no_clip_of_use_is_refused(tmp_path, clips):
    mute = clips[0]._replace(audio=np.zeros(0, np.int16))
    path = fake_performances.folder(tmp_path / "mute", {"train": [mute]})
    with pytest.raises(InputError, match="both sound and a face"):
        motions(path)
    away = clips[1]._replace(landmarks=clips[1].landmarks[..., [2, 1, 0]])
    path = fake_performances.folder(tmp_path / "away", {"train": [away]})
    with pytest.raises(InputError, match="no frontal frame"):
        expressions(path)


def test_too_short_clips_are_refused_with_their_length(folder):
    with pytest.raises(InputError, match=r"no clip has 77 frames .* longest has 40"):
        motions(folder, tau=64, frames=13)


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
        performances.Config(path="", **changes)


def test_the_folder_gives_its_face_model(folder):
    given = motions(folder).given
    np.testing.assert_array_equal(given["morphable"].mean, fake.model_arrays()["mean"])
    assert records.open_clips(folder).ids == ["a", "b"]
