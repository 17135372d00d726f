"""A video's face, taken from its most frontal frame and moved to the head motion of every other.

Rhythmic Head Motion, section 4.1 (Chen et al. 2020): among the first frames the most frontal is
the key frame; its mesh, coloured from it, is moved by Eq. 1 and drawn. The mesh is that of Face
Mesh's 468 points, which needs no weights of the unprojection net; or that of a trained run of
`unprojection`.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax import performance, prnet, runs, track
from facejax.errors import InputError
from facejax.face_measures import landmarks_70
from facejax.face_mesh import FaceMesh
from facejax.geometry import rigid_motion
from facejax.geometry.face_projection import (
    CanonicalFace,
    canonical_face,
    draw_hard,
    project_face,
    sample_colors,
)
from facejax.geometry.mesh import MeshTopology, mesh_topology
from facejax.geometry.position_map import MapLayout, map_layout, map_mesh, position_map
from facejax.images import resize
from facejax.morphable_files import load_model
from facejax.panels import as_bytes

REFERENCE = 64  # frames that the key frame is chosen from: tau
SIZE = 256  # px
MAP = 160  # px of the map whose pixels are the vertices of Face Mesh's dense mesh
CHUNK = 32  # frames drawn at a time: one compiled shape
ALIGNMENTS = ("rigid", "affine")


class Footage(NamedTuple):
    """A video's crops and what is seen in them; px of the crop, z away from the viewer."""

    frames: np.ndarray  # [T, S, S, 3] uint8
    points: np.ndarray  # [T, 468, 3] px
    landmarks: np.ndarray  # [T, 68, 3] px
    motion: np.ndarray  # [T, 6] head motion
    valid: np.ndarray  # [T] bool: a face was found


class Mesh(NamedTuple):
    """A face in one frame, before it is coloured."""

    vertices: Any  # [P, 3] px
    landmarks: Any  # [68, 3] px: the mesh's own
    topology: MeshTopology


# (frame [S, S, 3] uint8, Face Mesh's points in it [468, 3] px) -> Mesh
Unproject = Callable[[np.ndarray, np.ndarray], Mesh]


class Projected(NamedTuple):
    """The projected face of every frame."""

    footage: Footage
    key: int  # number of the key frame
    images: np.ndarray  # [T, S, S, 3] uint8, black beside the face
    masks: np.ndarray  # [T, S, S] bool
    landmarks: np.ndarray  # [T, 68, 3] px: the key frame's expression in the frame's pose


def read_footage(path: str | os.PathLike, face_mesh: FaceMesh, size: int = SIZE) -> Footage:
    """Returns a video's face in one steady crop, with its head motions.

    Raises:
      InputError: see `track.track_video`.
    """
    model = load_model("ready-made")
    choice = track.Choice(keep_points=True)
    seen = track.track_video(path, face_mesh, model, size=size, choice=choice)
    frames = np.stack(list(track.crop_frames(path, seen, size)))
    landmarks = seen.landmarks[:, :68]
    motion = head_motions(landmarks, seen.valid, size)
    return Footage(frames, seen.points, landmarks, motion, seen.valid)


def head_motions(landmarks: np.ndarray, valid: np.ndarray, size: int) -> np.ndarray:
    """Returns head motions [T, 6] of landmarks [T, 68, 3] px in the image frame, in that frame."""
    ratio = performance.SIDE / size
    canonical = performance.canonical_face(load_model("ready-made"))
    of_paper = landmarks * np.array([ratio, ratio, -ratio], np.float32)
    motion = jnp.asarray(performance.of_landmarks(of_paper, canonical, valid).motion)
    return np.asarray(rigid_motion.resized(rigid_motion.flip_depth(motion), 1 / ratio))


def from_points(image: np.ndarray, points: np.ndarray) -> Mesh:
    """Unprojects with Face Mesh alone: its surface, as dense as a map of MAP px."""
    del image
    layout = _dense_layout()
    whole = np.zeros((layout.middle.shape[1], 3), np.float32)
    whole[np.asarray(load_model("ready-made").points)] = points
    place = position_map(jnp.asarray(whole), layout)
    return _mesh(place, layout, jnp.asarray(landmarks_70(points)[:68]))


