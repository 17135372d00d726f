"""Measures landmarks, head pose and model fit on photos and videos.

    facejax accuracy FOLDER --sheet accuracy.png

An image with a .mat file of the same name beside it, in the layout of AFLW2000-3D (`pt3d_68`,
`Pose_Para`), gives the landmark error (68 points, mean distance over the root of the area of their
box) and the pose error (pitch, yaw, roll as that data set defines them, and the angle between the
two rotations). Every image gives the residual of the face model's fit to the 468 points: their RMS
distance over the distance of the outer eye corners. A video gives the mean over every tenth frame.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from facejax import video
from facejax.errors import InputError
from facejax.face_mesh import Face, FaceMesh
from facejax.face_topology import IBUG_68
from facejax.files import check_parent, read_image, write_image
from facejax.geometry.fit import FitOperator, fit_shape
from facejax.metrics.landmarks import nme, rotation_error
from facejax.morphable_files import load_model
from facejax.morphable_sources import load_mat
from facejax.progress import progress
from facejax.sheets import grid
from facejax.track import fit_operator

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi")
STRIDE = 10  # of a video's frames
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
COLUMNS = ("score", "fit %", "nme %", "pitch", "yaw", "roll", "angle")
CELL = 384  # px of an image in the sheet
FOUND, DUE, POINTS = (255, 40, 40), (40, 255, 40), (80, 200, 255)  # colours in the sheet


class Truth(NamedTuple):
    """An annotation in the layout of AFLW2000-3D."""

    landmarks: np.ndarray  # [68, 2] px
    rotation: np.ndarray  # [3, 3] of the head: the identity when frontal
    angles: np.ndarray  # [3] pitch, yaw, roll in radians, in the data set's convention


class Row(NamedTuple):
    """What was measured on one image; NaN where there is nothing to measure."""

    name: str
    score: float  # of the face; NaN: no face was found
    residual: float  # RMS distance of points and fit over the outer-eye distance
    nme: float
    angles: np.ndarray  # [3] signed errors of pitch, yaw, roll, degrees
    rotation: float  # degrees


def read_truth(path: Path) -> Truth:
    """Returns the annotation in a .mat file.

    Pose_Para holds angles of R = Rx(-pitch) Ry(-yaw) Rz(-roll), in a frame with y up and z to the
    viewer. Its coordinates have the centre of the first pixel at 1.

    Raises:
      InputError: not a .mat file, or one without these arrays.
    """
    arrays = load_mat(path, ("pt3d_68", "Pose_Para"), "an annotation as in AFLW2000-3D")
    landmarks = np.asarray(arrays["pt3d_68"], np.float32)[:2].T - 0.5
    angles = np.asarray(arrays["Pose_Para"], np.float32).ravel()[:3]
    if landmarks.shape != (68, 2) or angles.shape != (3,):
        raise InputError(f"{path}: `pt3d_68` is {landmarks.T.shape}; due: (3, 68), and 3 angles")
    return Truth(landmarks, Rotation.from_euler("XYZ", -angles).as_matrix(), angles)


def measure(
    name: str, face: Face | None, head: tuple[np.ndarray, float], truth: Truth | None
) -> Row:
    """Returns what can be measured on one image.

    Args:
      name: of the image.
      face: found, or None.
      head: rotation of the head [3, 3] and residual of the fit.
      truth: or None.
    """
    row = Row(name, np.nan, np.nan, np.nan, np.full(3, np.nan), np.nan)
    if face is None:
        return row
    rotation, residual = head
    row = row._replace(score=face.score, residual=residual)
    if truth is None:
        return row
    landmarks = jnp.asarray(face.points[list(IBUG_68), :2])
    angles = -Rotation.from_matrix(rotation).as_euler("XYZ")
    turn = rotation_error(jnp.asarray(rotation), jnp.asarray(truth.rotation))
    return row._replace(
        nme=float(nme(landmarks, jnp.asarray(truth.landmarks))),
        angles=np.degrees(angles - truth.angles),
        rotation=float(np.degrees(turn)),
    )


def measure_folder(folder: Path, model: str = "ready-made") -> tuple[list[Row], list[np.ndarray]]:
    """Returns a row for each image and video, and the (first) images with what was found drawn in.

    Raises:
      InputError: no such folder, nothing in it, an unreadable image, video or annotation.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {folder}; give one with images")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES + VIDEOS)
    if not paths:
        raise InputError(f"{folder} holds no images ({' '.join(SUFFIXES)}) and no videos")
    operator, face_mesh = fit_operator(load_model(model)), FaceMesh()
    rows, pictures = [], []
    for path in progress(paths, label="accuracy"):
        truth = read_truth(path.with_suffix(".mat")) if path.with_suffix(".mat").exists() else None
        parts: list[Row] = []
        face = None
        for image in _images(path):
            if parts:
                face = face_mesh.track(image, face)
            else:
                face = _nearest(face_mesh.faces(image), truth)
                pictures.append(_drawn(image, face, truth))
            parts.append(measure(path.name, face, _head(operator, face), truth))
        rows.append(_mean(path.name, parts))
    return rows, pictures


