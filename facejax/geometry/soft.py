"""The soft rasteriser of Liu et al. 2019 (SoftRas, arxiv.org/abs/1904.01786).

Every triangle covers every pixel with a probability that falls with its distance (eq. 1), and
colours are mixed over all triangles by probability and nearness (eq. 2 and 3). Departs from the
paper in keeping, within a radius, the K triangles nearest to the viewer (`rasterize_layers`), and
in interpolating linearly on the screen, as for a weak-perspective camera.

Good for: gradients that reach hidden surfaces, depths, and far from edges (sigma), on meshes of
some hundred to a few thousand triangles; results to set beside SoftRas. Not good for: dense
meshes, where more triangles lie around a pixel than any K; exact values and derivatives: triangles
count as independent, so that the coverage falls to 3/4 along edges inside the surface, and areas
and their derivatives come out some 10 to 20 % too small at sigma = 0.5 and triangles of 10 px^2;
speed: each layer costs as much as a hard image. For exact gradients use `silhouette`, for smooth
ones `splat`.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from facejax import checks
from facejax.geometry.frames import over_frames, remembering_inputs
from facejax.geometry.layers import around, rasterize_layers
from facejax.geometry.mesh import MeshTopology
from facejax.geometry.pairs import rows
from facejax.geometry.rasterize import Fragments

__all__ = [
    "Softness",
    "face_texels",
    "rasterize_layers",
    "soft_image",
    "soft_radius",
    "soft_silhouette",
]


class Softness(NamedTuple):
    """How triangles are blurred on the screen and mixed over depth; numbers or traced scalars."""

    sigma: float  # px^2, > 0: D = sigmoid(+-d^2 / sigma) at distance d to the edges (eq. 1)
    gamma: float  # > 0, on the scale of nearness: the smaller, the more the nearest counts (eq. 3)
    near: float  # depth of nearness 1, in the units of z on the screen
    far: float  # depth of nearness 0, > near
    epsilon: float = 1e-3  # nearness of the background


def soft_radius(sigma: float, least: float = 1e-4) -> float:
    """Returns the distance in pixels at which a triangle's probability has fallen to `least`.

    The radius for `rasterize_layers`: sqrt(sigma log(1 / least - 1)).
    """
    return math.sqrt(sigma * math.log(1 / least - 1))


@jax.jit
def soft_silhouette(
    screen: jax.Array, topology: MeshTopology, layers: jax.Array, sigma: float | jax.Array
) -> jax.Array:
    """Returns the probability that any triangle covers a pixel (eq. 4), [..., H, W] in [0, 1].

    Differentiable in the vertices and in sigma.

    Args:
      screen: [..., V, 3] vertices in pixels.
      topology: the mesh.
      layers: [..., K, H, W] from `rasterize_layers`.
      sigma: px^2, > 0, of eq. 1.
    """
    _check(screen, topology, layers)

    def draw(frame: tuple) -> jax.Array:
        screen, layers = frame

        def add(uncovered: jax.Array, layer: jax.Array) -> tuple:
            return uncovered + _layer(screen, topology, layer, sigma).log_uncovered, None

        nothing = jnp.zeros(layers.shape[1:], screen.dtype)
        uncovered, _ = lax.scan(remembering_inputs(add), nothing, layers)
        return -jnp.expm1(uncovered)

    return over_frames(draw, screen.shape[:-2], (screen, layers))


def soft_image(
    screen: jax.Array,
    topology: MeshTopology,
    layers: jax.Array,
    attributes: Any,
    paint: Callable[[Any, Fragments], jax.Array],
    softness: Softness,
    background: float = 0.0,
) -> jax.Array:
    """Returns colours mixed over the triangles around each pixel, and coverage, [..., H, W, C + 1].

    Triangles weigh D_j exp(z_j / gamma), the background exp(epsilon / gamma), rescaled to sum 1
    (eq. 2 and 3); z_j is the nearness. The last channel is `soft_silhouette`. Differentiable in
    the vertices, depths included, in the attributes and in the softness. Call it under `jax.jit`.

    Args:
      screen: [..., V, 3] vertices in pixels.
      topology: the mesh.
      layers: [..., K, H, W] from `rasterize_layers`.
      attributes: arrays with the batch axes of `screen`, which `paint` gets frame by frame; what
        frames share it may as well close over.
      paint: from the attributes of a frame and the fragments of a layer to colours [H, W, C]. For
        vertex colours `lambda colors, seen: interpolate(colors, topology, seen)`, for texels of
        triangles `face_texels`, for a texture image its samples at interpolated coordinates.
      softness: of the edges and of the mixture.
      background: its colour.
    """
    _check(screen, topology, layers)
    sigma, gamma, near, far, epsilon = softness

    def draw(frame: tuple) -> jax.Array:
        screen, layers, attributes = frame

        def add(state: tuple, layer: jax.Array) -> tuple:
            mixed, total, peak, uncovered = state
            seen = _layer(screen, topology, layer, sigma)
            nearness = (far - seen.fragments.depth) / ((far - near) * gamma)
            exponent = jnp.where(seen.fragments.mask, seen.log_covered + nearness, -jnp.inf)
            # The largest exponent so far is taken out of all: the ratio does not depend on it.
            higher = lax.stop_gradient(jnp.maximum(peak, exponent))
            old, new = jnp.exp(peak - higher)[..., None], jnp.exp(exponent - higher)[..., None]
            color = jnp.where(new > 0, paint(attributes, seen.fragments), 0.0)
            state = (mixed * old + color * new, total * old + new, higher)
            return (*state, uncovered + seen.log_uncovered), None

        seen = jax.eval_shape(lambda: _layer(screen, topology, layers[0], sigma).fragments)
        channels = jax.eval_shape(paint, attributes, seen).shape[-1]
        whole = jnp.ones(layers.shape[1:], screen.dtype)
        start = (
            jnp.full((*whole.shape, channels), background, screen.dtype),
            whole[..., None],
            whole * (epsilon / gamma),
            0.0 * whole,
        )
        (mixed, total, _, uncovered), _ = lax.scan(remembering_inputs(add), start, layers)
        return jnp.concatenate([mixed / total, -jnp.expm1(uncovered)[..., None]], axis=-1)

    return over_frames(draw, screen.shape[:-2], (screen, layers, attributes))


def face_texels(texels: jax.Array, fragments: Fragments) -> jax.Array:
    """Returns the texels of the triangles seen, nearest ones without interpolation, [..., H, W, C].

    A triangle is cut into R^2 equal ones by lines along its sides. Those that stand like the whole
    have i + j < R, i and j counting them from the sides opposite the first and second corner; the
    others, upside down, are stored at R - 1 - i and R - 1 - j.

    Args:
      texels: [F, R, R, C], of axes triangle, j, i.
      fragments: `[..., H, W]`.

    Raises:
      ValueError: wrong shapes.
    """
    checks.shapes(texels=(texels, "F R R C"))
    num_faces, resolution = texels.shape[:2]
    first, second = (fragments.barycentric[..., corner] * resolution for corner in (0, 1))
    i, j = (
        jnp.clip(jnp.floor(part), 0, resolution - 1).astype(jnp.int32) for part in (first, second)
    )
    upside_down = (first - i) + (second - j) > 1
    i, j = (jnp.where(upside_down, resolution - 1 - part, part) for part in (i, j))
    cell = (jnp.maximum(fragments.triangle_id, 0) * resolution + j) * resolution + i
    cell = jnp.where(fragments.mask, cell, num_faces * resolution**2)
    flat = jnp.asarray(texels).reshape(num_faces * resolution**2, texels.shape[-1])
    return flat.at[cell].get(mode="fill", fill_value=0.0)


class _Layer(NamedTuple):
    """One layer of triangles around the pixels, [H, W] each."""

    fragments: Fragments  # weights and depths clipped into the triangles
    log_covered: jax.Array  # log D of eq. 1
    log_uncovered: jax.Array  # log (1 - D), 0 where there is no triangle


def _layer(
    screen: jax.Array, topology: MeshTopology, layer: jax.Array, sigma: float | jax.Array
) -> _Layer:
    """[V, 3], [H, W] -> one layer of one frame."""
    height, width = layer.shape
    triangle = layer.reshape(-1)
    if topology.faces.shape[1] == 0:
        a = b = c = jnp.zeros((triangle.size, 3), screen.dtype)
    else:
        a, b, c = (_corners(screen, corner, triangle) for corner in jnp.asarray(topology.faces))
    y, x = jnp.meshgrid(
        *(jnp.arange(n, dtype=screen.dtype) + 0.5 for n in layer.shape), indexing="ij"
    )
    seen = around(a, b, c, x.reshape(-1), y.reshape(-1))
    log_uncovered = jnp.where(seen.solid, -jax.nn.softplus(seen.square / sigma), 0.0)
    log_covered = -jax.nn.softplus(-seen.square / sigma)
    fragments = Fragments(
        jnp.where(seen.solid, triangle, -1), seen.barycentric, seen.depth, seen.solid
    )
    return jax.tree.map(
        lambda leaf: leaf.reshape(height, width, *leaf.shape[1:]),
        _Layer(fragments, log_covered, log_uncovered),
    )


def _corners(screen: jax.Array, corner: jax.Array, triangle: jax.Array) -> jax.Array:
    """Returns one corner of each triangle, [N, 3], and zeros where there is none (-1)."""
    vertex = rows(corner, jnp.maximum(triangle, 0))
    # What reads past the end takes no gradient, so that none piles up on one vertex.
    vertex = jnp.where(triangle >= 0, vertex, screen.shape[0])
    return screen.at[vertex].get(mode="fill", fill_value=0.0)


def _check(screen: jax.Array, topology: MeshTopology, layers: jax.Array) -> None:
    checks.shapes(screen=(screen, "... V 3"), corner_table=(topology.corner_table, "V D"))
    checks.shapes(layers=(layers, "... K H W"))
    if screen.shape[:-2] != layers.shape[:-3]:
        raise ValueError(
            f"screen and layers have batch axes {screen.shape[:-2]} and {layers.shape[:-3]}; "
            "due: the same"
        )
