"""Dense 3-D face landmarks from an image: Google's Face Mesh (468 points), without its framework.

Kartynnik et al. 2019, arxiv.org/abs/1907.06724. Detect, rotate so that the eyes are level, crop 1.5
times the face, regress, map back. In a video the points of one frame give the crop of the next, and
the detector runs again only when the score falls. `facejax weights face-mesh` brings the models.

Points are in px of the image, x right, y down, z away from the viewer (nearer is smaller), z in the
same unit and relative to the face's own middle; the centre of pixel (row i, column j) is
(j + 0.5, i + 0.5).
"""

from typing import NamedTuple

import numpy as np

from facejax import weights
from facejax.checks import shapes
from facejax.face_detector import (
    LEFT_EYE,
    RIGHT_EYE,
    Detection,
    FaceDetector,
    interpreter,
    overlap,
    sample_square,
)
from facejax.face_topology import LEFT_EYE_OUTER, NUM_POINTS, RIGHT_EYE_OUTER

INPUT = 192  # px
MARGIN = 1.5  # side of the crop over the longer side of the face's box
LEAST_SCORE = 0.5  # below: no face
# Passes after the first, each from the points of the one before, as tracking does: the crop settles
# on the face. Measured: an error of 5.9 % of the face's size in profile falls to 4.9 %.
PASSES = 2


class Face(NamedTuple):
    """One face in one image."""

    points: np.ndarray  # [468, 3] float32 px, z nearer is smaller
    score: float  # 0 to 1: how sure the net is that the crop held a face
    box: np.ndarray  # [4] float32 x0, y0, x1, y1 px: the extent of the points


class Square(NamedTuple):
    """A rotated crop: what the landmark net looks at."""

    centre: np.ndarray  # [2] px
    side: float  # px
    angle: float  # radians, of the line from the right to the left eye, clockwise as seen


class FaceMesh:
    """Finds and follows faces in uint8 RGB images of any size. One instance serves one thread.

    Raises:
      InputError: the models are missing, with the command that brings them.
    """

    def __init__(self, threads: int = 1):
        paths = weights.find("face-mesh")
        self._detector = FaceDetector(str(paths["face_detection_short_range.tflite"]), threads)
        self._net = interpreter(str(paths["face_landmark.tflite"]), threads)
        self._input = self._net.get_input_details()[0]["index"]
        outputs = {int(np.prod(d["shape"])): d["index"] for d in self._net.get_output_details()}
        self._points, self._score = outputs[3 * NUM_POINTS], outputs[1]

    def faces(self, image: np.ndarray, *, levels: int = 4) -> list[Face]:
        """Returns all faces found, the largest first; none is an empty list.

        The whole frame is searched; only if it shows no face, a wider view and ever smaller tiles.

        Args:
          image: uint8 [H, W, 3] RGB.
          levels: how far to search, 1 (the frame: 5 ms) to 4 (tiles of a quarter of it: up to 1 s).

        Raises:
          ValueError: the image is no uint8 [H, W, 3].
        """
        _check(image)
        for _, detections in zip(range(levels), self._detector.levels(image), strict=False):
            found: list[Face] = []
            for detection in detections:
                face = self._landmarks(image, square_of_detection(detection))
                for _ in range(PASSES):
                    if face is not None and face.score >= LEAST_SCORE:
                        face = self._landmarks(image, square_of_points(face.points))
                if face is not None and face.score >= LEAST_SCORE:
                    found.append(face)
            if found:
                return _distinct(found)
        return []

    def track(
        self, image: np.ndarray, previous: Face | None = None, *, levels: int = 4
    ) -> Face | None:
        """Returns the face of `previous` in the next frame, or None when no face is there.

        Args:
          image: uint8 [H, W, 3] RGB.
          previous: the face in the frame before; None searches the image for the largest.
          levels: as of `faces`, for the search that follows when the face was lost.
        """
        _check(image)
        if previous is not None:
            face = self._landmarks(image, square_of_points(previous.points))
            if face is not None and face.score >= LEAST_SCORE:
                return face
        found = self.faces(image, levels=levels)
        if previous is not None:  # a face where the lost one was, rather than the largest
            found.sort(key=lambda face: -overlap(face.box, previous.box))
        return found[0] if found else None

    def _landmarks(self, image: np.ndarray, square: Square) -> Face | None:
        """Regresses the points in one crop; None when they collapse or leave the image."""
        centre = (float(square.centre[0]), float(square.centre[1]))
        crop = sample_square(image, centre, square.side, square.angle, INPUT)
        self._net.set_tensor(self._input, crop[None].astype(np.float32) / 255)
        self._net.invoke()
        raw = self._net.get_tensor(self._points).reshape(NUM_POINTS, 3)
        logit = float(self._net.get_tensor(self._score).reshape(()))
        points = points_in_image(raw, square)
        box = np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)])
        height, width = image.shape[:2]
        outside = (box[2:] <= 0).any() or (box[:2] >= (width, height)).any()
        if not np.isfinite(points).all() or outside or (box[2:] - box[:2]).min() < 1:
            return None
        return Face(points, float(1 / (1 + np.exp(-np.clip(logit, -80, 80)))), box)


def square_of_detection(detection: Detection) -> Square:
    """Returns the crop around a detected face, turned so that its eyes are level."""
    across = detection.keypoints[LEFT_EYE] - detection.keypoints[RIGHT_EYE]
    box = detection.box
    side = MARGIN * float((box[2:] - box[:2]).max())
    return Square((box[:2] + box[2:]) / 2, side, float(np.arctan2(across[1], across[0])))


def square_of_points(points: np.ndarray) -> Square:
    """Returns the crop around the points [468, 3 or 2] of a face, turned so that eyes are level."""
    plane = points[:, :2].astype(np.float64)
    across = plane[LEFT_EYE_OUTER] - plane[RIGHT_EYE_OUTER]
    angle = float(np.arctan2(across[1], across[0]))
    level = plane @ _rotation(angle)  # row vectors: turns by -angle
    low, high = level.min(axis=0), level.max(axis=0)
    return Square(_rotation(angle) @ ((low + high) / 2), MARGIN * float((high - low).max()), angle)


def points_in_image(raw: np.ndarray, square: Square) -> np.ndarray:
    """Maps points from the net's crop [N, 3] (px of INPUT) to the image, float32 [N, 3] px."""
    scaled = (raw - np.array([INPUT / 2, INPUT / 2, 0])) * (square.side / INPUT)
    scaled[:, :2] = scaled[:, :2] @ _rotation(square.angle).T + square.centre
    return scaled.astype(np.float32)


def _rotation(angle: float) -> np.ndarray:
    """[2, 2], for column vectors: clockwise as seen, since y points down."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _distinct(faces: list[Face]) -> list[Face]:
    """Drops the smaller or less sure of faces that overlap by half, and sorts, largest first."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(overlap(face.box, other.box) < 0.5 for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda face: -float(np.prod(face.box[2:] - face.box[:2])))


def _check(image: np.ndarray) -> None:
    shapes(image=(image, "H W 3"))
    if image.dtype != np.uint8:
        raise ValueError(f"image is {image.dtype}; due: uint8 RGB in 0..255")
