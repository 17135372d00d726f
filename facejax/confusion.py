"""Pictures of confusion matrices: who was taken for whom."""

from collections.abc import Sequence

import cv2
import numpy as np

from facejax import sheets

CELL = 44  # px
LEFT = 96  # px for the names of the rows
FULL = (31, 90, 160)  # the colour of a share of 1; 0 is white
PALE = 0.6  # above this share the colour is too dark for ink


def picture(matrix: np.ndarray, names: Sequence[str], title: str = "") -> np.ndarray:
    """Returns a matrix as a picture, uint8 [H, W, 3]: shares of each row, in percent.

    Args:
      matrix: [N, N] counts; rows are the true ones, columns what they were taken for. A row of
        zeros is left white.
      names: of the rows; the columns are numbered in the same order.
      title: a line above.

    Raises:
      ValueError: another shape, or another number of names.
    """
    matrix = np.asarray(matrix, np.float64)
    if matrix.ndim != 2 or matrix.shape != (len(names), len(names)):
        raise ValueError(f"matrix has shape {matrix.shape}, with {len(names)} names; due: [N, N]")
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    top, count = 2 * sheets.BAND + 2, len(names)
    image = np.full((top + CELL * count, LEFT + CELL * count, 3), sheets.BACKGROUND, np.uint8)
    sheets.put_text(image, title, (2, 0), image.shape[1] - 4)
    for row, name in enumerate(names):
        y, centre = top + CELL * row, (CELL - sheets.BAND) // 2
        sheets.put_text(image, f"{row + 1}  {name}", (2, y + centre), LEFT - 6)
        x = LEFT + CELL * row
        sheets.put_text(image, f"{row + 1}", (x + CELL // 2 - 4, sheets.BAND), CELL)
        for column, share in enumerate(shares[row]):
            _cell(image, (LEFT + CELL * column, y), share)
    return image


def _cell(image: np.ndarray, corner: tuple[int, int], share: float) -> None:
    """Draws one share as colour and number."""
    x, y = corner
    color = np.round(255 + share * (np.array(FULL) - 255)).astype(int).tolist()
    cv2.rectangle(image, (x, y), (x + CELL - 2, y + CELL - 2), color, cv2.FILLED)
    ink = (255, 255, 255) if share > PALE else sheets.INK
    text = f"{100 * share:.0f}"
    (length, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)
    origin = (x + (CELL - length) // 2, y + (CELL + height) // 2)
    cv2.putText(image, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.42, ink, 1, cv2.LINE_AA)
