"""What happens between a driver's motion and the generator's inputs, and after its outputs."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax import motion, sheets
from facejax.data import pipeline
from facejax.drivers import Reference
from facejax.motion import Motion
from facejax.track import MOST_HELD

LEAST_PANEL = 160  # px: smaller pictures are enlarged so that their labels can be read


class Options(NamedTuple):
    """What may be asked of an animation. Angles in degrees; None keeps the driver's."""

    start: float | None = None  # s of the driver
    end: float | None = None
    adapt: bool | None = None  # stand where the reference stands; None: unless it is one recording
    frontalize: bool = False
    yaw: float | None = None
    pitch: float | None = None
    roll: float | None = None
    expression_scale: float = 1.0
    pose_scale: float = 1.0  # of the head's motion about its mean pose; 0: it is held still
    pose_from: str | os.PathLike | None = None  # a driver whose head motion is taken
    blink_from: str | os.PathLike | None = None  # a driver whose blinks are taken
    side_by_side: bool = False  # the columns of HeadGAN's Fig. 2 rather than the result alone
    paste_back: bool = False  # the result in the whole reference image
    audio: str | os.PathLike | None = None  # sound in the place of the driver's
    crop: bool = True  # False: reference and driver are crops already
    face: int | None = None  # in the reference, where there are several; 0 is the largest
    driving_face: int | None = None
    motion_out: str | os.PathLike | None = None  # file for the driver's motion
    sheet: str | os.PathLike | None = None  # image for moments of a talk and their mouths
    initial_pose: Sequence[float] | None = None  # of speech: [6] of the first frame, degrees and mm
    mesh: str | os.PathLike | None = None  # of speech: animated mesh (`mesh_files.write_mesh`)
    plot: str | os.PathLike | None = None  # of speech: image of `pose_plot.picture`
    hold: int = MOST_HELD  # most frames in a row of the driver without a face


def own_motion(face: Reference) -> Motion:
    """Returns the reference's own motion, of one frame."""
    return Motion(
        identity=jnp.asarray(face.identity),
        expression=jnp.asarray(face.expression[None]),
        pose=jnp.asarray(face.pose[None]),
        blink=jnp.zeros(1),
        fps=jnp.asarray(1.0),
    )


def edited(moved: Motion, wanted: Options) -> Motion:
    """Returns a motion with the edits that were asked for, in numpy arrays."""
    if wanted.pose_scale != 1:
        moved = motion.scale_pose(moved, wanted.pose_scale)
    if wanted.frontalize:
        moved = motion.frontal(moved)
    angles = {name: getattr(wanted, name) for name in ("yaw", "pitch", "roll")}
    radians = {name: np.radians(x) for name, x in angles.items() if x is not None}
    moved = motion.with_pose(moved, **radians)
    if wanted.expression_scale != 1:
        moved = motion.scale_expression(moved, wanted.expression_scale)
    return jax.tree.map(np.asarray, moved)


def moved_motion(face: Reference, driving: Motion, wanted: Options, *, adapt: bool) -> Motion:
    """Returns the motion that the reference is to make: the driver's, adapted and edited."""
    moved = motion.retarget(driving, own_motion(face), adapt_scale=adapt, adapt_translation=adapt)
    return edited(moved, wanted)


def chunks(
    moved: Motion, audio: np.ndarray, size: int, frames: int
) -> Iterator[tuple[dict[str, Any], int]]:
    """Yields (inputs, count): `size` rows for the generator, of which `count` are wanted.

    Row t sees the `frames` motions up to t, the first one repeated before the start (HeadGAN's
    windows). The last chunk is filled up with its last row, so that every shape is the same.

    Args:
      moved: identity [I], expression [T, E], pose [T, 6].
      audio: [T, A].
      size: rows in a chunk, C.
      frames: K.
    """
    total = len(moved.pose)
    for first in range(0, total, size):
        rows = np.minimum(np.arange(first, first + size), total - 1)
        window = np.maximum(rows[:, None] + np.arange(1 - frames, 1), 0)
        identity = np.broadcast_to(moved.identity, (size, frames, len(moved.identity)))
        driving = {
            "identity": identity,
            "expression": moved.expression[window],
            "pose": moved.pose[window],
        }
        yield {"driving_motion": driving, "audio": audio[rows]}, min(size, total - first)


def side_by_side(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Returns one picture of all columns with their names below, uint8 [H, W, 3]."""
    enlarged = [pipeline.resize(image, max(LEAST_PANEL, len(image))) for image in columns.values()]
    return sheets.grid(enlarged, list(columns), columns=len(columns))
