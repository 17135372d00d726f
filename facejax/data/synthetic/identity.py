"""Who it is: a smooth Gaussian process over the neutral head, cut to its strongest modes.

The process is a vector field in space, so that whatever is fastened to the head (hair, ears, eyes,
neck) is carried along by the same numbers. It is symmetric: x displacements are odd under
reflection in the middle plane, y and z displacements even.
"""

import functools
from typing import NamedTuple

import numpy as np

NUM_IDENTITY = 40
_ANCHORS = 420  # points on which the modes are computed
_RIDGE = 1e-6

# Length (mm), deviation (mm) and reach: the deviation falls off as a Gaussian of radii `reach`
# around the middle of the face, so that short waves are spent where faces differ.
_SCALES = ((110.0, 5.0, None), (55.0, 3.8, (95.0, 110.0, 110.0)), (27.0, 3.0, (45.0, 60.0, 60.0)))
_FACE_MIDDLE = np.array([0.0, -35.0, 15.0])


class Modes(NamedTuple):
    """The process, diagonalised on anchors: mode k moves axis `axis[k]` only."""

    anchors: np.ndarray  # [A, 3] mm
    weights: np.ndarray  # [I, A]: mode(p) = sum over anchors of kernel(p, anchor) * weight
    axis: np.ndarray  # [I] 0, 1 or 2


def _kernel(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Covariance [n, m] in mm^2 of the process before it is made symmetric."""
    square = np.sum(p**2, -1)[:, None] - 2 * p @ q.T + np.sum(q**2, -1)
    total = np.zeros_like(square)
    for length, deviation, reach in _SCALES:
        part = deviation**2 * np.exp(square * (-0.5 / length**2))
        if reach is not None:
            part *= _taper(p, reach)[:, None] * _taper(q, reach)
        total += part
    return total


def _taper(points: np.ndarray, reach: tuple) -> np.ndarray:
    return np.exp(-0.5 * np.sum(((points - _FACE_MIDDLE) / np.array(reach)) ** 2, axis=-1))


def _mirrored(p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariance [n, m] of the x, y and z components: odd in x for the first, else even."""
    here, there = _kernel(p, q), _kernel(p, q * np.array([-1, 1, 1], q.dtype))
    even = (here + there) / 2
    return (here - there) / 2, even, even


@functools.cache
def _modes(vertices: bytes) -> Modes:
    points = np.frombuffer(vertices).reshape(-1, 3)
    anchors = points[:: max(1, len(points) // _ANCHORS)]
    values, rows, axes = [], [], []
    for axis, covariance in enumerate(_mirrored(anchors, anchors)):
        value, vector = np.linalg.eigh(covariance)
        keep = value > _RIDGE * value[-1]
        value, vector = value[keep], vector[:, keep]
        top = vector[np.argmax(np.abs(vector), axis=0), np.arange(len(value))]
        rows.append((vector * np.sign(top) / np.sqrt(value)).T)  # eigenvectors have no sign
        values.append(value)
        axes.append(np.full(len(value), axis))
    order = np.argsort(-np.concatenate(values), kind="stable")[:NUM_IDENTITY]
    return Modes(anchors, np.concatenate(rows)[order], np.concatenate(axes)[order])


def basis(vertices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Returns the modes of the process over the head `vertices` [V, 3], at `points` [n, 3].

    Returns:
      [NUM_IDENTITY, n, 3] mm per unit coefficient; coefficients have variance one.
    """
    modes = _modes(np.ascontiguousarray(vertices, np.float64).tobytes())
    result = np.zeros((NUM_IDENTITY, len(points), 3))
    for axis, covariance in enumerate(_mirrored(modes.anchors, points)):
        mine = modes.axis == axis
        result[mine, :, axis] = modes.weights[mine] @ covariance
    return result


def displacement(vertices: np.ndarray, coefficients: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Returns `tensordot(coefficients, basis(vertices, points), 1)`, [n, 3] mm, faster."""
    modes = _modes(np.ascontiguousarray(vertices, np.float64).tobytes())
    anchors, points = modes.anchors.astype(np.float32), points.astype(np.float32)
    weighted = coefficients[:, None] * modes.weights
    columns = []
    for axis, covariance in enumerate(_mirrored(points, anchors)):
        columns.append(covariance @ weighted[modes.axis == axis].sum(0).astype(np.float32))
    return np.stack(columns, axis=-1).astype(np.float64)
