"""Finds faces in an image: BlazeFace (short range) run over the frame, and over tiles when needed.

Bazarevsky et al. 2019, arxiv.org/abs/1907.05047. The net sees a 128 x 128 square and finds faces
that fill at least a tenth of it; smaller ones need a closer look, faces that fill the frame a wider
one. Points and boxes are in px of the image, x right, y down; the centre of pixel (row i, column j)
is (j + 0.5, i + 0.5).
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np

INPUT = 128  # px
LEAST_SCORE = 0.5
OVERLAP = 0.3  # intersection over union above which two boxes are one face
RIGHT_EYE, LEFT_EYE, NOSE, MOUTH, RIGHT_EAR, LEFT_EAR = range(6)
LEAST_TILE = 96  # px: a smaller tile would only magnify blur
TILES = (1, 2, 4)  # tiles along the short side, level by level, each overlapping the next by half


class Detection(NamedTuple):
    """A face found."""

    box: np.ndarray  # [4] x0, y0, x1, y1 px, brow to chin
    keypoints: np.ndarray  # [6, 2] px, in the order of RIGHT_EYE ... LEFT_EAR (the subject's right)
    score: float  # 0 to 1


def interpreter(path: str, threads: int) -> Any:
    """Returns a TensorFlow Lite interpreter for the model file at `path`, ready to run."""
    from ai_edge_litert.interpreter import Interpreter  # 0.1 s that other commands need not pay

    with _no_chatter():
        net = Interpreter(str(path), num_threads=threads)
        net.allocate_tensors()
    return net


@contextlib.contextmanager
def _no_chatter() -> Iterator[None]:
    """Drops what the C++ runtime writes to standard error: that it runs on the CPU, each time."""
    try:
        own = os.dup(2)
    except OSError:  # standard error is closed: nothing to drop
        yield
        return
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(own, 2)
        os.close(own)


class FaceDetector:
    """Detects faces in uint8 RGB images. One instance serves one thread."""

    def __init__(self, path: str, threads: int = 1):
        self._net = interpreter(path, threads)
        self._input = self._net.get_input_details()[0]["index"]
        outputs = {d["shape"][-1]: d["index"] for d in self._net.get_output_details()}
        self._codes, self._logits = outputs[16], outputs[1]
        self._anchors = anchors()

    def levels(self, image: np.ndarray) -> Iterator[list[Detection]]:
        """Yields what each level of the search finds: the frame, a wider view, ever smaller tiles.

        Args:
          image: uint8 [H, W, 3] RGB.

        Yields:
          Detections of the level, best first, without duplicates.
        """
        for squares in search_levels(*image.shape[:2]):
            found = [d for square in squares for d in self._detect(image, square)]
            yield suppress(found)

    def _detect(self, image: np.ndarray, square: tuple[float, float, float]) -> list[Detection]:
        """Detects in one square (centre x, centre y, side), which may reach out of the image."""
        x, y, side = square
        crop = sample_square(image, (x, y), side, 0.0, INPUT, cv2.BORDER_CONSTANT)
        self._net.set_tensor(self._input, crop[None].astype(np.float32) / 127.5 - 1)
        self._net.invoke()
        codes = self._net.get_tensor(self._codes)[0]
        logits = self._net.get_tensor(self._logits)[0, :, 0]
        corner = np.array([x, y]) - side / 2
        return decode(codes, logits, self._anchors, corner, side)


def anchors() -> np.ndarray:
    """Returns the centres of BlazeFace's 896 anchors as fractions of the square, [896, 2] x, y.

    Two anchors in each cell of a 16 x 16 grid, then six in each of 8 x 8, row by row.
    """
    centres = []
    for cells, count in ((16, 2), (8, 6)):
        y, x = np.mgrid[:cells, :cells]
        grid = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / cells
        centres.append(np.repeat(grid, count, axis=0))
    return np.concatenate(centres).astype(np.float32)


def decode(
    codes: np.ndarray, logits: np.ndarray, anchors: np.ndarray, corner: np.ndarray, side: float
) -> list[Detection]:
    """Returns the detections above LEAST_SCORE, in image px, before duplicates are merged.

    Args:
      codes: [896, 16] box centre, width and height, then six key points, all in px of the INPUT
        square; centres and points are relative to the anchor.
      logits: [896] of the score.
      anchors: [896, 2] fractions of the square.
      corner: [2] upper left corner of the square in the image, px.
      side: of the square, px.
    """
    scores = 1 / (1 + np.exp(-np.clip(logits, -80, 80)))  # exp(80) is still finite in float32
    keep = scores >= LEAST_SCORE
    points = codes[keep].reshape(-1, 8, 2) / INPUT
    size = points[:, 1].copy()
    points += anchors[keep, None]
    points = corner + side * points
    centre, half = points[:, 0], side * size / 2
    boxes = np.concatenate([centre - half, centre + half], axis=-1)
    return [
        Detection(box, keypoints, float(score))
        for box, keypoints, score in zip(boxes, points[:, 2:], scores[keep], strict=True)
    ]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Returns intersection over union of two boxes [4] x0, y0, x1, y1; 0 when either is empty."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = np.prod(np.maximum(sides, 0))
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared
    return float(shared / union) if union > 0 else 0.0


def suppress(found: list[Detection]) -> list[Detection]:
    """Merges detections of the same face: the score-weighted mean of each cluster, best first."""
    rest = sorted(found, key=lambda d: -d.score)
    merged = []
    while rest:
        same = [d for d in rest if overlap(d.box, rest[0].box) > OVERLAP] or rest[:1]
        weights = np.array([d.score for d in same]) / sum(d.score for d in same)
        box = np.tensordot(weights, np.stack([d.box for d in same]), 1)
        keypoints = np.tensordot(weights, np.stack([d.keypoints for d in same]), 1)
        merged.append(Detection(box, keypoints, rest[0].score))
        gone = {id(d) for d in same}
        rest = [d for d in rest if id(d) not in gone]
    return merged


def search_levels(height: int, width: int) -> Iterator[list[tuple[float, float, float]]]:
    """Yields the squares (centre x, centre y, side) to look at, from one for all to many small.

    First the whole frame; then a view twice as wide, for a face that fills the frame, together with
    squares as large as the frame allows; then tiles of a half and of a quarter of its short side.
    """
    middle, longer, shorter = (width / 2, height / 2), max(height, width), min(height, width)
    yield [(*middle, float(longer))]
    for count in TILES:
        side = shorter / count
        squares = [(*middle, 2.0 * longer)] if count == 1 else []
        across, down = _spread(width, side), _spread(height, side)
        if side >= LEAST_TILE and len(across) * len(down) > 1:
            squares += [(x, y, side) for y in down for x in across]
        yield squares


def _spread(length: int, side: float) -> np.ndarray:
    """Returns tile centres along one axis: first and last touch the ends, overlap at least half."""
    count = int(np.ceil((length - side) / (side / 2) - 1e-9)) + 1
    return np.linspace(side / 2, length - side / 2, count)


def sample_square(
    image: np.ndarray,
    centre: tuple[float, float],
    side: float,
    angle: float,
    size: int,
    border: int = cv2.BORDER_REPLICATE,
) -> np.ndarray:
    """Returns a rotated square of `image`, resampled to size x size without aliasing.

    Args:
      image: uint8 [H, W, 3], of any size.
      centre: x, y of the square's centre, px.
      side: of the square, px.
      angle: of the square's x axis in the image, radians, clockwise as seen.
      size: of the result, px.
      border: what lies outside of the image (an OpenCV border mode).

    Returns:
      uint8 [size, size, 3].
    """
    reach = side / 2 * (abs(np.cos(angle)) + abs(np.sin(angle))) + 2 * max(side / size, 1)
    low = np.maximum(np.floor(np.subtract(centre, reach)), 0).astype(int)
    high = np.minimum(np.ceil(np.add(centre, reach)), image.shape[1::-1]).astype(int)
    if (high <= low).any():
        return np.zeros((size, size, 3), np.uint8)
    patch = image[low[1] : high[1], low[0] : high[0]]
    shrink = max(int(side / size), 1)  # area averages first: bilinear alone would skip pixels
    small = [max(round(n / shrink), 1) for n in patch.shape[1::-1]]
    scale = np.divide(small, patch.shape[1::-1])
    if shrink > 1:
        patch = cv2.resize(patch, small, interpolation=cv2.INTER_AREA)
    axes = side / size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # OpenCV puts the centre of the first pixel at 0, we put it at 0.5: hence the halves.
    shift = (np.subtract(centre, low) + axes @ np.full(2, 0.5 - size / 2)) * scale - 0.5
    matrix = np.concatenate([axes * scale[:, None], shift[:, None]], axis=1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(patch, matrix, (size, size), flags=flags, borderMode=border)
