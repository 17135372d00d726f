import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from facejax.data import schedule
from facejax.geometry.rotations import euler_to_matrix


def make(parts=7, batch=2, windows=(2, 3), length=10, seed=0):
    rows = [schedule.Part(k, 5 * k, length) for k in range(parts)]
    return schedule.Schedule(rows, batch=batch, frames=3, windows=windows, seed=seed)


def test_parts_tile_a_clip_and_drop_its_tail():
    parts = schedule.cut([(3, 28), (0, 2), (4, 11)], part_frames=10, least=3)
    assert parts == [(0, 3, 10), (0, 13, 10), (2, 4, 7)]
    assert schedule.cut([(3, 28)], part_frames=0, least=3) == [(0, 3, 25)]


def test_an_epoch_visits_every_part_once_but_the_remainder():
    plan = make()
    for epoch in (0, 3):
        steps = range(plan.epoch_end(epoch), plan.epoch_end(epoch + 1))
        seen = [c for s in steps if plan.position(s).window == 0 for c in plan.draw(s).clip]
        assert len(seen) == len(set(seen)) == 6


def test_positions_count_up_without_gap():
    plan = make()
    due = [
        (e, b, w) for e, count in enumerate((2, 3, 3, 3)) for b in range(3) for w in range(count)
    ]
    assert [tuple(plan.position(s)) for s in range(len(due))] == due
    assert plan.epoch_end(4) == len(due)


def test_windows_of_one_batch_slide_by_one_frame_and_share_the_reference():
    plan = make(windows=(4,))
    draws = [plan.draw(s) for s in range(4)]
    for before, after in itertools.pairwise(draws):
        np.testing.assert_array_equal(after.frames, before.frames + 1)
        np.testing.assert_array_equal(after.reference, before.reference)
    assert not np.array_equal(plan.draw(4).clip, draws[0].clip)


def test_windows_stay_inside_their_part():
    plan = make(windows=(8, 20), length=10)
    for step in range(plan.epoch_end(3)):
        draw = plan.draw(step)
        assert (draw.frames[:, 0] >= 5 * draw.clip).all()
        assert (draw.frames[:, -1] < 5 * draw.clip + 10).all()


def test_every_start_occurs():
    plan = make(parts=1, batch=1, windows=(1,), length=6)
    assert {int(plan.draw(s).frames[0, 0]) for s in range(100)} == {0, 1, 2, 3}


def test_the_draw_is_a_pure_function_of_seed_and_step():
    one, two, other = make(), make(), make(seed=1)
    for step in (25, 3, 11):  # in any order
        for a, b in zip(one.draw(step), two.draw(step), strict=True):
            np.testing.assert_array_equal(a, b)
    assert any(not np.array_equal(one.draw(s).clip, other.draw(s).clip) for s in range(6))


def test_fewer_parts_than_the_batch_holds_repeat():
    plan = make(parts=3, batch=8)
    assert plan.draw(0).clip.shape == (8,) and set(plan.draw(0).clip) == {0, 1, 2}


def test_references_are_spread_over_the_yaw_when_only_yaw_moves():
    pose = np.zeros((40, 6), np.float32)
    pose[:, 1] = np.random.default_rng(0).permutation(np.linspace(0.1, 0.9, 40))
    found = schedule.references(pose, np.ones(40, bool), 8)
    yaw = pose[found, 1]
    assert len(found) == 8 and (np.all(np.diff(yaw) > 0) or np.all(np.diff(yaw) < 0))
    np.testing.assert_allclose(sorted(yaw[[0, -1]]), [0.1, 0.9])


def test_references_are_valid_frames():
    valid = np.arange(30) % 3 == 0
    pose = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    assert valid[schedule.references(pose, valid, 4)].all()
    np.testing.assert_array_equal(schedule.references(pose, valid, 0), np.flatnonzero(valid))
    assert len(schedule.references(pose, valid, 99)) == 10


def test_the_rotation_is_that_of_the_camera():
    pose = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    due = euler_to_matrix(jnp.asarray(pose[:, :3])).reshape(5, 9)
    np.testing.assert_allclose(schedule._rotations(pose), due, atol=1e-6)


@pytest.mark.parametrize(("frame", "due"), [(0, 1), (3, 1), (4, 6), (9, 6)])
def test_an_invalid_frame_gives_way_to_the_nearest_valid_one(frame, due):
    valid = np.zeros(10, bool)
    valid[[1, 6]] = True
    assert schedule.nearest_valid(valid, frame) == due
    assert schedule.nearest_valid(np.zeros(10, bool), frame) == frame
