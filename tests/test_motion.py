import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax import motion as motions
from facejax.geometry.camera import adapt_cameras, camera_from_pose
from facejax.geometry.rotations import euler_to_matrix
from facejax.motion import Motion

I, E = 5, 3  # noqa: E741


def make(frames, fps=25.0, seed=0, batch=()):
    rng = np.random.default_rng(seed)
    place = rng.normal(size=(*batch, frames, 3)) * [20, 10, 30] + [5, -8, 600]
    turn = rng.normal(size=(*batch, frames, 3)) * 0.3
    return Motion(
        identity=jnp.float32(rng.normal(size=(*batch, I))),
        expression=jnp.float32(rng.normal(size=(*batch, frames, E))),
        pose=jnp.float32(np.concatenate([turn, place], -1)),
        blink=jnp.float32(rng.uniform(0, 5, (*batch, frames))),
        fps=jnp.full(batch, fps),
    )


def assert_equal(found, due, **tolerance):
    for one, other in zip(found, due, strict=True):
        np.testing.assert_allclose(one, other, **tolerance)


def rolling(frames, fps=25.0):
    """A head whose roll passes pi at a steady 0.2 radians a frame."""
    roll = jnp.arange(frames) * 0.2 + 2.5
    clip = motions.with_pose(make(frames, fps), roll=(roll + jnp.pi) % (2 * jnp.pi) - jnp.pi)
    return clip, roll


def test_a_window_of_one_changes_nothing():
    clip = make(9)
    assert_equal(motions.smooth(clip, 1), clip, rtol=1e-6)


