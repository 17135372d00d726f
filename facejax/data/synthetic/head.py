"""The procedural morphable head: template, identity and expression bases as a MorphableModel."""

import functools
from typing import Any

import numpy as np

from facejax.data.synthetic import expression, identity, template
from facejax.geometry.morphable import MorphableModel

NUM_IDENTITY = identity.NUM_IDENTITY
EXPRESSIONS = expression.NAMES

BACK = -80.0  # mm: what lies behind is no part of the model

_COLORS = np.array([[0.85, 0.68, 0.58], [0.90, 0.88, 0.86], [0.35, 0.12, 0.12], [0.88, 0.85, 0.78]])
_LIP_COLOR = np.array([0.75, 0.42, 0.42])


@functools.cache
def neutral() -> template.Template:
    """Returns the neutral head, computed once."""
    return template.build()


@functools.cache
def model() -> MorphableModel:
    """Returns the morphable model, in numpy float32; the same at every call.

    Its triangles are the skin from the ears on: eyes and mouth are left open, as holes that lids
    and lips close, so that a 3-D face image shows what they do; nothing behind shows through them.
    """
    base = neutral()
    front = base.vertices[base.faces].mean(axis=1)[:, 2] > BACK
    colors = np.where((base.lip_share >= 0)[:, None], _LIP_COLOR, _COLORS[base.inside])
    arrays: dict[str, Any] = {
        "mean": base.vertices,
        "identity_basis": identity.basis(base.vertices, base.vertices),
        "expression_basis": expression.basis(base),
        "colors": colors,
    }
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    indices: dict[str, Any] = {
        "faces": base.faces[(base.part == template.SKIN) & front],
        "points": base.points,
        "landmarks": base.landmarks,
    }
    return MorphableModel(**arrays, **indices)


def carried(coefficients: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Returns how an identity [I] moves points [n, 3] that are fastened to the neutral head, mm."""
    return identity.displacement(neutral().vertices, coefficients, points)
