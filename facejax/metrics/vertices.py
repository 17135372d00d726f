"""Distances of a face's vertices from the true ones, with the head still."""

import numpy as np

from facejax.checks import shapes
from facejax.geometry.morphable import MorphableModel
from facejax.metrics.attributes import MOUTH

EYES = [*range(36, 48), 68, 69]  # iBUG, and the pupils
CHUNK = 64  # frames at a time


def vertex_errors(
    identity: np.ndarray, expression: np.ndarray, model: MorphableModel
) -> dict[str, np.ndarray]:
    """Returns mean distances in mm of all vertices, and of the landmarks of mouth and eyes, [T].

    Args:
      identity: [T, I] coefficients less the true ones.
      expression: [T, E] likewise.
      model: that they refer to.
    """
    shapes(
        identity=(identity, "T I"),
        expression=(expression, "T E"),
        identity_basis=(model.identity_basis, "I V 3"),
        expression_basis=(model.expression_basis, "E V 3"),
    )
    basis = np.concatenate([model.identity_basis, model.expression_basis])
    wrong = np.concatenate([identity, expression], 1)
    landmarks = np.asarray(model.landmarks)
    parts = {"vertices": slice(None), "mouth": landmarks[MOUTH], "eyes": landmarks[EYES]}
    found: dict[str, list[np.ndarray]] = {name: [] for name in parts}
    for first in range(0, len(wrong), CHUNK):
        moved = np.einsum("tk,kvc->tvc", wrong[first : first + CHUNK], basis, optimize=True)
        distance = np.linalg.norm(moved, axis=-1)
        for name, chosen in parts.items():
            found[name].append(distance[:, chosen].mean(1))
    return {name: np.concatenate(values) for name, values in found.items()}
