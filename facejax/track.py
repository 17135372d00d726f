"""A face followed through a video, and its motion in the terms of a morphable model.

Every frame is read once and forgotten: what stays is a few hundred numbers a frame (and the dense
points only when asked for). `crop_frames` reads the video again for the pictures.
"""

import functools
import itertools
import logging
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import numpy as np

from facejax import crops, video
from facejax.errors import InputError
from facejax.face_measures import blink, landmarks_70, openness
from facejax.face_mesh import Face, FaceMesh
from facejax.face_topology import NUM_POINTS
from facejax.geometry.camera import FOCAL, pose_from_camera
from facejax.geometry.fit import FitOperator, fit_shape, prepare_fit
from facejax.geometry.morphable import MorphableModel
from facejax.media import Seconds, exact
from facejax.progress import progress

MOST_HELD = 5  # frames in a row without a face that the one before may stand for
MOST_OUTSIDE = 0.2  # share of a face's points that may lie outside of the frame
# Variance of Face Mesh's points as the fit assumes it, square millimetres. 0 is Algorithm 1; this
# keeps coefficients likely (a third smaller in the mean, no outliers) for 0.05 px at 256 px.
RIDGE = 1.0
CHUNK = 32  # frames fitted at a time: one compiled shape
MISSED, CUT = "no face", "a face cut by the frame's edge"


class Choice(NamedTuple):
    """How a face is chosen and framed."""

    face: int | None = None  # which, where there are several: 0 is the largest; None: see each use
    crop: bool = True  # False: the centre square of the frame, for material cropped already
    most_held: int | None = MOST_HELD  # None: hold as long as it takes
    keep_points: bool = False  # the dense points of every frame, some 6 kB each
    most_jump: float = crops.MOST_JUMP


DEFAULT = Choice()


class Track(NamedTuple):
    """One face of T frames. Points are px of the crop at size x size, times seconds."""

    fps: Fraction  # frames a second; the mean where the rate varies
    time_base: Fraction  # s; the source's own
    times: np.ndarray  # [T] float64 s after the source's first frame
    identity: np.ndarray  # [T, I] float32, fitted frame by frame
    expression: np.ndarray  # [T, E] float32
    pose: np.ndarray  # [T, 6] float32 in the crop: radians and mm (geometry.camera)
    blink: np.ndarray  # [T] float32, 0 (open) to 5 (shut)
    landmarks: np.ndarray  # [T, 70, 3] float32 px
    points: np.ndarray  # [T, N, 3] float32 px; T = 0 unless kept
    valid: np.ndarray  # [T] bool; False: the frame before, or else after, stands for this one
    residual: np.ndarray  # [T] float32 RMS distance of points and fit, over the outer-eye distance
    box: np.ndarray  # [4] float32 px of the source
    source_size: tuple[int, int]  # height, width


class Fitted(NamedTuple):
    """Fits of some frames: [..., I], [..., E], poses in the frame [..., 6], residuals [...]."""

    identity: Any
    expression: Any
    pose: Any
    residual: Any


class _Seen(NamedTuple):
    """What passes over a clip's frames collects."""

    times: list[Fraction]
    faces: list[np.ndarray]  # [4] boxes of the good frames
    fits: list[Fitted]  # of the good frames, in chunks
    landmarks: list[np.ndarray]  # [70, 3] source px, of the good frames
    points: list[np.ndarray]  # [N, 3] likewise, when kept
    faults: dict[int, str]  # frame number -> what is wrong with it


def track_video(
    path: str | os.PathLike,
    face_mesh: FaceMesh,
    model: MorphableModel,
    *,
    size: int = 256,
    start: Seconds | None = None,
    end: Seconds | None = None,
    choice: Choice = DEFAULT,
) -> Track:
    """Returns one face's motion through a video, in one steady crop.

    Args:
      path: the video.
      face_mesh: finds and follows faces.
      model: of whose vertices `points` are those that Face Mesh sees.
      size: of the crop that points are given in, px.
      start: s after the file's first frame; None is the beginning.
      end: likewise; None is the end.
      choice: which face, which frame around it; several faces: the largest, with a warning.

    Raises:
      InputError: unreadable, fewer than two frames, no face in more than MOST_HELD frames in a
        row, a face cut by the frame's edge, a face that leaves the crop.
    """
    info = video.probe(path, least_frames=2)
    operator = fit_operator(model)
    frames = video.read_frames(path, start, end)
    seen = _look(frames, face_mesh, operator, choice, (os.fspath(path), _length(info, start, end)))
    if len(seen.times) < 2:
        raise InputError(
            f"{path} has {len(seen.times)} frames from {start or 0} s to {end or 'its end'}, and "
            f"lasts {info.duration:.2f} s; at least 2 are due: choose another --start or --end"
        )
    _check_faults(path, seen, choice.most_held)
    if choice.crop:
        try:
            box = crops.steady_box(np.stack(seen.faces), info.size, most_jump=choice.most_jump)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    else:
        box = crops.centre_box(info.size)
    return _track(info, seen, box, size)


