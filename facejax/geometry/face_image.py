"""3-D face images: a posed face shape, painted with where on the mean face each point lies.

HeadGAN (Doukas et al. 2021, arxiv.org/abs/2012.08261); the same idea as the projected
normalised coordinate code (PNCC) of Zhu et al. 2016.
"""

import functools

import jax
import jax.numpy as jnp

from facejax import checks
from facejax.geometry.camera import Camera, project
from facejax.geometry.mesh import MeshTopology
from facejax.geometry.rasterize import fragments, interpolate, rasterize


def face_colors(mean: jax.Array) -> jax.Array:
    """Returns the fixed vertex colours [V, 3]: the mean shape, stretched per axis to [0, 1].

    Red rises to the image's right, green to the top of the head, blue to the tip of the nose. An
    axis without extent gets 0.

    Args:
      mean: [V, 3] mean face in the model frame, any unit.
    """
    checks.shapes(mean=(mean, "V 3"))
    low = jnp.min(mean, axis=0, keepdims=True)
    high = jnp.max(mean, axis=0, keepdims=True)
    return (mean - low) / jnp.where(high > low, high - low, 1.0)


@functools.partial(jax.jit, static_argnames=("height", "width"))
def face_image(
    vertices: jax.Array,
    camera: Camera,
    topology: MeshTopology,
    colors: jax.Array,
    height: int,
    width: int,
) -> jax.Array:
    """Returns the face seen by the camera in its vertex colours; exactly 0 beside it.

    The nearest surface wins and both sides of triangles are drawn. Departs from the released
    HeadGAN code, which paints each triangle in the colour of its first vertex: here colours are
    interpolated, so that coarse meshes give smooth images too.

    Args:
      vertices: [..., V, 3] face shape in the model frame.
      camera: of batch axes `...`.
      topology: the mesh.
      colors: [V, 3] in [0, 1], see `face_colors`.
      height: H.
      width: W.

    Returns:
      [..., H, W, 3] in [0, 1].
    """
    checks.shapes(vertices=(vertices, "... V 3"), colors=(colors, "V 3"))
    screen = project(vertices, camera)
    batch, frames = screen.shape[:-2], screen.reshape(-1, *screen.shape[-2:])

    def draw(screen: jax.Array) -> jax.Array:
        triangle_id = rasterize(screen, topology, height, width)
        image = interpolate(colors, topology, fragments(screen, topology, triangle_id))
        return jnp.clip(image, 0.0, 1.0)  # rounding may leave the range by one last place

    one_by_one = jax.default_backend() == "cpu"  # a frame at a time stays in cache
    image = jax.lax.map(draw, frames) if one_by_one else draw(frames)
    return image.reshape(*batch, height, width, 3)
