"""What `facejax gallery --projection` says and shows of a video's projected face."""

import argparse
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from facejax import sheets
from facejax.errors import InputError
from facejax.face_mesh import FaceMesh
from facejax.geometry.face_projection import draw_hard, draw_soft
from facejax.judging import evenly
from facejax.projection import (
    ALIGNMENTS,
    REFERENCE,
    Projected,
    Unproject,
    from_points,
    from_prnet,
    from_run,
    project,
    read_footage,
)

SHOWN = 5  # later frames on the sheet
OUTER_EYES = (36, 45)
MOUTH = range(48, 68)
DUE, FOUND = (60, 220, 60), (255, 60, 60)  # colours of landmarks


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
        help="mesh from PRNet's own weights, with its folder uv-data")  # fmt: skip
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
