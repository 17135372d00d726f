"""The projected face: a coloured mesh of one frame, moved to other head motions and drawn.

Rhythmic Head Motion, section 4.1 (Chen et al. 2020, arXiv:2007.08547): the mesh of the key frame,
coloured from it, is moved by Eq. 1 (`rigid_motion`) and rasterised. The published code puts an
orthographic camera of scale 2/256 at (128, 128, 6000) looking down the z axis and flips what it
renders on both axes; for an image of 256 px that is the same as drawing in px: pixel (row, column)
shows the point (column + 0.5, row + 0.5), y down, at the depth 6000 - z with z towards the viewer.
So points go straight to the screen here, in px of the image frame (README), z away from the viewer.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from facejax import checks
from facejax.geometry import rigid_motion
from facejax.geometry.frames import over_frames
from facejax.geometry.layers import rasterize_layers
from facejax.geometry.mesh import MeshTopology
from facejax.geometry.rasterize import fragments, interpolate, rasterize
from facejax.geometry.shade import vertex_normals
from facejax.geometry.soft import Softness, soft_image, soft_radius
from facejax.geometry.texture import sample_texture

BLACK = -1.0  # of images in [-1, 1]
FAINT = 10 / 127.5 - 1  # level 10 of 255: darker counts as not rendered (published code)


class CanonicalFace(NamedTuple):
    """The key frame's face with its head motion removed, ready to be moved. px, z away."""

    vertices: jax.Array  # [..., V, 3]
    colors: jax.Array  # [..., V, 3] in [-1, 1]
    landmarks: jax.Array  # [..., N, 3]: the expression of the key frame


class Projection(NamedTuple):
    """The face at a head motion."""

    image: jax.Array  # [..., S, S, 3] in [-1, 1]; -1 beside the face
    mask: jax.Array  # [..., S, S, 1] coverage in [0, 1]
    landmarks: jax.Array  # [..., N, 3] px: pose of the target, expression of the key frame


def sample_colors(image: jax.Array, vertices: jax.Array, filter: str = "bilinear") -> jax.Array:
    """Returns the image's colours at vertices, [..., V, C].

    Args:
      image: [..., H, W, C].
      vertices: [..., V, 3] px of that image; outside of it the border is taken.
      filter: "bilinear", or "nearest" (published code).
    """
    sizes = checks.shapes(image=(image, "... H W C"), vertices=(vertices, "... V 3"))
    extent = jnp.asarray([sizes["W"], sizes["H"]], vertices.dtype)
    places = vertices[..., None, :, :2]
    uv = places / jnp.broadcast_to(extent, places.shape)
    return sample_texture(image, uv, filter=filter)[..., 0, :, :]


def canonical_face(
    image: jax.Array,
    vertices: jax.Array,
    landmarks: jax.Array,
    motion: jax.Array,
    *,
    filter: str = "bilinear",
) -> CanonicalFace:
    """Returns the face of a key frame, coloured from it, with its head motion removed (Eq. 1).

    Args:
      image: [..., H, W, 3] in [-1, 1], the key frame.
      vertices: [..., V, 3] px of the image.
      landmarks: [..., N, 3] px.
      motion: [..., 6] of the key frame.
      filter: of `sample_colors`.
    """
    return CanonicalFace(
        rigid_motion.to_canonical(vertices, motion),
        sample_colors(image, vertices, filter),
        rigid_motion.to_canonical(landmarks, motion),
    )


def draw_hard(
    screen: jax.Array, colors: jax.Array, topology: MeshTopology, size: int
) -> tuple[jax.Array, jax.Array]:
    """Draws the nearest surface at each pixel: image [S, S, 3] and mask [S, S, 1], one frame."""
    seen = fragments(screen, topology, rasterize(screen, topology, size, size))
    image = interpolate(colors, topology, seen, BLACK)
    return image, seen.mask[..., None].astype(image.dtype)