def crop_frames(
    path: str | os.PathLike, track: Track, size: int, *, end: Seconds | None = None
) -> Iterator[np.ndarray]:
    """Yields the crop of every frame of a track, uint8 [size, size, 3]."""
    first, count = exact(track.times[0]), len(track.times)
    frames = video.read_frames(path, first, end)
    for _, frame in itertools.islice(frames, count):
        yield crops.extract(frame, track.box, size)


def fit_operator(model: MorphableModel) -> FitOperator:
    """Returns the matrices of fits to Face Mesh points.

    Raises:
      InputError: the model does not say which of its vertices the 468 points are.
    """
    if len(model.points) != NUM_POINTS:
        raise InputError(
            f"the face model observes {len(model.points)} points, Face Mesh gives {NUM_POINTS}; "
            "give it the 468 vertices as `points` (facejax model import --landmarks FILE.npz)"
        )
    return prepare_fit(model, RIDGE)


def outside(points: np.ndarray, size: tuple[int, int]) -> float:
    """Returns the share of points [N, >= 2] px that lie outside of a frame of (height, width)."""
    x, y = points[:, 0], points[:, 1]
    return float(np.mean((x < 0) | (y < 0) | (x > size[1]) | (y > size[0])))


def crop_pose(pose: np.ndarray, size: tuple[int, int], box: np.ndarray) -> np.ndarray:
    """Returns poses [..., 6] of a frame of (height, width) as poses in its crop `box`.

    The place is counted from another middle, the distance in widths of another picture; angles
    stay (geometry.camera).
    """
    height, width = size
    side = float(box[2] - box[0])
    mm_per_px = pose[..., 5] / (FOCAL * width)
    across = pose[..., 3] + mm_per_px * (width / 2 - box[0] - side / 2)
    up = pose[..., 4] - mm_per_px * (height / 2 - box[1] - side / 2)
    place = np.stack([across, up, FOCAL * side * mm_per_px], axis=-1)
    return np.concatenate([pose[..., :3], place], axis=-1).astype(np.float32)


@functools.partial(jax.jit, static_argnames=("size",))
def _fit(operator: FitOperator, points: jax.Array, size: tuple[int, int]) -> Fitted:
    # HeadGAN's Algorithm 1 takes the camera of the mean face. That of the fitted one reprojects the
    # points within 0.4 rather than 0.7 px of a 256 px crop, on real clips.
    fit = fit_shape(operator, points, camera_from="fitted")
    return Fitted(fit.identity, fit.expression, pose_from_camera(fit.camera, *size), fit.residual)


def _look(
    frames: Iterator[tuple[Fraction, np.ndarray]],
    face_mesh: FaceMesh,
    operator: FitOperator,
    choice: Choice,
    name_and_length: tuple[str, int],
) -> _Seen:
    """Goes over the frames once: finds the face in each, and fits them in chunks."""
    name, length = name_and_length
    seen = _Seen([], [], [], [], [], {})
    chunk: list[np.ndarray] = []  # points that wait to be fitted
    face: Face | None = None
    for number, (time, frame) in enumerate(progress(frames, length, "track")):
        seen.times.append(time)
        if face is None and not seen.faces:
            found = _pick(face_mesh.faces(frame), choice.face, f"{name} at {float(time):.2f} s")
        else:
            found = face_mesh.track(frame, face, levels=1)
        if found is None:
            seen.faults[number] = MISSED
            continue
        face = found
        if outside(found.points, frame.shape[:2]) > MOST_OUTSIDE:
            seen.faults[number] = CUT
            continue
        seen.faces.append(found.box)
        seen.landmarks.append(landmarks_70(found.points))
        chunk.append(found.points)
        if choice.keep_points:
            seen.points.append(found.points)
        if len(chunk) == CHUNK:
            seen.fits.append(fit_chunk(operator, chunk, frame.shape[:2]))
            chunk = []
    if chunk:
        seen.fits.append(fit_chunk(operator, chunk, frame.shape[:2]))
    return seen


