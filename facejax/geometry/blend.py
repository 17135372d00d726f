"""Blending across silhouette edges: the drawing behind `silhouette`, and its gradient.

A link joins the centres of neighbouring pixels; `crossings` tells which edge crosses it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from facejax.geometry.channels import total
from facejax.geometry.corners import LANES, no_gradient
from facejax.geometry.crossings import place_on
from facejax.geometry.mesh import MeshTopology
from facejax.geometry.pairs import rows


class _Cut(NamedTuple):
    """How edges cross the links along one axis u, v being the other: [H * W] each."""

    ends: tuple[jax.Array, jax.Array]  # vertices of the edge; V where there is none
    t: jax.Array  # on the way between them, where the link is crossed
    du: jax.Array  # px, from the one to the other
    dv: jax.Array
    inverse: jax.Array  # 1 / (du^2 + dv^2), 0 where there is none
    displacement: jax.Array  # [H, W] in [-0.5, 0.5]: n_u^2 times how far beyond the link's middle


@jax.custom_vjp
def blend(
    image: jax.Array, screen: jax.Array, topology: MeshTopology, edges: jax.Array
) -> jax.Array:
    """Returns the image with the colours at both ends of links blended by where edges cross them.

    Differentiable in the image and in the vertices, in reverse mode.

    Args:
      image: [H, W, C].
      screen: [V, 3] vertices in pixels.
      topology: the mesh.
      edges: [2, H * W] from `crossings`, of the links along x and along y.
    """
    return _forward(image, screen, topology, edges)[0]


def _forward(
    image: jax.Array, screen: jax.Array, topology: MeshTopology, edges: jax.Array
) -> tuple:
    cuts = _cuts(image, screen, topology, edges)
    gain, share = _exchange(image, cuts)
    # A pixel gives away more than itself only where a part is thinner than it both ways. (Without
    # the choice XLA draws all of this into sums over the image, by a slow kernel on CPU.)
    blended = jnp.where(share > 0, image + gain / jnp.maximum(share, 1.0), image)
    return blended, (image, screen, topology, edges, [cut.displacement for cut in cuts])


def _backward(kept: tuple, gradient: jax.Array) -> tuple:
    image, screen, topology, edges, known = kept
    cuts = [
        cut._replace(displacement=displacement)
        for cut, displacement in zip(_cuts(image, screen, topology, edges), known, strict=True)
    ]
    gain, share = _exchange(image, cuts)
    whole = jnp.maximum(share, 1.0)
    to_gain, to_image = gradient / whole, gradient
    scaled = total(to_gain * gain) / whole
    to_share = jnp.where(share > 1.0, -scaled, 0.0)
    ends: list[jax.Array] = []
    pulls: list[jax.Array] = []
    for u, cut in enumerate(cuts):
        first, second, into_first, into_second = _linked(image, cut, 1 - u)
        (gain_1, gain_2), (share_1, share_2) = (_pair(part, 1 - u) for part in (to_gain, to_share))
        flow = into_second * gain_2 - into_first * gain_1
        to_image += _at_first(flow, 1 - u) - _at_second(flow, 1 - u)
        one = total((second - first) * gain_1) + share_1
        other = total((first - second) * gain_2) + share_2
        side = jnp.sign(into_second - into_first)
        moved = _at_first(0.5 * ((1 + side) * other - (1 - side) * one), 1 - u).reshape(-1)
        # The point of the edge on the link moves; the crossing moves by n . motion / n_u, where
        # n_u = dv / length and n_v = -du / length.
        moved *= cut.inverse * cut.dv
        xy = [moved * cut.dv, -moved * cut.du][:: 1 - 2 * u]
        pull = jnp.stack([*xy, *[jnp.zeros_like(moved)] * (LANES - 2)], axis=-1)
        ends += cut.ends
        pulls += [(1.0 - cut.t)[:, None] * pull, cut.t[:, None] * pull]
    summed = jnp.zeros((screen.shape[0], LANES), screen.dtype)
    summed = summed.at[jnp.concatenate(ends)].add(jnp.concatenate(pulls), mode="drop")
    return to_image, summed[:, : screen.shape[1]], *no_gradient((topology, edges))


blend.defvjp(_forward, _backward)


def _cuts(
    image: jax.Array, screen: jax.Array, topology: MeshTopology, edges: jax.Array
) -> list[_Cut]:
    height, width, _ = image.shape
    return [_cut(screen, topology, edge, (height, width), u) for u, edge in enumerate(edges)]


def _cut(
    screen: jax.Array, topology: MeshTopology, edge: jax.Array, size: tuple[int, int], u: int
) -> _Cut:
    here, v = edge >= 0, 1 - u
    y, x = (
        centre.reshape(-1) + 0.5
        for centre in jnp.meshgrid(
            *(jnp.arange(n, dtype=screen.dtype) for n in size), indexing="ij"
        )
    )
    line, middle = (y, x + 0.5) if u == 0 else (x, y + 0.5)
    ends = [rows(end, jnp.maximum(edge, 0)) for end in topology.edges]
    a, b = (jnp.where(here[:, None], rows(screen, end), 0.0) for end in ends)
    t = place_on(a[:, v], b[:, v], line)
    du, dv = (b - a)[:, u], (b - a)[:, v]
    inverse = jnp.where(here, 1.0 / jnp.where(here, du * du + dv * dv, 1.0), 0.0)
    displacement = dv * dv * (a[:, u] + t * du - middle) * inverse
    none = screen.shape[0]
    start, end = (jnp.where(here, end, none) for end in ends)
    return _Cut((start, end), t, du, dv, inverse, displacement.reshape(size))


def _exchange(image: jax.Array, cuts: list[_Cut]) -> tuple[jax.Array, jax.Array]:
    """Returns what each pixel gains, [H, W, C], and its share that others take, [H, W, 1].

    An edge past the middle of a link brings the first colour into the second pixel; an edge before
    it brings the second colour into the first.
    """
    gain, share = jnp.zeros_like(image), jnp.zeros_like(image[..., :1])
    for u, cut in enumerate(cuts):
        axis = 1 - u
        first, second, into_first, into_second = _linked(image, cut, axis)
        gain += _at_first(into_first * (second - first), axis)
        gain += _at_second(into_second * (first - second), axis)
        share += _at_first(into_first, axis) + _at_second(into_second, axis)
    return gain, share


def _linked(image: jax.Array, cut: _Cut, axis: int) -> tuple[jax.Array, ...]:
    """Returns the colours at both ends of all links, and the share that goes into each end."""
    beyond = _pair(cut.displacement[..., None], axis)[0]
    return *_pair(image, axis), jnp.maximum(-beyond, 0.0), jnp.maximum(beyond, 0.0)


def _pair(image: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """Returns [H, W, C] at the first and at the second pixel of all links along an axis."""
    count = image.shape[axis]
    return (
        lax.slice_in_dim(image, 0, count - 1, axis=axis),
        lax.slice_in_dim(image, 1, count, axis=axis),
    )


def _at_first(links: jax.Array, axis: int) -> jax.Array:
    return jnp.pad(links, [(0, int(k == axis)) for k in range(3)])


def _at_second(links: jax.Array, axis: int) -> jax.Array:
    return jnp.pad(links, [(int(k == axis), 0) for k in range(3)])
