"""A picture of a morphable model: the mean face and its first components."""

import jax
import jax.numpy as jnp
import numpy as np

from facejax.geometry.camera import FOCAL, camera_from_pose
from facejax.geometry.face_image import face_colors, face_image
from facejax.geometry.mesh import MeshTopology, mesh_topology
from facejax.geometry.morphable import MorphableModel, face_shape
from facejax.geometry.shade import shade, vertex_normals
from facejax.head_video import plain
from facejax.sheets import grid

SIZE = 160  # px of each face
FILL = 0.85  # of the picture that the mean face takes
DEVIATIONS = 2.0
IDENTITY, EXPRESSION = 4, 5  # components drawn
COLUMNS = 6
TURN = 0.7  # rad, of the side views


def model_sheet(model: MorphableModel) -> np.ndarray:
    """Returns uint8 [H, W, 3]: the mean from three sides and as a 3-D face, then -+2 s.d."""
    topology = mesh_topology(np.asarray(model.faces), len(model.mean))
    model = jax.tree.map(jnp.asarray, model)
    place = _place(np.asarray(model.mean)[np.unique(model.faces)])
    images, labels = [], []
    for yaw in (0.0, -TURN, TURN):
        image = _draw(model.mean, _shaded(model, model.mean, topology), topology, (yaw, *place))
        images.append(image)
        labels.append(f"mean, yaw {np.degrees(yaw):+.0f} deg")
    images.append(_draw(model.mean, face_colors(model.mean), topology, (0.0, *place)))
    labels.append("mean, 3-D face image")
    for name, shape in _variants(model):
        images.append(_draw(shape, _shaded(model, shape, topology), topology, (0.0, *place)))
        labels.append(name)
    return grid(images, labels, columns=COLUMNS)


def _place(vertices: np.ndarray) -> tuple[float, float, float]:
    """x, y, z of a pose that shows the vertices in the middle, FILL of the picture high."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    x, y, _ = -(low + high) / 2
    return float(x), float(y), float(FOCAL * (high - low)[:2].max() / FILL)


def _variants(model: MorphableModel) -> list[tuple[str, jax.Array]]:
    """The first components at -DEVIATIONS and +DEVIATIONS: (label, shape [V, 3])."""
    identity = jnp.zeros(len(model.identity_basis))
    expression = jnp.zeros(len(model.expression_basis))
    shapes = []
    for k in range(min(IDENTITY, len(identity))):
        for amount in (-DEVIATIONS, DEVIATIONS):
            shape = face_shape(model, identity.at[k].set(amount), expression)
            shapes.append((f"identity {k + 1}: {amount:+.0f} sd", shape))
    for k in range(min(EXPRESSION, len(expression))):
        for amount in (-DEVIATIONS, DEVIATIONS):
            shape = face_shape(model, identity, expression.at[k].set(amount))
            shapes.append((f"expression {k + 1}: {amount:+.0f} sd", shape))
    return shapes


def _shaded(model: MorphableModel, shape: jax.Array, topology: MeshTopology) -> jax.Array:
    look = plain(model)
    lit = shade(jnp.asarray(look.albedo), vertex_normals(shape, topology), jnp.asarray(look.light))
    return jnp.clip(lit, 0, 1)


def _draw(
    shape: jax.Array,
    colors: jax.Array,
    topology: MeshTopology,
    pose: tuple[float, float, float, float],
) -> np.ndarray:
    """uint8 [SIZE, SIZE, 3] of a face at pose (yaw, x, y, z)."""
    yaw, x, y, z = pose
    camera = camera_from_pose(jnp.array([0.0, yaw, 0.0, x, y, z]), SIZE, SIZE)
    image = face_image(shape, camera, topology, colors, SIZE, SIZE)
    return np.asarray(255 * image + 0.5).astype(np.uint8)
