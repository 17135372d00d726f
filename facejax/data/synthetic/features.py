"""Eyes, brows and mouth of the neutral head: contours from the front, mm, for the side x >= 0."""

from types import ModuleType
from typing import Any

import numpy as np

EYE = np.array([31.0, 0.6])  # middle of the right-hand (x > 0) eye, seen from the front
EYE_INNER, EYE_OUTER = np.array([16.6, -1.6]), np.array([45.0, 0.0])
EYEBALL = np.array([30.8, 0.8, -6.4])  # centre
EYEBALL_RADII = np.array([18.0, 13.5, 13.0])
EYEBALL_TURN = 0.16  # how much deeper each mm outwards
LID_UP, LID_DOWN = 6.7, 4.8  # heights of the lids' margins above and below the line of corners
LID_THICKNESS = 1.3
MOUTH_WIDTH = 24.0  # half
MOUTH_Y = -63.6
BROW = np.array([[14.0, 20.5], [27.0, 24.0], [38.5, 24.8], [49.5, 21.5], [57.0, 14.5]])


def lid(place: np.ndarray, upper: bool) -> np.ndarray:
    """Returns a lid's margin from the inner corner (place 0) to the outer (1), [n, 2]."""
    place = np.asarray(place, float)
    line = EYE_INNER + (EYE_OUTER - EYE_INNER) * place[:, None]
    skewed = place**0.88 if upper else place**1.12
    arch = np.maximum(4 * skewed * (1 - skewed), 0) ** 0.72
    line[:, 1] += LID_UP * arch if upper else -LID_DOWN * arch
    return line


def eyeball_depth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns z of the eyeball's front at (x, y), continued flat beyond its outline."""
    dx, dy = x - EYEBALL[0], y - EYEBALL[1]
    inside = 1 - (dx / EYEBALL_RADII[0]) ** 2 - (dy / EYEBALL_RADII[1]) ** 2
    return EYEBALL[2] + EYEBALL_RADII[2] * np.sqrt(np.maximum(inside, 0.04)) - EYEBALL_TURN * dx


def seam(x: Any, xp: ModuleType = np) -> Any:
    """Returns y of the line where the closed lips meet; `xp` computes: numpy or jax.numpy."""
    u = xp.abs(x) / MOUTH_WIDTH
    return MOUTH_Y - 1.1 * u**2 + xp.exp(-((u - 0.33) ** 2) / 0.03) - 0.5


def upper_border(x: Any, xp: ModuleType = np) -> Any:
    """Returns y of the upper lip's outer border, with Cupid's bow."""
    u = xp.clip(xp.abs(x) / MOUTH_WIDTH, 0, 1)
    dome = 9.0 * (1 - u**1.7) - 1.8 * xp.exp(-((u / 0.16) ** 2)) * (1 - u)
    return seam(MOUTH_WIDTH) + dome + (seam(x, xp) - seam(MOUTH_WIDTH)) * 0.3 * (1 - u)


def lower_border(x: Any, xp: ModuleType = np) -> Any:
    """Returns y of the lower lip's outer border."""
    u = xp.clip(xp.abs(x) / MOUTH_WIDTH, 0, 1)
    return seam(MOUTH_WIDTH) - 10.0 * (1 - u**2.4) ** 0.9


def lip_relief(x: np.ndarray, share: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Returns how far the lips stand out, mm, at share 0 (seam) to 1 (border)."""
    taper = 1 - np.clip(np.abs(x) / MOUTH_WIDTH, 0, 1) ** 2
    fullness = np.where(upper, 2.6, 3.4)
    return taper * (fullness * np.sin(np.pi * np.clip(0.18 + 0.72 * share, 0, 1)) - 1.0)
