"""Where the mouth is in a picture of a known motion, and crops of it to compare lips by."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from facejax.geometry.camera import camera_from_pose, project
from facejax.geometry.morphable import MorphableModel
from facejax.metrics.attributes import MOUTH
from facejax.motion import Motion

SIDE = 1.7  # of a crop, as a multiple of the mouth's greatest width


def places(model: MorphableModel, motion: Motion, size: int) -> np.ndarray:
    """Returns where the mouth is in square pictures, [T, 3] px: the middle's x and y, and its side.

    The middle is the mean of the landmarks 48 to 67; the side of a crop is the same for all frames.

    Args:
      model: of the motion.
      motion: one clip: identity [I], expression [T, E], pose [T, 6].
      size: of the pictures, px.
    """
    chosen = np.asarray(model.landmarks)[MOUTH]
    cut = lambda array: np.asarray(array)[..., chosen, :]
    identity, expression = np.asarray(motion.identity), np.asarray(motion.expression)
    shape = cut(model.mean) + np.einsum("i,inc->nc", identity, cut(model.identity_basis))
    shape = shape + np.einsum("te,enc->tnc", expression, cut(model.expression_basis))
    camera = camera_from_pose(jnp.asarray(motion.pose), size, size)
    points = np.asarray(jax.device_get(project(jnp.asarray(shape), camera)))[..., :2]
    widest = np.ptp(points[..., 0], axis=1).max()
    middle = points.mean(1)
    return np.concatenate([middle, np.full((len(middle), 1), SIDE * widest)], 1)


def crop(image: np.ndarray, place: np.ndarray, size: int) -> np.ndarray:
    """Returns the square around a mouth, uint8 [size, size, 3]; borders are repeated.

    Args:
      image: uint8 [H, W, 3].
      place: [3] x, y and side in px, a row of `places`.
      size: px.
    """
    x, y, side = (float(value) for value in place)
    scale = size / max(side, 1.0)
    # Pixel centres lie half a pixel from the corner, in the picture and in its crop.
    shift = [size / 2 - scale * (middle - 0.5) - 0.5 for middle in (x, y)]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.warpAffine(image, matrix, (size, size), flags=how, borderMode=cv2.BORDER_REPLICATE)