def from_run(workdir: str | os.PathLike) -> Unproject:
    """Returns the unprojection by a trained run, which looks at the frame alone.

    Raises:
      InputError: the workdir holds no run of the system `unprojection`.
    """
    run = runs.load(workdir)
    if run.config.system != "unprojection":
        raise InputError(f"{workdir} is a run of {run.config.system}; due: one of unprojection")
    layout = MapLayout(**jax.device_get(run.system.frozen["layout"]))
    size = run.config.data.size

    def unproject(image: np.ndarray, points: np.ndarray) -> Mesh:
        del points
        ratio = image.shape[0] / size
        small = resize(jnp.asarray(image, jnp.float32) / 127.5 - 1, size, size)
        made = run.generate({"image": small[None]})
        return _mesh(made["position"][0] * ratio, layout, made["landmarks"][0, :68] * ratio)

    return unproject


def from_prnet(checkpoint: str | os.PathLike, uv_data: str | os.PathLike) -> Unproject:
    """Returns the unprojection by PRNet's published weights, for those who own them.

    Raises:
      InputError: see `prnet.Published`.
    """
    published = prnet.Published(checkpoint, uv_data)
    return lambda image, points: Mesh(*published.unproject(image, points))


def _dense_layout() -> MapLayout:
    model = load_model("ready-made")
    mean, faces, landmarks = map(np.asarray, (model.mean, model.faces, model.landmarks))
    return map_layout(mean, faces, landmarks, MAP)


def _mesh(place: jax.Array, layout: MapLayout, landmarks: jax.Array) -> Mesh:
    pixels, faces = map_mesh(np.asarray(layout.covered))
    vertices = place.reshape(-1, 3)[pixels]
    return Mesh(vertices, landmarks, mesh_topology(faces, len(pixels)))


def project(
    footage: Footage,
    unproject: Unproject = from_points,
    *,
    reference: int = REFERENCE,
    align: str = "rigid",
    draw: Callable = draw_hard,
    name: str = "the video",
) -> Projected:
    """Returns the face of the most frontal of the first frames at every frame's head motion.

    Args:
      footage: of `read_footage`.
      unproject: from a frame to its mesh: `from_points`, or what `from_run` returns.
      reference: the key frame is one of so many first frames.
      align: "rigid" (Eq. 1), or "affine" (preset `released`): the mesh's landmarks are laid on the
        frame's.
      draw: `draw_hard` or `draw_soft`.
      name: of the video, for messages.

    Raises:
      InputError: fewer frames than `reference` and one more; none of the first shows a face, or
        none a frontal one.
    """
    if align not in ALIGNMENTS:
        raise InputError(f"align is {align!r}; due: {' or '.join(ALIGNMENTS)}")
    total, size = len(footage.frames), footage.frames.shape[1]
    if total <= reference:
        raise InputError(
            f"{name} has {total} frames; due: more than the {reference} that the key frame is "
            "chosen from (--reference N takes fewer)"
        )
    key = key_frame(footage, reference, name)
    image = jnp.asarray(footage.frames[key], jnp.float32) / 127.5 - 1
    mesh = unproject(footage.frames[key], footage.points[key])
    seen = (jnp.asarray(footage.landmarks[key]), jnp.asarray(footage.motion[key]))
    face = _face(mesh, image, *seen, align)
    parts = []
    for first in range(0, total, CHUNK):
        rows = np.minimum(np.arange(first, first + CHUNK), total - 1)
        made = project_face(face, jnp.asarray(footage.motion[rows]), mesh.topology, size, draw)
        parts.append((as_bytes(made.image), np.asarray(made.mask[..., 0] > 0.5), made.landmarks))
    images, masks, landmarks = (np.concatenate(part)[:total] for part in zip(*parts, strict=True))
    return Projected(footage, key, images, masks, landmarks)


def key_frame(footage: Footage, reference: int, name: str) -> int:
    """Returns the number of the most frontal of the first `reference` frames.

    Raises:
      InputError: none shows a face, or none a frontal one.
    """
    first = slice(0, reference)
    seen = performance.Performance(
        footage.landmarks[first], footage.motion[first], footage.landmarks[first],
        footage.valid[first],
    )  # fmt: skip
    return performance.key_frame(seen, name=f"{name} (its first {reference} frames)")


def _face(
    mesh: Mesh, image: jax.Array, landmarks: jax.Array, motion: jax.Array, align: str
) -> CanonicalFace:
    """The coloured mesh in canonical space; `landmarks` are those found in the key frame."""
    if align == "rigid":
        return canonical_face(image, mesh.vertices, mesh.landmarks, motion)
    fronts = rigid_motion.to_canonical(landmarks, motion)
    vertices, own = rigid_motion.align(mesh.vertices, mesh.landmarks, fronts)
    return CanonicalFace(vertices, sample_colors(image, mesh.vertices), own)
