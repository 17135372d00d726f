"""A picture of how the head moves while something is said: pose against time, over the waveform."""

import numpy as np

from facejax import plots, sheets
from facejax.motion import Motion

SIZE = (170, 960)  # px of each of the two plots


def picture(motion: Motion, wave: np.ndarray, rate: int, title: str = "") -> np.ndarray:
    """Returns the angles, and below them the places about their means, uint8 [H, W, 3].

    Args:
      motion: one clip of T frames.
      wave: [n] mono sound from the first frame on, in [-1, 1]; n = 0: none is shown.
      rate: Hz, of the sound.
      title: above both.
    """
    pose, fps = np.asarray(motion.pose, np.float64), float(motion.fps)
    wave = wave[: round(len(pose) / fps * rate)]
    angles = np.rad2deg(pose[:, :3])
    places = pose[:, 3:] - pose[:, 3:].mean(0)
    drawn = []
    for values, names, unit in (
        (angles, ("pitch", "yaw", "roll"), "head, deg"),
        (places, ("x", "y", "distance"), "place, mm"),
    ):
        curves = {name: values[:, k] for k, name in enumerate(names)}
        drawn.append(plots.lines(curves, title=unit, fps=fps, size=SIZE, behind=wave))
    return sheets.grid(drawn, columns=1, title=title)
