"""Motion: what every motion source produces and every renderer consumes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax import checks
from facejax.geometry.camera import (
    WINDOW,
    adapt_cameras,
    camera_from_pose,
    moving_average,
    pose_from_camera,
)


class Motion(NamedTuple):
    """A face in motion, in the terms of one morphable model.

    Any leading batch axes `...` may stand before those named, on every field alike.
    """

    identity: jax.Array  # [..., I]
    expression: jax.Array  # [..., T, E]
    pose: jax.Array  # [..., T, 6] pitch, yaw, roll in radians; x, y, z translation in millimetres
    blink: jax.Array  # [..., T] eye closure on AU45's scale, 0 (open) to 5 (shut)
    fps: jax.Array  # [...] frames a second


def _check(motion: Motion) -> None:
    checks.shapes(
        identity=(motion.identity, "... I"),
        expression=(motion.expression, "... T E"),
        pose=(motion.pose, "... T 6"),
        blink=(motion.blink, "... T"),
    )


def _unwrapped(pose: jax.Array) -> jax.Array:
    """Pose [..., T, 6] with angles that never jump by more than half a turn between frames."""
    return jnp.concatenate([jnp.unwrap(pose[..., :3], axis=-2), pose[..., 3:]], axis=-1)


def smooth(motion: Motion, window: int) -> Motion:
    """Returns the centred moving average of expression, pose and blink, the ends replicated.

    Angles are unwrapped first, so that the pose at +-pi is not averaged to 0; they are left
    unwrapped.

    Args:
      motion: any batch axes.
      window: frames, at least 1 (which changes nothing).
    """
    _check(motion)

    def average(values: jax.Array, axis: int) -> jax.Array:
        return jnp.moveaxis(moving_average(jnp.moveaxis(values, axis, 0), window), 0, axis)

    return motion._replace(
        expression=average(motion.expression, -2),
        pose=average(_unwrapped(motion.pose), -2),
        blink=average(motion.blink, -1),
    )


def resample(motion: Motion, fps: float) -> Motion:
    """Returns the motion at another frame rate, interpolated linearly between frames.

    Frame k stands at time k / fps; the number of frames becomes round(T fps / motion.fps), and
    times past the last frame repeat it. Angles are unwrapped first and left so. When the rate
    falls by much, `smooth` first.

    Args:
      motion: any batch axes, all of one frame rate; its fps must be concrete (outside of a jit).
      fps: the new frame rate, above 0.

    Raises:
      ValueError: a rate is not above 0, or the clips' rates differ.
    """
    _check(motion)
    old = np.unique(np.asarray(motion.fps, np.float64))
    if old.size != 1 or not old[0] > 0 or not fps > 0:
        raise ValueError(f"frame rates are {old.tolist()} and {fps}; due: one above 0, and another")
    frames = motion.pose.shape[-2]
    step = old[0] / float(np.float32(fps))  # both as rounded as the motion's, so equal rates give 1
    count = max(round(frames / step), 1)
    times = np.minimum(np.arange(count) * step, frames - 1)
    before = np.floor(times).astype(np.int32)
    share = (times - before).astype(np.float32)

    def between(values: jax.Array, axis: int) -> jax.Array:
        first = jnp.take(values, before, axis=axis)
        second = jnp.take(values, np.minimum(before + 1, frames - 1), axis=axis)
        column = share if axis == -1 else share[:, None]
        return first + (second - first) * jnp.broadcast_to(column, first.shape)

    return motion._replace(
        expression=between(motion.expression, -2),
        pose=between(_unwrapped(motion.pose), -2),
        blink=between(motion.blink, -1),
        fps=jnp.full_like(motion.fps, fps),
    )


def retarget(
    driving: Motion,
    reference: Motion,
    *,
    window: int = WINDOW,
    adapt_scale: bool = True,
    adapt_translation: bool = True,
) -> Motion:
    """Returns the reference's identity in the driver's motion, standing where the reference stands.

    Expression, head rotation, blink and frame rate are the driver's. Distance and place are the
    driver's, adapted to the reference by `camera.adapt_cameras`; with neither flag they are kept
    (self-reenactment).

    Args:
      driving: one clip: identity [I], expression [T, E], pose [T, 6].
      reference: one clip of R frames, often one, of the same morphable model.
      window: of the moving average of distance and place, frames.
      adapt_scale: False keeps the driver's distance.
      adapt_translation: False keeps the driver's place.
    """
    checks.shapes(
        driving_expression=(driving.expression, "T E"),
        driving_pose=(driving.pose, "T 6"),
        reference_identity=(reference.identity, "I"),
        reference_pose=(reference.pose, "R 6"),
    )
    pose = driving.pose
    if adapt_scale or adapt_translation:
        # A pose is the same in an image of any size, so the smallest will do.
        cameras = (camera_from_pose(clip.pose, 1, 1) for clip in (driving, reference))
        adapted = adapt_cameras(
            *cameras, window=window, adapt_scale=adapt_scale, adapt_translation=adapt_translation
        )
        place = pose_from_camera(adapted, 1, 1)[..., 3:]
        pose = jnp.concatenate([pose[..., :3], place], axis=-1)
    return driving._replace(identity=reference.identity, pose=pose)


def frontal(motion: Motion) -> Motion:
    """Returns the motion with the head turned straight to the viewer throughout."""
    return with_pose(motion, yaw=0.0, pitch=0.0, roll=0.0)


def with_pose(
    motion: Motion,
    *,
    yaw: jax.Array | float | None = None,
    pitch: jax.Array | float | None = None,
    roll: jax.Array | float | None = None,
) -> Motion:
    """Returns the motion with head angles set by hand.

    Args:
      motion: any batch axes.
      yaw: radians, one number or [..., T]; None keeps the motion's own.
      pitch: likewise.
      roll: likewise.
    """
    _check(motion)
    columns = [motion.pose[..., i] for i in range(6)]
    for i, angle in enumerate((pitch, yaw, roll)):
        if angle is not None:
            columns[i] = jnp.broadcast_to(jnp.asarray(angle, motion.pose.dtype), columns[i].shape)
    return motion._replace(pose=jnp.stack(columns, axis=-1))


def scale_expression(motion: Motion, factor: float) -> Motion:
    """Returns the motion with its expressions times a factor: 0 neutral, 1 as is, 2 exaggerated."""
    return motion._replace(expression=motion.expression * factor)


def still(motion: Motion) -> Motion:
    """Returns the motion with the head held at its mean pose."""
    _check(motion)
    pose = _unwrapped(motion.pose)
    mean = jnp.mean(pose, axis=-2, keepdims=True)
    return motion._replace(pose=jnp.broadcast_to(mean, pose.shape))


def scale_pose(motion: Motion, factor: float) -> Motion:
    """Returns the motion with its head motion about the mean pose times a factor: 0 is `still`."""
    mean = still(motion).pose
    return motion._replace(pose=mean + factor * (_unwrapped(motion.pose) - mean))


def borrow(motion: Motion, other: Motion, *, pose: bool = False, blink: bool = False) -> Motion:
    """Returns the motion with the pose or the blinks of another.

    The other is brought to the same frame rate and cut; where it is shorter it is played forth and
    back, so that nothing jumps.

    Args:
      motion: one clip of T frames.
      other: one clip of at least one frame.
      pose: whether to take the head's pose.
      blink: whether to take the blinks.
    """
    other = resample(other, float(motion.fps))
    count, most = motion.pose.shape[-2], other.pose.shape[-2]
    number = np.arange(count) % max(2 * most - 2, 1)
    number = np.where(number < most, number, 2 * most - 2 - number)
    changes = {}
    if pose:
        changes["pose"] = other.pose[number]
    if blink:
        changes["blink"] = other.blink[number]
    return motion._replace(**changes)
