"""One steady square crop a clip: where it lies, cutting it out, putting a result back.

A box is x0, y0, x1, y1 in px of the source, x right, y down. It is fixed for a clip, so that the
head's motion stays in the picture. Where it reaches over the frame, the frame's edge is repeated.
"""

import cv2
import numpy as np

from facejax.errors import InputError
from facejax.face_detector import sample_square

# HeadGAN's crop: a margin of 100 px around a face drawn at 256 - 100 px (headGAN's extract_face).
MARGIN = 1 + 100 / 156
MOST_JUMP = 0.45  # of the crop's side, between any two frames
FEATHER = 0.12  # of the crop's side: how far a pasted crop fades out at its edges


def steady_box(
    boxes: np.ndarray, size: tuple[int, int], *, most_jump: float = MOST_JUMP
) -> np.ndarray:
    """Returns the crop of a clip: the median face box, made square and 1.641 times as large.

    The side is the longer one of the median box. A crop that would reach over the frame is moved
    inside; one larger than the frame is moved until it holds all of it. Corners are whole pixels.

    Args:
      boxes: [T, 4] face boxes of the frames.
      size: (height, width) of the frame.
      most_jump: largest difference between any two frames' boxes, as a share of the crop's side.
        The published code compares with the mean of the frame's sides, which says little about
        whether the face stays in the crop.

    Returns:
      float32 [4].

    Raises:
      InputError: the face moves or grows by more than `most_jump`.
    """
    x0, y0, x1, y1 = np.median(boxes, axis=0)
    side = max(2, round(MARGIN * max(x1 - x0, y1 - y0)))
    jump = float(np.ptp(boxes, axis=0).max() / side)
    if jump > most_jump:
        raise InputError(
            f"the face moves by {jump:.2f} of the crop's side, more than {most_jump:.2f}: it would "
            "leave the crop; choose a calmer or shorter part, or cut at the scene change"
        )
    corner = np.round([(x0 + x1 - side) / 2, (y0 + y1 - side) / 2])
    room = np.array([size[1] - side, size[0] - side])
    corner = np.clip(corner, np.minimum(room, 0), np.maximum(room, 0))
    return np.concatenate([corner, corner + side]).astype(np.float32)


def centre_box(size: tuple[int, int]) -> np.ndarray:
    """Returns the largest square in the middle of a frame of (height, width), float32 [4]."""
    side = min(size)
    corner = np.array([(size[1] - side) // 2, (size[0] - side) // 2])
    return np.concatenate([corner, corner + side]).astype(np.float32)


def extract(image: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """Returns the square `box` of uint8 [H, W, 3] as uint8 [size, size, 3], without aliasing."""
    x0, y0, x1, y1 = (float(value) for value in box)
    whole = [round(value) for value in (x0, y0)]
    height, width = image.shape[:2]
    if x1 - x0 == size and whole == [x0, y0] and min(x0, y0) >= 0 and x1 <= width and y1 <= height:
        return image[whole[1] : whole[1] + size, whole[0] : whole[0] + size].copy()
    return sample_square(
        image, ((x0 + x1) / 2, (y0 + y1) / 2), x1 - x0, 0.0, size, cv2.BORDER_REPLICATE
    )


def to_crop(points: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """Returns points [..., 2 or 3] (px of the source) in px of the crop at size x size."""
    scale = size / float(box[2] - box[0])
    shifted = np.array(points, np.float32)
    shifted[..., :2] -= box[:2]
    return shifted * np.float32(scale)


def paste_back(frame: np.ndarray, crop: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Returns `frame` with `crop` put back at `box`, fading into it at the crop's edges.

    It does not fade where the box ends at, or beyond, the edge of the frame.

    Args:
      frame: uint8 [H, W, 3].
      crop: uint8 [S, S, 3], of any size.
      box: [4] with whole-pixel corners, as `steady_box` gives.
    """
    x0, y0, x1, y1 = (round(float(value)) for value in box)
    height, width = frame.shape[:2]
    shrinks = crop.shape[0] > x1 - x0
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    resized = cv2.resize(crop, (x1 - x0, y1 - y0), interpolation=method)
    across = _fade(x1 - x0, open_start=x0 > 0, open_end=x1 < width)
    down = _fade(y1 - y0, open_start=y0 > 0, open_end=y1 < height)
    top, left, bottom, right = max(y0, 0), max(x0, 0), min(y1, height), min(x1, width)
    if bottom <= top or right <= left:
        return frame.copy()
    inside = np.s_[top - y0 : bottom - y0, left - x0 : right - x0]
    weight = (down[:, None] * across)[inside][..., None]
    pasted = frame.copy()
    under = frame[top:bottom, left:right]
    mixed = resized[inside] * weight + under * (1 - weight)
    pasted[top:bottom, left:right] = np.round(mixed).astype(np.uint8)
    return pasted


def _fade(length: int, *, open_start: bool, open_end: bool) -> np.ndarray:
    """Returns [length] weights: 1 inside, falling smoothly towards each open end."""
    place = (np.arange(length, dtype=np.float32) + 0.5) / (FEATHER * length)
    weight = np.ones(length, np.float32)
    for is_open, distance in ((open_start, place), (open_end, place[::-1])):
        if is_open:
            near = np.clip(distance, 0, 1)
            weight *= near * near * (3 - 2 * near)
    return weight
