"""The nearest few triangles around every pixel: the search behind `soft`.

A triangle is around a pixel when its distance to the pixel's centre, 0 inside, is less than a
radius. Triangles are ordered by their depth at the pixel, which outside a triangle is that of the
point whose barycentric coordinates are the pixel's, clipped to [0, 1] and rescaled to sum 1.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from facejax import checks
from facejax.geometry.contest import walk
from facejax.geometry.frames import over_frames
from facejax.geometry.mesh import MeshTopology
from facejax.geometry.pairs import Boxes, Pairs, rows, span
from facejax.geometry.zbuffer import MIN_DOUBLE_AREA, TOLERANCE, depth_key

_NONE = 0xFFFFFFFF


class Around(NamedTuple):
    """How triangles lie around points, [N] each and [N, 3]."""

    square: jax.Array  # px^2: squared distance to the triangle's edges, > 0 inside, < 0 outside
    barycentric: jax.Array  # [N, 3] clipped to [0, 1], of sum 1
    depth: jax.Array
    solid: jax.Array  # bool: neither degenerate nor infinite nor NaN; only then the rest counts


def around(a: jax.Array, b: jax.Array, c: jax.Array, x: jax.Array, y: jax.Array) -> Around:
    """Returns how triangles with corners [N, 3] lie around the points (x, y), [N] each.

    Differentiable; for what is not solid everything is 0, and so are the gradients.
    """
    finite = jnp.all(jnp.isfinite(a) & jnp.isfinite(b) & jnp.isfinite(c), axis=-1)
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = (
        (corner[:, 0] - x, corner[:, 1] - y, corner[:, 2])
        for corner in (jnp.where(finite[:, None], corner, 0.0) for corner in (a, b, c))
    )
    p, q = (bx - ax) * (cy - ay), (by - ay) * (cx - ax)
    solid = finite & (jnp.abs(p - q) > TOLERANCE * (jnp.abs(p) + jnp.abs(q)) + MIN_DOUBLE_AREA)
    inverse = jnp.where(solid, 1.0 / jnp.where(solid, p - q, 1.0), 0.0)
    areas = (bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx)
    weight = [part * inverse for part in areas]
    inside = (weight[0] >= 0) & (weight[1] >= 0) & (weight[2] >= 0)
    weight = [jnp.clip(part, 0.0, 1.0) for part in weight]
    total = jnp.where(solid, weight[0] + weight[1] + weight[2], 1.0)
    barycentric = jnp.stack([part / total for part in weight], axis=-1)
    sides = ((ax, ay, bx, by), (bx, by, cx, cy), (cx, cy, ax, ay))
    square = functools.reduce(jnp.minimum, (_square(*side) for side in sides))
    square = jnp.where(solid, jnp.where(inside, square, -square), 0.0)
    depth = jnp.sum(barycentric * jnp.stack([az, bz, cz], axis=-1), axis=-1)
    return Around(square, barycentric, jnp.where(solid, depth, 0.0), solid)


def _square(ax: jax.Array, ay: jax.Array, bx: jax.Array, by: jax.Array) -> jax.Array:
    """Returns the squared distance from the origin to segments from a to b."""
    dx, dy = bx - ax, by - ay
    length = dx * dx + dy * dy
    t = jnp.clip(-(ax * dx + ay * dy) / jnp.where(length > 0, length, 1.0), 0.0, 1.0)
    t = lax.stop_gradient(t)  # the distance is stationary in it, or it is held at an end
    ex, ey = ax + t * dx, ay + t * dy
    return ex * ex + ey * ey


@functools.partial(jax.jit, static_argnames=("height", "width", "num_layers", "radius"))
def rasterize_layers(
    screen: jax.Array,
    topology: MeshTopology,
    height: int,
    width: int,
    num_layers: int,
    radius: float,
) -> jax.Array:
    """Returns the triangles around each pixel, the nearest to the viewer first.

    Exact for triangles of any size and number: none is lost but those behind the first K. Equal
    depths are in the order of the triangles' numbers. Degenerate triangles and those with a vertex
    that is not finite are left out. No gradient passes. The cost follows the sum of the triangles'
    boxes, enlarged by the radius, times K: for coarse meshes.

    Args:
      screen: [..., V, 3] vertices in pixels, z smaller is nearer. Rounded to float32.
      topology: the mesh.
      height: H.
      width: W.
      num_layers: K.
      radius: px, > 0.

    Returns:
      [..., K, H, W] int32, padded with -1.

    Raises:
      ValueError: wrong shapes, or a size that is not positive.
    """
    checks.shapes(screen=(screen, "... V 3"), faces=(topology.faces, "3 F"))
    checks.shapes(screen=(screen, "... V 3"), corner_table=(topology.corner_table, "V D"))
    if min(height, width, num_layers) < 1 or not radius > 0:
        raise ValueError(
            f"height, width, num_layers, radius = {height}, {width}, {num_layers}, {radius}; "
            f"due: 1 or more, radius more than 0"
        )
    vertices = lax.stop_gradient(screen).astype(jnp.float32)

    def search(frame: jax.Array) -> jax.Array:
        return _search(frame, jnp.asarray(topology.faces), (height, width), num_layers, radius)

    return over_frames(search, screen.shape[:-2], vertices)


def _search(
    vertices: jax.Array, faces: jax.Array, size: tuple[int, int], num_layers: int, radius: float
) -> jax.Array:
    """One frame of `rasterize_layers`, from [V, 3] and [3, F]."""
    height, width = size
    corners = [rows(vertices, corner) for corner in faces]
    low, high = functools.reduce(jnp.minimum, corners), functools.reduce(jnp.maximum, corners)
    (first_x, size_x, finite_x), (first_y, size_y, finite_y) = (
        span(low[:, axis] - radius, high[:, axis] + radius, size[1 - axis]) for axis in (0, 1)
    )
    size_x = jnp.where(finite_x & finite_y, size_x, 0)

    def update(state: tuple, pairs: Pairs) -> tuple:
        x = pairs.column.astype(jnp.float32) + jnp.float32(0.5)
        y = pairs.row.astype(jnp.float32) + jnp.float32(0.5)
        a, b, c = (rows(corner, pairs.box) for corner in corners)
        seen = around(a, b, c, x, y)
        live = pairs.live & seen.solid & (seen.square > -radius * radius)
        z = jnp.stack([a[:, 2], b[:, 2], c[:, 2]])
        depth = jnp.clip(seen.depth, jnp.min(z, axis=0), jnp.max(z, axis=0))  # exact if level
        # Without the barrier the key may be computed twice, with different roundings.
        key = lax.optimization_barrier(depth_key(depth))
        place = pairs.row * width + pairs.column
        return _insert(state, _Claim(place, key, pairs.box.astype(jnp.uint32), live))

    empty = jnp.full((num_layers, height * width), _NONE, jnp.uint32)
    boxes = Boxes(first_x, first_y, size_x, size_y)
    step = max(1024, height * width // 4)
    _, triangle = walk(boxes, size, step, update, (empty, empty))
    ids = lax.bitcast_convert_type(triangle, jnp.int32)  # all bits set is -1
    return ids.reshape(num_layers, height, width)


class _Claim(NamedTuple):
    """Triangles that want a place among the nearest of a pixel, [N] each."""

    place: jax.Array  # int32 pixel
    key: jax.Array  # uint32, rises with depth
    triangle: jax.Array  # uint32
    live: jax.Array  # bool


def _insert(layers: tuple[jax.Array, jax.Array], claim: _Claim) -> tuple[jax.Array, jax.Array]:
    """Returns the keys and triangles [K, P] of all layers, sorted, with the claims sorted in.

    At each layer one claim a pixel may win, by key and then by number; it goes on to the next
    layer with what it displaced, the others with themselves.
    """

    def one_layer(claim: _Claim, layer: tuple) -> tuple:
        key, triangle = layer
        drop = key.size
        best = key.at[jnp.where(claim.live, claim.place, drop)].min(claim.key, mode="drop")
        ties = claim.live & (rows(best, claim.place) == claim.key)
        winner = jnp.where(best < key, jnp.uint32(_NONE), triangle)
        winner = winner.at[jnp.where(ties, claim.place, drop)].min(claim.triangle, mode="drop")
        won = ties & (rows(winner, claim.place) == claim.triangle)
        displaced = rows(triangle, claim.place)
        onward = _Claim(
            claim.place,
            jnp.where(won, rows(key, claim.place), claim.key),
            jnp.where(won, displaced, claim.triangle),
            claim.live & ~(won & (displaced == jnp.uint32(_NONE))),
        )
        return onward, (best, winner)

    return lax.scan(one_layer, claim, layers)[1]
