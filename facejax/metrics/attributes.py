"""Errors of face attributes over time: expression, head pose, blinks, and the mouth that they make.

Parameters against parameters, so that no picture is needed. The mouth is that of the morphable
model with the head still: what a viewer reads from the lips, whatever the head does.
"""

from typing import NamedTuple

import numpy as np

from facejax.checks import shapes
from facejax.geometry.morphable import MorphableModel

MOUTH = slice(48, 68)  # iBUG
UPPER_LIP, LOWER_LIP = 62, 66  # middles of their inner edges
STILL = 1e-3  # mm: a mouth that moves less has no correlation with anything


class Face(NamedTuple):
    """What a face does in T frames."""

    pose: np.ndarray  # [T, 6] pitch, yaw, roll in radians; x, y, z in millimetres
    blink: np.ndarray  # [T] 0 (open) to 5 (shut)
    expression: np.ndarray  # [T, E]


def frame_errors(
    face: Face, truth: Face, model: MorphableModel | None = None
) -> dict[str, np.ndarray]:
    """Returns the absolute error of every frame, {figure: [T]}.

    expression: mean over the coefficients; pose_degrees: over the three angles; pose_mm: over the
    three places; blink; and with a model, mouth: mean distance of the landmarks 48 to 67 in mm.

    Args:
      face: as made.
      truth: of as many frames.
      model: that the expressions refer to.
    """
    shapes(
        pose=(face.pose, "T 6"),
        truth_pose=(truth.pose, "T 6"),
        expression=(face.expression, "T E"),
        truth_expression=(truth.expression, "T E"),
    )
    errors = {
        "expression": np.abs(face.expression - truth.expression).mean(1),
        **pose_errors(face.pose, truth.pose),
        "blink": np.abs(face.blink - truth.blink),
    }
    if model is not None:
        basis = np.asarray(model.expression_basis)[:, np.asarray(model.landmarks)[MOUTH]]
        moved = np.einsum("te,enc->tnc", face.expression - truth.expression, basis)
        errors["mouth"] = np.linalg.norm(moved, axis=-1).mean(-1)
    return errors


def pose_errors(pose: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Returns pose_degrees and pose_mm of `frame_errors`, [T] each, of poses [T, 6]."""
    turn = (pose[:, :3] - truth[:, :3] + np.pi) % (2 * np.pi) - np.pi
    return {
        "pose_degrees": np.abs(np.rad2deg(turn)).mean(1),
        "pose_mm": np.abs(pose[:, 3:] - truth[:, 3:]).mean(1),
    }


def mouth_opening(
    expression: np.ndarray, identity: np.ndarray, model: MorphableModel
) -> np.ndarray:
    """Returns the distance of the lips' inner edges, [T] mm.

    Args:
      expression: [T, E].
      identity: [I].
      model: that both refer to.
    """
    upper, lower = np.asarray(model.landmarks)[[UPPER_LIP, LOWER_LIP]]
    between = lambda array: np.asarray(array)[..., upper, :] - np.asarray(array)[..., lower, :]
    still = between(model.mean) + np.einsum("i,ic->c", identity, between(model.identity_basis))
    moved = np.einsum("te,ec->tc", expression, between(model.expression_basis))
    return np.linalg.norm(still + moved, axis=-1)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Returns Pearson's correlation of two curves [T]; 0 where one of them is constant."""
    one, other = one - one.mean(), other - other.mean()
    lengths = np.linalg.norm(one), np.linalg.norm(other)
    if min(lengths) < STILL * np.sqrt(len(one)):
        return 0.0
    return float(one @ other / (lengths[0] * lengths[1]))
