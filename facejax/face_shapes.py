"""Face shapes brought together: registration, mirror images, generalised Procrustes.

A shape is [468, 3] Face Mesh points with y up and z towards the viewer; registered ones are in the
model frame, in millimetres (the outer eye corners of the mean face are EYE_DISTANCE apart).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from facejax.face_topology import (
    LEFT_EYE_OUTER,
    LEFT_MOUTH_CORNER,
    MIRROR,
    RIGHT_EYE_OUTER,
    RIGHT_MOUTH_CORNER,
)

EYE_DISTANCE = 90.0  # mm
LEAN = np.radians(7.0)  # of a frontal face from outer eyes to mouth corners, forward: as in the BFM
ROUNDS = 8  # of generalised Procrustes; the mean then moves by less than 1e-3 mm


class Population(NamedTuple):
    """People registered to their common mean."""

    mean: np.ndarray  # [468, 3] symmetric, upright, centred
    people: np.ndarray  # [P, 468, 3] the mean shape of each person
    frames: list[np.ndarray]  # P times [T, 468, 3]: each frame, registered to its person
    poses: list[np.ndarray]  # P times [T, 3]: rotation vector from each frame to the mean, radians


def register(shapes: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns shapes moved, turned and scaled onto a target, and the turns as rotation vectors.

    What `geometry.similarity` does on the device, here in float64 on the host (Umeyama 1991).

    Args:
      shapes: [T, N, 3].
      target: [N, 3], or [T, N, 3]: one for each shape.

    Returns:
      [T, N, 3], [T, 3] radians.
    """
    middle = target.mean(axis=-2, keepdims=True)
    centred = shapes - shapes.mean(axis=1, keepdims=True)
    cross = np.swapaxes(np.broadcast_to(target - middle, centred.shape), 1, 2) @ centred
    u, singular, vt = np.linalg.svd(cross)
    singular[:, 2] *= np.sign(np.linalg.det(u @ vt))  # a mirror image is no rotation
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    rotation = u @ vt
    scale = singular.sum(axis=1) / np.sum(centred**2, axis=(1, 2))
    registered = scale[:, None, None] * (centred @ np.swapaxes(rotation, 1, 2)) + middle
    return registered, Rotation.from_matrix(rotation).as_rotvec()


def reflect(shapes: np.ndarray) -> np.ndarray:
    """Returns the mirror images of shapes [..., 468, 3], points in their usual order."""
    return (shapes * np.array([-1.0, 1.0, 1.0]))[..., list(MIRROR), :]


def procrustes(people: Sequence[np.ndarray]) -> Population:
    """Returns people registered to their mean by generalised Procrustes; all weigh the same.

    Gower 1975 (Psychometrika 40-1).

    Args:
      people: of each person [T, 468, 3]: T frames in any pose, place and scale.
    """
    cuts = np.cumsum([len(person) for person in people])[:-1]
    frames = np.concatenate(people)
    mean = _standard(np.asarray(frames[0], np.float64))
    for _ in range(ROUNDS):
        shapes = _means(register(frames, mean)[0], cuts)
        mean = _standard(shapes.mean(axis=0))
    mean = upright(mean)
    shapes = register(shapes, mean)[0]
    targets = np.repeat(shapes, [len(person) for person in people], axis=0)
    registered, turns = register(frames, targets)
    return Population(mean, shapes, np.split(registered, cuts), np.split(turns, cuts))


def upright(shape: np.ndarray) -> np.ndarray:
    """Returns a shape [468, 3] made symmetric and turned to face the viewer, level and upright.

    Frontal is where the mouth's corners lie LEAN in front of the outer corners of the eyes.
    """
    twin = register(reflect(shape)[None], shape)[0][0]
    shape = (shape + twin) / 2
    pairs = np.array(MIRROR) > np.arange(len(MIRROR))
    across = (shape[list(MIRROR)] - shape)[pairs]  # all parallel now
    across *= np.sign(across @ (shape[LEFT_EYE_OUTER] - shape[RIGHT_EYE_OUTER]))[:, None]
    x = across.sum(axis=0) / np.linalg.norm(across.sum(axis=0))
    eyes = shape[[RIGHT_EYE_OUTER, LEFT_EYE_OUTER]].mean(axis=0)
    down = shape[[RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER]].mean(axis=0) - eyes
    down -= (down @ x) * x
    down /= np.linalg.norm(down)
    y = -np.cos(LEAN) * down + np.sin(LEAN) * np.cross(down, x)  # down x across points ahead
    turned = shape @ np.stack([x, y, np.cross(x, y)], axis=1)
    turned -= turned.mean(axis=0)
    return _standard((turned + reflect(turned)) / 2)


def _means(frames: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """The mean frame of each person, [P, N, 3]."""
    return np.stack([part.mean(axis=0) for part in np.split(frames, cuts)])


def _standard(shape: np.ndarray) -> np.ndarray:
    """A shape centred, its outer eye corners EYE_DISTANCE apart."""
    shape = shape - shape.mean(axis=0)
    return shape * (EYE_DISTANCE / np.linalg.norm(shape[LEFT_EYE_OUTER] - shape[RIGHT_EYE_OUTER]))
