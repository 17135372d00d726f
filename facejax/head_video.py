"""The 3-D head itself as a video: a motion drawn by the rasteriser, with no trained renderer.

In the colours and the light of a reference image where there is one (`appearance.estimate`), else
as a grey head lit from the viewer's upper left.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from facejax.appearance import Appearance
from facejax.geometry.camera import camera_from_pose, project
from facejax.geometry.mesh import MeshTopology, mesh_topology
from facejax.geometry.morphable import MorphableModel, face_shape
from facejax.geometry.rasterize import fragments, interpolate, rasterize
from facejax.geometry.shade import SH_CONSTANT, SH_LINEAR, shade, vertex_normals
from facejax.geometry.silhouette import antialias
from facejax.motion import Motion

BACKDROP = 0.93
# White light from the viewer's upper left: rows 1, y, z, x of `shade`.
LIGHT = np.array([0.65, 0.35, 0.75, -0.35]) / [SH_CONSTANT, SH_LINEAR, SH_LINEAR, SH_LINEAR]


def plain(model: MorphableModel) -> Appearance:
    """Returns the model's own colours in white light."""
    light = np.zeros((9, 3), np.float32)
    light[:4] = LIGHT[:, None]
    return Appearance(np.asarray(model.colors, np.float32), light)


def draw_head(
    model: MorphableModel, motion: Motion, look: Appearance, size: int = 256, chunk: int = 16
) -> Iterator[np.ndarray]:
    """Yields the T frames of a motion, uint8 [size, size, 3], as they are made.

    Args:
      model: of the face.
      motion: one clip: identity [I], expression [T, E], pose [T, 6].
      look: colours and light.
      size: px.
      chunk: frames made at a time; every call of the compiled program has the same shapes.
    """
    model = jax.tree.map(jnp.asarray, model)
    topology = mesh_topology(np.asarray(model.faces), len(model.mean))
    expression, pose = np.asarray(motion.expression), np.asarray(motion.pose)
    identity, total = jnp.asarray(motion.identity), len(pose)
    for first in range(0, total, chunk):
        rows = np.minimum(np.arange(first, first + chunk), total - 1)
        moment = (jnp.asarray(expression[rows]), jnp.asarray(pose[rows]))
        images = _draw(model, topology, look, identity, *moment, size)
        yield from np.asarray(images)[: total - first]


@functools.partial(jax.jit, static_argnames="size")
def _draw(
    model: MorphableModel,
    topology: MeshTopology,
    look: Appearance,
    identity: jax.Array,
    expression: jax.Array,
    pose: jax.Array,
    size: int,
) -> jax.Array:
    def one(moment: tuple[jax.Array, jax.Array]) -> jax.Array:
        shape = face_shape(model, identity, moment[0])
        screen = project(shape, camera_from_pose(moment[1], size, size))
        normals = vertex_normals(screen * jnp.array([[1.0, -1.0, -1.0]]), topology)
        seen = fragments(screen, topology, rasterize(screen, topology, size, size))
        lit = shade(jnp.asarray(look.albedo), normals, jnp.asarray(look.light))
        image = interpolate(lit, topology, seen, BACKDROP)
        image = antialias(image, screen, topology, seen)
        return jnp.round(jnp.clip(image, 0, 1) * 255).astype(jnp.uint8)

    return jax.lax.map(one, (expression, pose))
