"""What the unprojection net sees and should say: images and position maps, augmented alike.

The augmentation is PRNet's (Feng et al. 2018): images are turned, scaled and shifted in their
plane, and the places in the map with them; colour channels get gains; patches of noise cover parts.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from facejax.geometry.camera import camera_from_pose, project
from facejax.geometry.morphable import face_shape
from facejax.geometry.position_map import MapLayout
from facejax.geometry.texture import sample_texture
from facejax.system import PyTree
from facejax.systems.unprojection_config import Config

REACH = 1.1  # of the image's side: the net's outputs 0 to 1 are places from 0 to this
DEPTH_ZERO = 0.5  # of the image's side: where depth 0 lies in that range


class Change(NamedTuple):
    """image' = linear @ image + shift in the plane, of one batch."""

    linear: jax.Array  # [B, 2, 2]
    shift: jax.Array  # [B, 2] px
    scale: jax.Array  # [B]: of the depth


def layout_of(frozen: PyTree) -> MapLayout:
    """Returns the layout that the data gave."""
    return MapLayout(**frozen["layout"])


def posed_vertices(frozen: PyTree, motion: PyTree, size: int) -> jax.Array:
    """Returns the vertices of exact motions in the image, [B, V, 3] px, depth away from 0 mm.

    Args:
      frozen: with "morphable".
      motion: identity [B, I], expression [B, E], pose [B, 6].
      size: S of the images.
    """
    shape = face_shape(frozen["morphable"], motion["identity"], motion["expression"])
    return project(shape, camera_from_pose(motion["pose"], size, size))


def scaled(places: jax.Array, size: int) -> jax.Array:
    """Returns places [..., 3] px in the range of the net's outputs."""
    zero = jnp.asarray([0.0, 0.0, DEPTH_ZERO * size], places.dtype)
    return (places + jnp.broadcast_to(zero, places.shape)) / (REACH * size)


def unscaled(outputs: jax.Array) -> jax.Array:
    """Returns the net's outputs [B, S, S, 3] as places in px: the inverse of `scaled`."""
    size = outputs.shape[1]
    zero = jnp.asarray([0.0, 0.0, DEPTH_ZERO * size], outputs.dtype)
    return outputs * (REACH * size) - jnp.broadcast_to(zero, outputs.shape)


def draw_change(config: Config, key: jax.Array, count: int, size: int) -> Change:
    """Draws a turn about the image's middle, a scale and a shift for each of `count` images."""
    key_turn, key_scale, key_shift = jax.random.split(key, 3)
    reach = jnp.deg2rad(config.rotation)
    turn = jax.random.uniform(key_turn, (count,), minval=-reach, maxval=reach)
    scale = jax.random.uniform(
        key_scale, (count,), minval=config.least_scale, maxval=config.most_scale
    )
    cos, sin = scale * jnp.cos(turn), scale * jnp.sin(turn)
    linear = jnp.stack([jnp.stack([cos, -sin], -1), jnp.stack([sin, cos], -1)], -2)
    most = config.shift * size
    shift = jax.random.uniform(key_shift, (count, 2), minval=-most, maxval=most)
    middle = jnp.full((count, 2), size / 2)
    turned = jnp.sum(linear * middle[:, None], axis=-1)
    return Change(linear, shift + middle - turned, scale)


def changed_points(points: jax.Array, change: Change) -> jax.Array:
    """Returns points [B, V, 3] px after the change; the depth is scaled alike."""
    flat = jnp.matmul(points[..., :2], jnp.swapaxes(change.linear, 1, 2), precision="highest")
    depth = points[..., 2:] * change.scale[:, None, None]
    return jnp.concatenate([flat + change.shift[:, None], depth], axis=-1)


def changed_image(image: jax.Array, change: Change) -> jax.Array:
    """Returns the image [B, S, S, C] after the change; the border goes on beyond it."""
    size = image.shape[1]
    centre = jnp.arange(size, dtype=image.dtype) + 0.5
    place = jnp.stack(jnp.meshgrid(centre, centre), axis=-1).reshape(1, -1, 2)
    place = jnp.broadcast_to(place, (len(image), *place.shape[1:]))
    inverse = jnp.linalg.inv(change.linear)
    source = place - change.shift[:, None]
    source = jnp.matmul(source, jnp.swapaxes(inverse, 1, 2), precision="highest")
    return sample_texture(image, source.reshape(len(image), size, size, 2) / size)


def recolored(config: Config, key: jax.Array, image: jax.Array) -> jax.Array:
    """Returns the image [B, S, S, 3] in [0, 1] with a gain a channel and, now and then, a patch."""
    keys = jax.random.split(key, 6)
    count, size = image.shape[:2]
    gain = jax.random.uniform(
        keys[0], (count, 1, 1, 3), minval=config.least_gain, maxval=config.most_gain
    )
    image = jnp.clip(image * gain, 0.0, 1.0)
    sides = jax.random.uniform(keys[1], (count, 1, 2)) * config.occlusion_size * size
    middle = jax.random.uniform(keys[2], (count, 1, 2)) * size
    there = jax.random.bernoulli(keys[3], config.occlusion, (count, 1, 1))
    centre = jnp.broadcast_to(jnp.arange(size)[None, :, None] + 0.5, (count, size, 2))
    inside = jnp.abs(centre - middle) < sides / 2
    patch = there & inside[:, :, None, 1] & inside[:, None, :, 0]
    tint = jax.random.uniform(keys[4], (count, 1, 1, 3))
    noise = (tint + jax.random.uniform(keys[5], image.shape)) / 2
    return jnp.where(patch[..., None], noise, image)


def augmented(
    config: Config, key: jax.Array, image: jax.Array, vertices: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns images [B, S, S, 3] in [0, 1] and vertices [B, V, 3] px, changed alike.

    Args:
      config: ranges.
      key: consumed.
      image: [B, S, S, 3] in [-1, 1].
      vertices: [B, V, 3] px.
    """
    key_change, key_color = jax.random.split(key)
    change = draw_change(config, key_change, len(image), image.shape[1])
    moved = changed_image((image + 1) / 2, change)
    return recolored(config, key_color, moved), changed_points(vertices, change)