def _images(path: Path) -> Iterator[np.ndarray]:
    if path.suffix.lower() in SUFFIXES:
        yield read_image(path)
    else:
        frames = video.read_frames(path)
        yield from (frame for _, frame in itertools.islice(frames, 0, None, STRIDE))


def _head(operator: FitOperator, face: Face | None) -> tuple[np.ndarray, float]:
    """The head's rotation [3, 3] and the fit's residual; NaN without a face."""
    if face is None:
        return np.full((3, 3), np.nan, np.float32), float("nan")
    fit = fit_shape(operator, jnp.asarray(face.points), camera_from="fitted")
    flip = np.array([[1], [-1], [-1]], np.float32)
    return flip * np.asarray(fit.camera.rotation), float(fit.residual)


def _nearest(faces: Sequence[Face], truth: Truth | None) -> Face | None:
    """The annotated face, else the largest, else None."""
    if not faces or truth is None:
        return faces[0] if faces else None
    aim = truth.landmarks.mean(axis=0)
    return min(faces, key=lambda f: np.linalg.norm(f.points[list(IBUG_68), :2].mean(axis=0) - aim))


def _drawn(image: np.ndarray, face: Face | None, truth: Truth | None) -> np.ndarray:
    """The image at CELL px with the points and landmarks found, and lines to where they are due."""
    ratio = CELL / max(image.shape[:2])
    image = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    due = None if truth is None else _pixels(truth.landmarks, ratio)
    found = None if face is None else _pixels(face.points[list(IBUG_68), :2], ratio)
    for point in [] if face is None else _pixels(face.points[:, :2], ratio):
        cv2.circle(image, point, 0, POINTS, -1)
    for start, end in zip(found, due, strict=True) if found and due else ():
        cv2.line(image, start, end, (255, 255, 0), 1, cv2.LINE_AA)
    for points, color in ((due, DUE), (found, FOUND)):
        for point in points or ():
            cv2.circle(image, point, 1, color, -1, cv2.LINE_AA)
    return image


def _pixels(points: np.ndarray, ratio: float) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x, y in points * ratio]  # pixel j covers j to j + 1


def _mean(name: str, rows: Sequence[Row], *, absolute: bool = False) -> Row:
    """The mean of what is known; NaN where nothing is."""
    numbers = np.array([(r.score, r.residual, r.nme, *r.angles, r.rotation) for r in rows])
    numbers = np.abs(numbers) if absolute else numbers
    known = ~np.isnan(numbers)
    sums, counts = np.where(known, numbers, 0).sum(axis=0), known.sum(axis=0)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    score, residual, points, *angles, rotation = map(float, means)
    return Row(name, score, residual, points, np.array(angles), rotation)


def table(rows: Sequence[Row]) -> str:
    """Returns the rows as text, with the mean of absolute values below."""
    lines = [" ".join([f"{'image':24}", *(f"{name:>6}" for name in COLUMNS)])]
    lines += [_line(row) for row in (*rows, _mean("mean of absolute values", rows, absolute=True))]
    found = sum(not np.isnan(row.score) for row in rows)
    lines.append(f"a face in {found} of {len(rows)}; angles in degrees")
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    numbers = (row.score, 100 * row.residual, 100 * row.nme, *row.angles, row.rotation)
    cells = ["     -" if np.isnan(number) else f"{number:6.2f}" for number in numbers]
    return " ".join([f"{row.name[:24]:24}", *cells])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares `facejax accuracy FOLDER`."""
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="images, .mat files beside them"
    )
    parser.add_argument("--model", default="ready-made", metavar="NPZ", help="face model to fit")
    parser.add_argument(
        "--sheet", type=Path, metavar="PNG", help="draw what was found (red), due (green)"
    )


def run(args: argparse.Namespace) -> int:
    """Writes the table, and the contact sheet if asked for."""
    if args.sheet is not None:
        check_parent(args.sheet)
    rows, images = measure_folder(args.folder, args.model)
    sys.stdout.write(table(rows))
    if args.sheet is not None:
        labels = [_line(row) for row in rows]
        write_image(args.sheet, grid(images, labels))
    return 0
