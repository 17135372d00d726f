"""A contact sheet of a talk: moments of it, evenly spaced, and below each its mouth."""

from collections.abc import Iterator

import numpy as np

from facejax import mouths, sheets
from facejax.data import pipeline
from facejax.geometry.morphable import MorphableModel
from facejax.judging import evenly
from facejax.motion import Motion

SHOWN = 8
SIDE = 160  # px of a picture on the sheet


class Watch:
    """Keeps a few of the pictures that pass through it."""

    def __init__(self, total: int):
        """Takes the number of pictures that will pass."""
        self._wanted = set(evenly(np.arange(total), min(SHOWN, total)).tolist())
        self.kept: dict[int, np.ndarray] = {}  # number -> picture

    def through(self, pictures: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the pictures, all of them."""
        for number, picture in enumerate(pictures):
            if number in self._wanted:
                self.kept[number] = picture
            yield picture


def sheet(kept: dict[int, np.ndarray], motion: Motion, model: MorphableModel) -> np.ndarray:
    """Returns the kept pictures with their times, and a row of their mouths, uint8 [H, W, 3].

    Args:
      kept: of a `Watch`, square pictures.
      motion: that was drawn.
      model: of the motion.
    """
    size = next(iter(kept.values())).shape[0]
    where = mouths.places(model, motion, size)
    fps = float(motion.fps)
    wholes = [pipeline.resize(picture, SIDE) for picture in kept.values()]
    lips = [mouths.crop(picture, where[number], SIDE) for number, picture in kept.items()]
    labels = [f"{number / fps:.2f} s" for number in kept] + ["mouth"] * len(lips)
    return sheets.grid([*wholes, *lips], labels, columns=len(wholes))
