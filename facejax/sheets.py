"""Contact sheets: many small images with labels on one page, to look at."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

GAP = 4  # px between cells
BAND = 16  # px of a line of text
BACKGROUND = 255
INK = (32, 32, 32)


def grid(
    images: Sequence[np.ndarray],
    labels: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    title: str = "",
) -> np.ndarray:
    """Returns one sheet with `images` in rows, each centred in a cell with its label below.

    Args:
      images: uint8 [H, W, 3] RGB or [H, W], sizes may differ; the largest gives the cell.
      labels: one text per image; None leaves no room for text.
      columns: images in a row; None makes the sheet about as wide as high.
      title: a line above all.

    Returns:
      uint8 [sheet height, sheet width, 3].

    Raises:
      ValueError: no images, an image that is not 8-bit, or another number of labels.
    """
    if not images:
        raise ValueError("images is empty; due: at least one")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"labels has {len(labels)} entries; due: {len(images)}, one per image")
    cells = [_as_color(image) for image in images]
    height, width = max(c.shape[0] for c in cells), max(c.shape[1] for c in cells)
    columns = columns or math.ceil(math.sqrt(len(cells) * height / width))
    columns = min(columns, len(cells))
    rows = math.ceil(len(cells) / columns)
    step_y = height + GAP + (BAND if labels is not None else 0)
    top = GAP + (BAND if title else 0)
    shape = (top + rows * step_y, GAP + columns * (width + GAP), 3)
    sheet = np.full(shape, BACKGROUND, np.uint8)
    for k, cell in enumerate(cells):
        y, x = top + (k // columns) * step_y, GAP + (k % columns) * (width + GAP)
        dy, dx = (height - cell.shape[0]) // 2, (width - cell.shape[1]) // 2
        sheet[y + dy : y + dy + cell.shape[0], x + dx : x + dx + cell.shape[1]] = cell
        if labels is not None:
            put_text(sheet, labels[k], (x, y + height), width)
    if title:
        put_text(sheet, title, (GAP, 2), shape[1] - 2 * GAP)
    return sheet


def put_text(image: np.ndarray, text: str, corner: tuple[int, int], width: int) -> None:
    """Writes one line of `text` into `image` (in place), in BAND px below `corner` = (x, y).

    The letters shrink until the line fits `width` px. Characters outside ASCII become "?".
    """
    text = text.encode("ascii", "replace").decode()
    scale = 0.42
    (length, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    scale *= min(1.0, width / max(length, 1))
    origin = (corner[0], corner[1] + BAND - 5)
    cv2.putText(image, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, 1, cv2.LINE_AA)


def _as_color(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise ValueError(f"image is {image.dtype} {image.shape}; due: uint8 [H, W, 3] or [H, W]")
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)