# The published renderer's numbers; lengths in px of an image of 256 px.
SOFT_SIGMA = 1e-5  # of the image's squared half side
SOFT_LEAST = 1e-4  # probability at which triangles end
CAMERA_Z = 6000.0  # px, of the camera
SOFT_NEAR, SOFT_FAR, SOFT_GAMMA = 1.0, 10000.0, 1e-4
SOFT_LAYERS = 8  # triangles kept around a pixel


def draw_soft(
    screen: jax.Array, colors: jax.Array, topology: MeshTopology, size: int
) -> tuple[jax.Array, jax.Array]:
    """Draws as the published code does, with the soft rasteriser (preset `released`), one frame.

    sigma 1e-5 and gamma 1e-4 in its units: edges soft over 1.2 px at 256 px, and surfaces that lie
    one px apart in depth weigh 1 to e.
    """
    sigma = SOFT_SIGMA * (size / 2) ** 2
    radius = soft_radius(sigma, SOFT_LEAST)
    layers = rasterize_layers(screen, topology, size, size, SOFT_LAYERS, radius)
    away = screen + jnp.broadcast_to(jnp.asarray([0.0, 0.0, CAMERA_Z], screen.dtype), screen.shape)
    softness = Softness(sigma, SOFT_GAMMA, SOFT_NEAR, SOFT_FAR)
    paint = lambda colors, seen: interpolate(colors, topology, seen)
    light = (colors + 1) / 2  # the background is 0 in this range
    drawn = soft_image(away, topology, layers, light, paint, softness)
    return 2 * drawn[..., :3] - 1, drawn[..., 3:]


def lit_from_above(face: CanonicalFace, topology: MeshTopology) -> CanonicalFace:
    """Returns the face with colours as bright as the published renderer's default lights make them.

    Ambient light 1 and, left on by default, a directional one of 0.5 from above; then cut off.
    """
    flip = jnp.asarray([1.0, -1.0, -1.0], face.vertices.dtype)
    upright = face.vertices * jnp.broadcast_to(flip, face.vertices.shape)
    normals = vertex_normals(upright, topology)
    light = 1 + 0.5 * jax.nn.relu(normals[..., 1:2])
    colors = jnp.clip((face.colors + 1) / 2 * light, 0.0, 1.0)
    return face._replace(colors=2 * colors - 1)


@functools.partial(jax.jit, static_argnames=("size", "draw"))
def project_face(
    face: CanonicalFace,
    motion: jax.Array,
    topology: MeshTopology,
    size: int,
    draw: Callable = draw_hard,
) -> Projection:
    """Returns the face at head motions: the projected images, masks and landmarks.

    Batch axes of the face and of the motion broadcast: one face [V, 3] and a clip's motions [T, 6]
    give T images in one call; B faces [B, V, 3] and B motions [B, 6] give B.

    Args:
      face: of `canonical_face`.
      motion: [..., 6] to be shown.
      topology: the mesh.
      size: S.
      draw: `draw_hard` or `draw_soft`.
    """
    screen = rigid_motion.from_canonical(face.vertices, motion)
    batch = screen.shape[:-2]
    colors = jnp.broadcast_to(face.colors, (*batch, *face.colors.shape[-2:]))
    one = lambda frame: draw(*frame, topology, size)
    image, mask = over_frames(one, batch, (screen, colors))
    return Projection(image, mask, rigid_motion.from_canonical(face.landmarks, motion))


def cropped_to_face(image: jax.Array, projection: Projection) -> jax.Array:
    """Returns the image [..., S, S, 3] where the projected face is, -1 elsewhere."""
    return jnp.where(projection.mask > 0.5, image, BLACK)


def cropped_to_render(image: jax.Array, rendering: jax.Array) -> jax.Array:
    """Returns the image [..., S, S, 3], -1 in each channel where the rendering is almost black.

    The published code's `cropped_gt`, the target of the warped projection (preset `released`):
    less than 10 of 255 counts as not rendered, channel by channel.

    Args:
      image: [..., S, S, 3] in [-1, 1].
      rendering: [..., S, S, 3] in [-1, 1].
    """
    return jnp.where(rendering < FAINT, BLACK, image)
