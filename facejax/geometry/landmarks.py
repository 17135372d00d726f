"""Sketches of facial landmarks: anti-aliased strokes, one colour for each part of the face.

Landmarks are the 68 of iBUG (Sagonas et al. 2013, the 300-W challenge), with or without the right
and the left pupil as numbers 68 and 69; right is the person's own. Pixels: x right, y down, the
centre of pixel (row i, column j) at (j + 0.5, i + 0.5).
"""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from facejax import checks


class Part(NamedTuple):
    """A stroke through landmarks first .. last in order, back to the first if closed."""

    name: str
    first: int
    last: int
    closed: bool
    color: tuple[float, float, float]


PARTS = (
    Part("jaw", 0, 16, False, (1.0, 1.0, 1.0)),
    Part("right brow", 17, 21, False, (1.0, 0.6, 0.0)),
    Part("left brow", 22, 26, False, (0.0, 0.6, 1.0)),
    Part("nose bridge", 27, 30, False, (0.6, 0.4, 1.0)),
    Part("nose base", 31, 35, False, (1.0, 0.0, 1.0)),
    Part("right eye", 36, 41, True, (1.0, 1.0, 0.0)),
    Part("left eye", 42, 47, True, (0.0, 1.0, 1.0)),
    Part("outer lips", 48, 59, True, (1.0, 0.0, 0.0)),
    Part("inner lips", 60, 67, True, (0.0, 1.0, 0.0)),
    Part("right pupil", 68, 68, False, (0.5, 0.5, 0.0)),
    Part("left pupil", 69, 69, False, (0.0, 0.5, 0.5)),
)
NUM_LANDMARKS = (68, 70)
STROKES_ACROSS = 128  # an image is as wide as this many strokes, unless told otherwise


@functools.partial(jax.jit, static_argnames=("height", "width"))
def draw_landmarks(
    landmarks: jax.Array, height: int, width: int, thickness: float | jax.Array | None = None
) -> jax.Array:
    """Returns a sketch of the face on black, [..., H, W, 3] in [0, 1].

    Strokes have round ends and edges one pixel soft; later parts of `PARTS` lie over earlier ones;
    pupils are dots. Segments whose ends are not finite are left out.

    Args:
      landmarks: [..., 68 or 70, 2] x, y in pixels; may lie outside the image.
      height: H.
      width: W.
      thickness: of strokes in pixels; by default 1 / 128 of the image's shorter side, at least 1.

    Raises:
      ValueError: other numbers of landmarks.
    """
    checks.shapes(landmarks=(landmarks, "... N 2"))
    num = landmarks.shape[-2]
    if num not in NUM_LANDMARKS:
        raise ValueError(f"landmarks has shape {landmarks.shape}; due: [... N 2], N = 68 or 70")
    if thickness is None:
        thickness = max(1.0, min(height, width) / STROKES_ACROSS)
    image = jnp.zeros((*landmarks.shape[:-2], height, width, 3), landmarks.dtype)
    for part in PARTS:
        if part.last < num:
            ink = _ink(landmarks, part, (height, width), thickness)[..., None]
            color = jnp.broadcast_to(jnp.array(part.color, image.dtype), image.shape)
            image = (1 - ink) * image + ink * color
    return image


@functools.partial(jax.jit, static_argnames=("height", "width"))
def draw_strokes(landmarks: jax.Array, height: int, width: int) -> jax.Array:
    """Returns the strokes of `draw_landmarks` in white alone, [..., H, W, 1] in [0, 1].

    One loop over all segments, where colours need one program for each part.

    Args:
      landmarks: [..., 68 or 70, 2] x, y in pixels; may lie outside the image.
      height: H.
      width: W.

    Raises:
      ValueError: other numbers of landmarks.
    """
    checks.shapes(landmarks=(landmarks, "... N 2"))
    num = landmarks.shape[-2]
    if num not in NUM_LANDMARKS:
        raise ValueError(f"landmarks has shape {landmarks.shape}; due: [... N 2], N = 68 or 70")
    thickness = max(1.0, min(height, width) / STROKES_ACROSS)
    segments = jnp.asarray(
        [pair for part in PARTS if part.last < num for pair in itertools.pairwise(_order(part))]
    )

    def nearer(number: jax.Array, square: jax.Array) -> jax.Array:
        start, end = segments[number]
        return jnp.minimum(square, _square_distance(landmarks, start, end, (height, width)))

    square = jnp.full((*landmarks.shape[:-2], height, width), jnp.inf, landmarks.dtype)
    square = jax.lax.fori_loop(0, len(segments), nearer, square)
    return _coverage(square, thickness)[..., None]


def _order(part: Part) -> list[int]:
    """The landmarks of a stroke, one after the other; a dot is a segment from itself to itself."""
    order = list(range(part.first, part.last + 1)) + [part.first] * part.closed
    return order if len(order) > 1 else order * 2


def _ink(
    landmarks: jax.Array, part: Part, size: tuple[int, int], thickness: float | jax.Array
) -> jax.Array:
    """How much of each pixel the stroke covers, [..., H, W] in [0, 1].

    Segments are taken one after another, so that no array has both a segment and a pixel axis.
    """
    square = jnp.full((*landmarks.shape[:-2], *size), jnp.inf, landmarks.dtype)
    for start, end in itertools.pairwise(_order(part)):
        square = jnp.minimum(square, _square_distance(landmarks, start, end, size))
    return _coverage(square, thickness)


def _coverage(square: jax.Array, thickness: float | jax.Array) -> jax.Array:
    """How much of each pixel a stroke covers, of the squared distance from its middle line."""
    touched = square < (thickness / 2 + 0.5) ** 2
    # Twice where: the gradient of sqrt is infinite at 0 and undefined at infinity.
    positive = touched & (square > 0)
    distance = jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)
    return jnp.where(touched, jnp.clip(thickness / 2 + 0.5 - distance, 0.0, 1.0), 0.0)


def _square_distance(
    landmarks: jax.Array, start: int | jax.Array, end: int | jax.Array, size: tuple[int, int]
) -> jax.Array:
    """Squared distance of pixel centres from a segment, [..., H, W] px^2; inf if not finite."""
    ends = jnp.take(landmarks, jnp.stack([jnp.asarray(start), jnp.asarray(end)]), axis=-2)
    finite = jnp.all(jnp.isfinite(ends), axis=(-2, -1))[..., None, None]
    ends = jnp.where(finite, ends, 0.0)
    (x, y), (end_x, end_y) = (
        (ends[..., i, 0, None, None], ends[..., i, 1, None, None]) for i in range(2)
    )
    along_x, along_y = end_x - x, end_y - y
    length = along_x**2 + along_y**2
    ones = (1,) * (ends.ndim - 2)
    to_x = (jnp.arange(size[1], dtype=ends.dtype) + 0.5).reshape(*ones, 1, -1) - x
    to_y = (jnp.arange(size[0], dtype=ends.dtype) + 0.5).reshape(*ones, -1, 1) - y
    inverse = jnp.where(length > 0, 1.0 / jnp.where(length > 0, length, 1.0), 0.0)  # a dot: 0
    place = jnp.clip((to_x * along_x + to_y * along_y) * inverse, 0.0, 1.0)
    square = (to_x - place * along_x) ** 2 + (to_y - place * along_y) ** 2
    return jnp.where(finite, square, jnp.inf)
