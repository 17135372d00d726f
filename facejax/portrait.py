"""The reference image: one photo, its face found, cropped and fitted."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facejax import crops
from facejax.errors import InputError
from facejax.face_measures import landmarks_70
from facejax.face_mesh import Face, FaceMesh
from facejax.files import read_image
from facejax.geometry.morphable import MorphableModel
from facejax.track import (
    DEFAULT,
    MOST_OUTSIDE,
    Choice,
    crop_pose,
    fit_chunk,
    fit_operator,
    outside,
    places,
)
from facejax.video import read_frames

VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")


class Portrait(NamedTuple):
    """A face in one image. Points are px of the crop at its own size S."""

    image: np.ndarray  # uint8 [S, S, 3]: the crop
    identity: np.ndarray  # [I] float32
    expression: np.ndarray  # [E] float32
    pose: np.ndarray  # [6] float32 in the crop: radians and mm (geometry.camera)
    landmarks: np.ndarray  # [70, 3] float32 px
    box: np.ndarray  # [4] float32 px of the photo
    photo: np.ndarray  # uint8 [H, W, 3]: all of it


def read_portrait(
    path: str | os.PathLike,
    face_mesh: FaceMesh,
    model: MorphableModel,
    *,
    size: int = 256,
    choice: Choice = DEFAULT,
) -> Portrait:
    """Returns the face of a photo, or of a video's first frame.

    Args:
      path: an image of any size and kind that `files.read_image` takes, or a video.
      face_mesh: finds faces.
      model: of whose vertices `points` are those that Face Mesh sees.
      size: of the crop, px.
      choice: which face, and whether to crop around it.

    Raises:
      InputError: not an image, too small or too large; no face, several without a choice, or one
        cut by the image's edge.
    """
    photo = _first_frame(path) if Path(path).suffix.lower() in VIDEOS else read_image(path)
    face = _only(path, face_mesh.faces(photo), choice.face)
    share = outside(face.points, photo.shape[:2])
    if share > MOST_OUTSIDE:
        raise InputError(
            f"{path}: {100 * share:.0f} % of the face lie outside of the image; give one that "
            "shows the whole face"
        )
    height, width = photo.shape[:2]
    framed = crops.steady_box(face.box[None], (height, width))
    box = framed if choice.crop else crops.centre_box((height, width))
    fit = fit_chunk(fit_operator(model), [face.points], (height, width))
    return Portrait(
        image=crops.extract(photo, box, size),
        identity=fit.identity[0],
        expression=fit.expression[0],
        pose=crop_pose(fit.pose[0], (height, width), box),
        landmarks=crops.to_crop(landmarks_70(face.points), box, size),
        box=box,
        photo=photo,
    )


def _first_frame(path: str | os.PathLike) -> np.ndarray:
    return next(image for _, image in read_frames(path))


def _only(path: str | os.PathLike, faces: list[Face], choice: int | None) -> Face:
    if not faces:
        raise InputError(f"{path} shows no face; give an upright face of at least some 50 px")
    if choice is None and len(faces) > 1:
        raise InputError(
            f"{path} shows {len(faces)} faces; pick one with --face N: {places(faces)}"
        )
    if choice is not None and not 0 <= choice < len(faces):
        raise InputError(f"--face {choice}: {path} shows {len(faces)}: {places(faces)}")
    return faces[choice or 0]