def fit_chunk(operator: FitOperator, chunk: list[np.ndarray], size: tuple[int, int]) -> Fitted:
    """Returns the fits of up to CHUNK frames' points [N, 3] px; the last fills up the shape."""
    points = np.stack([*chunk, *chunk[-1:] * (CHUNK - len(chunk))])
    fitted = jax.device_get(_fit(operator, points, size))
    return jax.tree.map(lambda x: x[: len(chunk)], fitted)


def _pick(faces: list[Face], choice: int | None, where: str) -> Face | None:
    """Returns the face asked for; of several without a choice the largest, with a warning."""
    if not faces:
        return None
    if choice is None and len(faces) > 1:
        logging.getLogger(__name__).warning(
            "%s shows %d faces; the largest is followed. --face N picks another: %s",
            where, len(faces), places(faces),
        )  # fmt: skip
    if choice is not None and not 0 <= choice < len(faces):
        raise InputError(f"--face {choice}: {where} shows {len(faces)}: {places(faces)}")
    return faces[choice or 0]


def places(faces: list[Face]) -> str:
    """Returns where faces are, for a message: "0 at (120, 80), 1 at (300, 90)"."""
    middles = [((f.box[0] + f.box[2]) / 2, (f.box[1] + f.box[3]) / 2) for f in faces]
    return ", ".join(f"{k} at ({x:.0f}, {y:.0f})" for k, (x, y) in enumerate(middles))


def _check_faults(path: str | os.PathLike, seen: _Seen, most_held: int | None) -> None:
    if len(seen.faults) == len(seen.times):
        what = " or ".join(sorted(set(seen.faults.values())))
        raise InputError(
            f"{path} shows {what} in all of its {len(seen.times)} frames; a whole, upright face of "
            "at least some 50 px is due"
        )
    runs = _runs(sorted(seen.faults))
    worst = [run for run in runs if most_held is not None and len(run) > most_held]
    if worst:
        spans = [
            f"{seen.faults[run[0]]} at {float(seen.times[run[0]]):.2f}"
            f"-{float(seen.times[run[-1]]):.2f} s"
            for run in worst
        ]
        more = f" and {len(spans) - 5} more times" if len(spans) > 5 else ""
        raise InputError(
            f"{path} shows {', '.join(spans[:5])}{more}; choose a part with --start and --end"
        )


def _runs(numbers: list[int]) -> list[list[int]]:
    """Returns the stretches of consecutive numbers in a sorted list."""
    groups = itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    return [[number for _, number in group] for _, group in groups]


def _track(info: video.VideoInfo, seen: _Seen, box: np.ndarray, size: int) -> Track:
    """Brings what was seen into the crop, and lets good frames stand for bad ones."""
    fit = jax.tree.map(lambda *parts: np.concatenate(parts), *seen.fits)
    landmarks = crops.to_crop(np.stack(seen.landmarks), box, size)
    pose = crop_pose(fit.pose, info.size, box)
    valid = np.array([k not in seen.faults for k in range(len(seen.times))])
    stand_in = np.maximum(np.cumsum(valid) - 1, 0)  # the last good frame, or the first
    points = np.zeros((0, NUM_POINTS, 3), np.float32)
    if seen.points:
        points = crops.to_crop(np.stack(seen.points), box, size)[stand_in]
    return Track(
        fps=info.fps,
        time_base=info.time_base,
        times=np.array([float(time) for time in seen.times]),
        identity=fit.identity[stand_in],
        expression=fit.expression[stand_in],
        pose=pose[stand_in],
        blink=blink(openness(landmarks))[stand_in],
        landmarks=landmarks[stand_in],
        points=points,
        valid=valid,
        residual=fit.residual[stand_in],
        box=box,
        source_size=info.size,
    )


def _length(info: video.VideoInfo, start: Seconds | None, end: Seconds | None) -> int:
    """Returns about how many frames lie between start and end."""
    span = min(float(end or info.duration), info.duration) - float(start or 0)
    return max(0, round(span * float(info.fps)))
