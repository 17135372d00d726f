"""A video's face, taken from its most frontal frame and moved to the head motion of every other.

Rhythmic Head Motion, section 4.1 (Chen et al. 2020): among the first frames the most frontal is
the key frame; its mesh, coloured from it, is moved by Eq. 1 and drawn. The mesh is that of Face
Mesh's 468 points, which needs no weights of the unprojection net; or that of a trained run of
`unprojection`.
"""

import argparse
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from facejax import performance, prnet, runs, sheets, track
from facejax.errors import InputError
from facejax.face_measures import landmarks_70
from facejax.face_mesh import FaceMesh
from facejax.geometry import rigid_motion
from facejax.geometry.face_projection import (
    CanonicalFace,
    canonical_face,
    draw_hard,
    draw_soft,
    project_face,
    sample_colors,
)
from facejax.geometry.mesh import MeshTopology, mesh_topology
from facejax.geometry.position_map import MapLayout, map_layout, map_mesh, position_map
from facejax.images import resize
from facejax.judging import evenly
from facejax.morphable_files import load_model
from facejax.panels import as_bytes

REFERENCE = 64  # frames that the key frame is chosen from: tau
SIZE = 256  # px
MAP = 160  # px of the map whose pixels are the vertices of Face Mesh's dense mesh
CHUNK = 32  # frames drawn at a time: one compiled shape
SHOWN = 5  # later frames on the sheet
OUTER_EYES = (36, 45)
MOUTH = range(48, 68)
DUE, FOUND = (60, 220, 60), (255, 60, 60)  # colours of landmarks
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


def figures(made: Projected, reference: int = REFERENCE) -> dict[str, Any]:
    """Returns how near projections come to the frames after the first `reference`.

    landmark_px: mean distance in the image of the 68 projected landmarks from the frame's own, and
    without those of the mouth, whose expression the projection cannot know; landmark_percent, over
    the distance of the outer eye corners; l1 (0 to 255) where the projection shows the face. Each
    beside `key_frame`, the key frame as it is.
    """
    footage = made.footage
    later = np.flatnonzero(footage.valid[reference:]) + reference
    truth = footage.landmarks[later]
    still = np.broadcast_to(footage.landmarks[made.key], truth.shape)
    eyes = np.linalg.norm(np.subtract(*(truth[:, k] for k in OUTER_EYES)), axis=-1)
    calm = [k for k in range(68) if k not in MOUTH]
    mask = made.masks[later][..., None]
    frames = footage.frames[later].astype(np.float32)
    result: dict[str, Any] = {"key_frame_number": made.key, "frame_count": len(later)}
    shown = {"projection": (made.landmarks[later], made.images[later])}
    shown["key_frame"] = (still, footage.frames[made.key][None])
    for name, (points, images) in shown.items():
        distance = np.linalg.norm((points - truth)[..., :2], axis=-1)
        error = np.abs(images.astype(np.float32) - frames) * mask
        result[name] = {
            "landmark_px": float(distance.mean()),
            "landmark_px_without_mouth": float(distance[:, calm].mean()),
            "landmark_percent": float(100 * (distance.mean(1) / eyes).mean()),
            "l1": float(error.sum() / (3 * mask.sum())),
        }
    return result


def sheet(made: Projected, reference: int = REFERENCE, title: str = "") -> np.ndarray:
    """Returns the contact sheet: the first frames and the key frame, then later frames.

    Of each later frame the true one, the projection, the true one where the projection is, and the
    landmarks of both on the true one.
    """
    footage = made.footage
    source = evenly(np.arange(reference), 3)
    pictures = [(f"reference {k}", footage.frames[k]) for k in source]
    pictures.append((f"key frame {made.key}", footage.frames[made.key]))
    for k in evenly(np.arange(reference, len(footage.frames)), SHOWN):
        pictures += [
            (f"frame {k}", footage.frames[k]),
            ("projected face", made.images[k]),
            ("frame, cropped to it", footage.frames[k] * made.masks[k][..., None]),
            ("landmarks: red projected", _dotted(made, k)),
        ]
    labels, images = zip(*pictures, strict=True)
    return sheets.grid(list(images), list(labels), columns=4, title=title)


def _dotted(made: Projected, number: int) -> np.ndarray:
    picture = made.footage.frames[number].copy()
    for points, color in ((made.footage.landmarks, DUE), (made.landmarks, FOUND)):
        for x, y in points[number][:, :2]:
            cv2.circle(picture, (int(x), int(y)), 2, color, -1, cv2.LINE_AA)
    return picture


def summary_line(report: Mapping[str, Any]) -> str:
    """Returns the figures in one line."""
    parts = [
        f"{name}: landmarks {report[name]['landmark_px']:.2f} px "
        f"({report[name]['landmark_percent']:.1f} %), L1 {report[name]['l1']:.1f}"
        for name in ("projection", "key_frame")
    ]
    return f"{report['frame_count']} frames after the reference. {'; '.join(parts)}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `facejax gallery --projection`."""
    add = parser.add_argument
    add("--projection", metavar="VIDEO", help="project this video's face instead")
    add("--reference", type=int, default=REFERENCE, metavar="N",
        help=f"frames that the key frame is chosen from (default: {REFERENCE})")  # fmt: skip
    add("--unprojection", metavar="WORKDIR", help="mesh from this run; default: Face Mesh's points")
    add("--prnet", nargs=2, metavar=("CHECKPOINT", "UV_DATA"),
        help="mesh from PRNet's weights, for those who own them and its folder uv-data")  # fmt: skip
    add("--align", choices=ALIGNMENTS, default="rigid",
        help="lay the mesh on the key frame by Eq. 1 or on its landmarks")  # fmt: skip
    add("--soft", action="store_true", help="draw with the soft rasteriser, as published")


def project_video(args: argparse.Namespace) -> Projected:
    """Returns what those arguments ask for.

    Raises:
      InputError: arguments that do not go together; see `read_footage` and `project`.
    """
    if args.reference < 1:
        raise InputError(f"--reference is {args.reference}; due: 1 or more")
    if args.unprojection and args.prnet:
        raise InputError("--unprojection and --prnet are two sources of one mesh; give one")
    unproject: Unproject = from_points
    if args.unprojection:
        unproject = from_run(args.unprojection)
    elif args.prnet:
        unproject = from_prnet(*args.prnet)
    footage = read_footage(args.projection, FaceMesh())
    draw = draw_soft if args.soft else draw_hard
    terms: dict[str, Any] = {"reference": args.reference, "align": args.align, "draw": draw}
    return project(footage, unproject, **terms, name=args.projection)
