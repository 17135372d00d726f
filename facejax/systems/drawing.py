"""Condition images from motion: the 3-D face, or a sketch of the landmarks.

A motion here is a dictionary of identity [..., I], expression [..., E] and pose [..., 6].
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from facejax.geometry.camera import camera_from_pose, project
from facejax.geometry.face_image import face_colors, face_image
from facejax.geometry.landmarks import draw_landmarks
from facejax.geometry.mesh import MeshTopology
from facejax.geometry.morphable import MorphableModel, face_shape


def face(
    model: MorphableModel, motion: Mapping[str, jax.Array], height: int, width: int
) -> jax.Array:
    """Returns 3-D face images [..., H, W, 3] in [0, 1]."""
    vertices = face_shape(model, motion["identity"], motion["expression"])
    camera = camera_from_pose(motion["pose"], height, width)
    colors = face_colors(model.mean)
    return face_image(vertices, camera, triangles(model), colors, height, width)


def sketch(
    model: MorphableModel, motion: Mapping[str, jax.Array], height: int, width: int
) -> jax.Array:
    """Returns the model's landmarks drawn as lines, [..., H, W, 3] in [0, 1]."""
    vertices = face_shape(model, motion["identity"], motion["expression"])
    points = jnp.take(vertices, model.landmarks, axis=-2)
    points = project(points, camera_from_pose(motion["pose"], height, width))
    return draw_landmarks(points[..., :2], height, width)


def triangles(model: MorphableModel) -> MeshTopology:
    """Returns what drawing needs of the mesh: its triangles alone, from arrays being traced."""
    none = jnp.zeros((2, 0), jnp.int32)
    return MeshTopology(
        jnp.transpose(model.faces), none, none, jnp.zeros((model.mean.shape[0], 0), jnp.int32)
    )