@pytest.mark.parametrize("batch", [(), (2, 4)])
def test_smoothing_averages_over_time_and_nothing_else(batch):
    clip = make(9, batch=batch)
    found = motions.smooth(clip, 3)
    due = np.float64(clip.expression)[..., 3:6, :].mean(-2)
    np.testing.assert_allclose(found.expression[..., 4, :], due, atol=1e-6)
    np.testing.assert_allclose(
        found.blink[..., 0], (2 * clip.blink[..., 0] + clip.blink[..., 1]) / 3, rtol=1e-5
    )
    np.testing.assert_allclose(
        found.pose[..., 7, :], np.float64(clip.pose)[..., 6:9, :].mean(-2), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_array_equal(found.identity, clip.identity)


def test_angles_are_smoothed_across_pi():
    clip, roll = rolling(12)
    found = motions.smooth(clip, 3)
    np.testing.assert_allclose(jnp.cos(found.pose[1:-1, 2] - roll[1:-1]), np.ones(10), atol=1e-5)


def test_the_same_rate_changes_nothing():
    clip = make(9, fps=29.97)
    assert_equal(motions.resample(clip, 29.97), clip, rtol=1e-6)


@pytest.mark.parametrize("batch", [(), (3,)])
def test_twice_the_rate_keeps_every_frame_and_adds_those_between(batch):
    clip = make(6, fps=25, batch=batch)
    found = motions.resample(clip, 50)
    assert found.pose.shape == (*batch, 12, 6)
    np.testing.assert_array_equal(found.fps, np.full(batch, 50.0))
    np.testing.assert_allclose(found.expression[..., ::2, :], clip.expression, rtol=1e-5)
    middle = (clip.blink[..., 1:] + clip.blink[..., :-1]) / 2
    np.testing.assert_allclose(found.blink[..., 1:-1:2], middle, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.pose[..., -1, :], clip.pose[..., -1, :], rtol=1e-5)


def test_any_rate_reads_the_clip_at_its_times():
    clip = make(31, fps=30)._replace(blink=jnp.arange(31) / 30)  # blink tells the time
    found = motions.resample(clip, 24)
    assert found.blink.shape == (25,)
    np.testing.assert_allclose(found.blink, np.arange(25) / 24, atol=1e-5)


def test_angles_are_resampled_across_pi():
    clip, _ = rolling(8)
    found = motions.resample(clip, 100)
    due = 2.5 + 0.05 * np.arange(29)
    np.testing.assert_allclose(np.cos(found.pose[:29, 2] - due), np.ones(29), atol=1e-5)


def test_one_frame_is_held():
    found = motions.resample(make(1, fps=10), 30)
    assert found.pose.shape == (3, 6)
    np.testing.assert_array_equal(found.pose[2], found.pose[0])


def test_rates_that_are_none_are_refused():
    for old, new in ((25, 0), (0, 25), (25, -1)):
        with pytest.raises(ValueError, match="frame rates"):
            motions.resample(make(4, fps=old), new)
    mixed = make(4, batch=(2,))._replace(fps=jnp.array([25.0, 30]))
    with pytest.raises(ValueError, match="frame rates"):
        motions.resample(mixed, 10)


def test_a_retargeted_clip_is_the_reference_person_in_the_drivers_motion():
    driving, reference = make(20, seed=1), make(1, seed=2)
    found = motions.retarget(driving, reference)
    np.testing.assert_array_equal(found.identity, reference.identity)
    np.testing.assert_array_equal(found.expression, driving.expression)
    np.testing.assert_array_equal(found.blink, driving.blink)
    np.testing.assert_array_equal(found.pose[:, :3], driving.pose[:, :3])


@pytest.mark.parametrize("flags", [(True, True), (True, False), (False, True), (False, False)])
def test_retargeting_equals_adapted_cameras_in_any_square_image(flags):
    driving, reference = make(20, seed=1), make(3, seed=2)
    names = dict(zip(("adapt_scale", "adapt_translation"), flags, strict=True))
    found = jax.jit(lambda *clips: motions.retarget(*clips, **names))(driving, reference)
    clips = (camera_from_pose(clip.pose, 256, 256) for clip in (driving, reference))
    due = adapt_cameras(*clips, **names)
    camera = camera_from_pose(found.pose, 256, 256)
    np.testing.assert_allclose(camera.scale, due.scale, rtol=1e-5)
    np.testing.assert_allclose(camera.rotation, due.rotation, atol=1e-5)
    np.testing.assert_allclose(camera.translation, due.translation, rtol=1e-4, atol=2e-3)


def test_a_still_driver_stands_where_the_reference_stands():
    driving, reference = make(1, seed=1), make(1, seed=2)
    still = jax.tree.map(lambda part: part, driving)._replace(
        pose=jnp.broadcast_to(driving.pose, (6, 6))
    )
    still = still._replace(expression=jnp.zeros((6, E)), blink=jnp.zeros(6))
    found = motions.retarget(still, reference)
    due = np.broadcast_to(reference.pose[:, 3:], (6, 3))
    np.testing.assert_allclose(found.pose[:, 3:], due, rtol=1e-5, atol=1e-3)


def test_self_reenactment_keeps_the_motion():
    clip = make(7)
    found = motions.retarget(clip, clip, adapt_scale=False, adapt_translation=False)
    assert_equal(found, clip)


def test_a_frontal_head_faces_the_viewer_and_stays_in_place():
    clip = make(4, batch=(2,))
    found = motions.frontal(clip)
    eye = np.broadcast_to(np.eye(3), (2, 4, 3, 3))
    np.testing.assert_array_equal(euler_to_matrix(found.pose[..., :3]), eye)
    np.testing.assert_array_equal(found.pose[..., 3:], clip.pose[..., 3:])


def test_only_the_angles_given_are_set():
    clip = make(4)
    found = motions.with_pose(clip, yaw=0.5, roll=jnp.arange(4.0))
    np.testing.assert_array_equal(found.pose[:, 0], clip.pose[:, 0])
    np.testing.assert_array_equal(found.pose[:, 1], np.full(4, 0.5))
    np.testing.assert_array_equal(found.pose[:, 2], np.arange(4))
    np.testing.assert_array_equal(found.pose[:, 3:], clip.pose[:, 3:])


def test_expressions_are_scaled_alone():
    clip = make(4)
    found = motions.scale_expression(clip, 0.5)
    np.testing.assert_allclose(found.expression, clip.expression / 2)
    assert_equal(found._replace(expression=clip.expression), clip)


def test_fields_of_unequal_length_are_refused():
    clip = make(4)._replace(blink=jnp.zeros(5))
    with pytest.raises(ValueError, match="blink"):
        motions.smooth(clip, 3)


def test_a_still_head_keeps_its_mean_pose_and_everything_else():
    clip, roll = rolling(9)
    found = motions.still(clip)
    assert_equal(found._replace(pose=clip.pose), clip)
    np.testing.assert_allclose(found.pose[:, 2], np.full(9, roll.mean()), rtol=1e-5)
    np.testing.assert_allclose(found.pose[:, 3:], [clip.pose[:, 3:].mean(0)] * 9, rtol=1e-5)


def test_head_motion_is_scaled_about_its_mean():
    clip, roll = rolling(9)
    assert_equal(motions.scale_pose(clip, 0.0), motions.still(clip))
    double = motions.scale_pose(clip, 2.0).pose
    np.testing.assert_allclose(double[:, 2] - roll.mean(), 2 * (roll - roll.mean()), atol=1e-5)
    np.testing.assert_allclose(double.mean(0), motions.still(clip).pose[0], rtol=1e-4, atol=1e-4)


def test_borrowed_motion_is_played_forth_and_back():
    clip, other = make(9), make(4, seed=1)
    found = motions.borrow(clip, other, pose=True)
    np.testing.assert_allclose(found.pose, other.pose[np.array([0, 1, 2, 3, 2, 1, 0, 1, 2])])
    np.testing.assert_array_equal(found.blink, clip.blink)
    np.testing.assert_array_equal(found.expression, clip.expression)
    one = motions.borrow(clip, make(1, seed=1), blink=True)
    np.testing.assert_array_equal(one.blink, np.repeat(make(1, seed=1).blink, 9))


def test_borrowed_motion_is_brought_to_the_same_rate():
    clip, other = make(9, fps=25.0), make(20, fps=50.0, seed=1)
    found = motions.borrow(clip, other, blink=True)
    np.testing.assert_allclose(found.blink, other.blink[:18:2], rtol=1e-5)
