import numpy as np
import pytest

from facejax import performance
from facejax.data import head_motions, takes
from tests import fake_performances


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("talks")
    return fake_performances.folder(path, {"train": fake_performances.clips()})


def test_a_reference_and_what_follows_it_are_one_stretch(folder):
    source = fake_performances.head_motions(folder)
    table = source.given["head_motion"]
    for step in range(2):
        batch, draw = source.load(step), source.plan.draw(step)
        for row, (clip, frames) in enumerate(zip(draw.clip, draw.frames, strict=True)):
            take, first = source.takes[clip], frames[0]
            smooth = performance.smoothed(take.seen.motion, 11)
            due = head_motions.normalised(smooth, table)[first : first + 19]
            found = np.concatenate([batch["known_motion"][row], batch["motion"][row]])
            np.testing.assert_allclose(found, due, atol=1e-6)
            heard = takes.as_floats(take.chunks[first : first + 25])
            np.testing.assert_array_equal(batch["known_chunks"][row], heard[:19])
            np.testing.assert_array_equal(batch["chunks"][row], heard[13:])


def test_motions_are_normalised_with_the_clips_numbers_or_the_published(folder):
    source = fake_performances.head_motions(folder)
    table = source.given["head_motion"]
    rows = np.concatenate([performance.smoothed(one.seen.motion, 11) for one in source.takes])
    np.testing.assert_allclose(table["mean"], rows.mean(0), rtol=1e-3, atol=1e-4)
    back = head_motions.denormalised(head_motions.normalised(rows, table), table)
    np.testing.assert_allclose(back, rows, atol=1e-3)
    published = fake_performances.head_motions(folder, statistics="published").given["head_motion"]
    np.testing.assert_allclose(published["std"], head_motions.PUBLISHED_STD, rtol=1e-6)


def test_head_motion_may_be_counted_from_the_mean_of_the_reference(folder):
    usual, centred = (fake_performances.head_motions(folder, centre=c) for c in takes.CENTRES)
    for step in range(2):
        one, two = usual.load(step), centred.load(step)
        np.testing.assert_allclose(two["known_motion"].mean(1), 0, atol=1e-5)
        for name in ("known_motion", "motion"):
            due = one[name] - one["known_motion"].mean(1, keepdims=True)
            np.testing.assert_allclose(two[name], due, atol=1e-5)
    table, motion = centred.given["head_motion"], centred.takes[0].seen.motion
    for away in (0, 7.0):  # a person who looks to another side is the same person
        own = head_motions.own_table(motion + away, centred.config, table)
        known = head_motions.known_motion(motion + away, centred.config, own)
        np.testing.assert_allclose(known.mean(0), 0, atol=1e-4)
        smooth = performance.smoothed(motion, 11)
        np.testing.assert_allclose(head_motions.denormalised(known, own), smooth + away, atol=1e-3)


@pytest.mark.parametrize("late", [0, 1])
def test_a_part_of_smoothed_sound_is_a_part_of_the_whole(late):
    chunks = np.random.default_rng(0).integers(-9, 9, (80, 3)).astype(np.int16)
    config = takes.Config(path="", late=late, smooth_sound=True)
    whole = head_motions.heard_as(config, chunks)
    for first, end in ((0, 20), (30, 41), (60, 74), (0, 74)):
        part = head_motions.heard_part(config, chunks, first, end)
        np.testing.assert_allclose(part, whole[first : end + 6], atol=1e-7)
