"""Which triangle is nearest at each pixel: the exact search behind `rasterize`.

Frame: pixels, x right, y down, z away from the viewer (smaller is nearer); the centre of pixel
(row i, column j) is (j + 0.5, i + 0.5). A triangle covers a pixel when it contains the centre,
edges included. Equal depths go to the lowest triangle number.

Every triangle is expanded to the pixel centres inside its bounding box, and the (triangle, pixel)
pairs compete for their pixels: the first pixel of every box at once, which is all there is to most
triangles of a dense mesh, and the others step by step (`pairs`). The back ends differ only in how
pairs compete; all return the same bits.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from facejax.geometry.pairs import Boxes, Pairs, fold, rows, span

# The two triangles at an edge round it differently and may both refuse a centre on it. The
# tolerance, a few roundings of the products, lets both claim it; the depth test then decides.
TOLERANCE = 2.0**-22
MIN_DOUBLE_AREA = 1e-12  # px^2; thinner triangles are degenerate and cover nothing
# Planes are prepared once a triangle where there are this many pixels a triangle or more, and once
# a pair where there are fewer: then most triangles have no pixel, or one.
PIXELS_PREPARED = 2

_FAR = 0xFFFFFFFF  # the key of an empty pixel; no finite depth has these bits


class Corners(NamedTuple):
    """One coordinate of the three corners of each triangle, [F] each."""

    a: jax.Array
    b: jax.Array
    c: jax.Array


class Triangles(NamedTuple):
    """Triangles in screen space and the pixel boxes around them, empty for what is not drawn."""

    x: Corners
    y: Corners
    z: Corners
    boxes: Boxes


class Plane(NamedTuple):
    """A linear function of the pixel, counted from the first of the triangle's box."""

    first: jax.Array  # its value there
    column: jax.Array  # its rise a column
    row: jax.Array  # its rise a row


class Planes(NamedTuple):
    """All that the test of a pixel needs of its triangle."""

    edges: tuple[Plane, Plane, Plane]  # >= 0 inside and, by a tolerance, on the edge
    depth: Plane
    near: jax.Array
    far: jax.Array


class Candidates(NamedTuple):
    """What competes in one step."""

    pixel: jax.Array  # [N] int32, row-major
    key: jax.Array  # [N] uint32, rises with depth
    triangle: jax.Array  # [N] int32
    inside: jax.Array  # [N] bool


def depth_key(depth: jax.Array) -> jax.Array:
    """Returns uint32 that are ordered as the float32 depths are, negative ones included."""
    bits = lax.bitcast_convert_type(depth, jnp.uint32)
    return jnp.where(bits >> 31 == 1, ~bits, bits | jnp.uint32(0x80000000))


def planes(tri: Triangles) -> Planes:
    """Returns the planes of triangles; degenerate ones have edges that no pixel is inside of."""
    left, top = (
        first.astype(jnp.float32) + jnp.float32(0.5)
        for first in (tri.boxes.first_x, tri.boxes.first_y)
    )
    wide, high = (size.astype(jnp.float32) for size in (tri.boxes.size_x, tri.boxes.size_y))
    ax, bx, cx = (corner - left for corner in tri.x)
    ay, by, cy = (corner - top for corner in tri.y)

    def edge(ux: jax.Array, uy: jax.Array, vx: jax.Array, vy: jax.Array) -> tuple:
        p, q, column, row = ux * vy, uy * vx, uy - vy, vx - ux
        size = jnp.abs(p) + jnp.abs(q) + jnp.abs(column) * wide + jnp.abs(row) * high
        return Plane(p - q, column, row), TOLERANCE * size

    corners = ((bx, by, cx, cy), (cx, cy, ax, ay), (ax, ay, bx, by))
    (of_a, slack_a), (of_b, slack_b), (of_c, slack_c) = (edge(*pair) for pair in corners)
    area = of_a.first + of_b.first + of_c.first
    solid = jnp.abs(area) > slack_a + slack_b + slack_c + MIN_DOUBLE_AREA
    inverse = 1.0 / jnp.where(solid, area, 1.0)
    sign = jnp.where(area < 0, jnp.float32(-1.0), jnp.float32(1.0))

    def inwards(plane: Plane, slack: jax.Array) -> Plane:
        first = jnp.where(solid, plane.first * sign + slack, -jnp.inf)
        return Plane(first, plane.column * sign, plane.row * sign)

    over_b, over_c = (tri.z.b - tri.z.a) * inverse, (tri.z.c - tri.z.a) * inverse
    rise = Plane(*(b * over_b + c * over_c for b, c in zip(of_b, of_c, strict=True)))
    return Planes(
        (inwards(of_a, slack_a), inwards(of_b, slack_b), inwards(of_c, slack_c)),
        rise._replace(first=tri.z.a + rise.first),
        _extreme(jnp.minimum, tri.z),
        _extreme(jnp.maximum, tri.z),
    )


def cover(found: Planes, column: jax.Array, row: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns whether pixels lie inside their triangles (bool) and the depth there.

    Args:
      found: the triangle of each pixel.
      column: int32, counted from the first of the triangle's box.
      row: int32, likewise.
    """
    column, row = column.astype(jnp.float32), row.astype(jnp.float32)

    def value(plane: Plane) -> Plane:
        return plane._replace(first=plane.column * column + (plane.row * row + plane.first))

    a, b, c = (value(edge) for edge in found.edges)
    return cover_first(found._replace(edges=(a, b, c), depth=value(found.depth)))


def cover_first(found: Planes) -> tuple[jax.Array, jax.Array]:
    """Returns what `cover` does, for the first pixel of each box."""
    a, b, c = (edge.first >= 0 for edge in found.edges)
    # A sliver's plane may be steep; its depth must not leave the triangle.
    return a & b & c, jnp.clip(found.depth.first, found.near, found.far)


def triangles(screen: jax.Array, faces: jax.Array, height: int, width: int, cull: str) -> Triangles:
    """Returns the triangles of one frame, boxes clamped to the image.

    Args:
      screen: [V, 3] float32 vertices.
      faces: [3, F] int32.
      height: H.
      width: W.
      cull: "none", "back" or "front".
    """
    x, y, z = (Corners(*(rows(screen[:, axis], corner) for corner in faces)) for axis in range(3))
    (first_x, size_x, finite_x), (first_y, size_y, finite_y) = (
        span(_extreme(jnp.minimum, axis), _extreme(jnp.maximum, axis), size)
        for axis, size in ((x, width), (y, height))
    )
    drawn = finite_x & finite_y & jnp.isfinite(z.a) & jnp.isfinite(z.b) & jnp.isfinite(z.c)
    if cull != "none":
        area = (x.b - x.a) * (y.c - y.a) - (y.b - y.a) * (x.c - x.a)
        # With y down, triangles that are counter-clockwise for the viewer have negative area.
        drawn &= area < 0 if cull == "back" else area > 0
    return Triangles(x, y, z, Boxes(first_x, first_y, jnp.where(drawn, size_x, 0), size_y))


def _extreme(choose: Callable, corners: Corners) -> jax.Array:
    return choose(choose(corners.a, corners.b), corners.c)  # minimum and maximum hand NaN on


class Resolver(NamedTuple):
    """How candidates compete: the smallest (key, triangle) of each pixel wins."""

    empty: Callable[[int], Any]  # number of pixels -> state
    update: Callable[[Any, Candidates], Any]  # state, candidates of one step -> state
    winners: Callable[[Any], jax.Array]  # state -> [P] uint32 triangle, _FAR where none


def search(
    tri: Triangles, size: tuple[int, int], step: int | None, resolver: Resolver
) -> jax.Array:
    """Returns the nearest triangle of every pixel, by working off the list of pairs.

    Args:
      tri: triangles of B frames, [B, F] each, F > 0.
      size: height and width of the frames.
      step: pairs looked at in one turn of the loop; None: as many as is quick.
      resolver: one of `RESOLVERS`; scatter64 must be traced with 64-bit types enabled.

    Returns:
      [B, H * W] int32, -1 where nothing is covered.
    """
    (num_frames, num_faces), (height, width) = tri.boxes.size_x.shape, size
    tri = jax.tree.map(lambda leaf: leaf.reshape(-1), tri)
    boxes = tri.boxes
    prepared = num_faces * PIXELS_PREPARED <= height * width
    table: Any = lax.optimization_barrier(planes(tri)) if prepared else tri
    step = step or default_step(num_frames * height * width, prepared)

    def candidates(pairs: Pairs, inside: jax.Array, depth: jax.Array) -> Candidates:
        pixel, triangle = pairs.row * width + pairs.column, pairs.box
        if num_frames > 1:
            frame = lax.div(pairs.box, jnp.int32(num_faces))
            pixel, triangle = pixel + frame * (height * width), triangle - frame * num_faces
        return Candidates(pixel, depth_key(depth), triangle, inside & pairs.live)

    def update(state: Any, pairs: Pairs) -> Any:
        found = jax.tree.map(lambda leaf: rows(leaf, pairs.box), table)
        first_x, first_y = rows(boxes.first_x, pairs.box), rows(boxes.first_y, pairs.box)
        x, y = pairs.column - first_x, pairs.row - first_y
        covered = cover(found if prepared else planes(found), x, y)
        return resolver.update(state, candidates(pairs, *covered))

    every = jnp.arange(boxes.size_x.size, dtype=jnp.int32)
    some = (boxes.size_x > 0) & (boxes.size_y > 0)
    covered = cover_first(table if prepared else planes(tri))
    firsts = candidates(Pairs(every, boxes.first_x, boxes.first_y, some), *covered)
    state = resolver.update(resolver.empty(num_frames * height * width), firsts)
    state = fold(boxes, step, update, state, skip=1)
    return _identity(resolver.winners(state)).reshape(num_frames, height * width)


def default_step(num_pixels: int, prepared: bool) -> int:
    """Returns how many pairs to look at in one turn: all of a frame, as far as one can tell."""
    return max(1024, 3 * num_pixels // 2 if prepared else 5 * num_pixels // 8)


def brute(tri: Triangles, size: tuple[int, int]) -> jax.Array:
    """Returns what `search` returns for one frame, [H * W], by trying every triangle everywhere."""
    height, width = size
    row, column = jnp.meshgrid(
        jnp.arange(height, dtype=jnp.int32), jnp.arange(width, dtype=jnp.int32), indexing="ij"
    )

    def body(index: jax.Array, state: tuple) -> tuple:
        key, winner = state
        one = jax.tree.map(lambda leaf: leaf[index], tri)
        box = one.boxes
        x, y = column - box.first_x, row - box.first_y
        inside, depth = cover(lax.optimization_barrier(planes(one)), x, y)
        inside &= (x >= 0) & (x < box.size_x) & (y >= 0) & (y < box.size_y)
        candidate = depth_key(depth)
        nearer = inside & (candidate < key)
        winner = jnp.where(nearer, index.astype(jnp.uint32), winner)
        return jnp.where(nearer, candidate, key), winner

    far = jnp.full((height, width), _FAR, jnp.uint32)
    last = jnp.int32(tri.boxes.size_x.shape[0])
    _, winner = lax.fori_loop(jnp.int32(0), last, body, (far, far))
    return _identity(winner).reshape(-1)


def _identity(winner: jax.Array) -> jax.Array:
    return jnp.where(winner == jnp.uint32(_FAR), -1, winner.astype(jnp.int32)).astype(jnp.int32)


def _scatter64() -> Resolver:
    """One scatter of (key, triangle) packed into 64 bits."""
    shift, far = 32, 2**64 - 1

    def update(state: jax.Array, found: Candidates) -> jax.Array:
        packed = found.key.astype(jnp.uint64) << jnp.uint64(shift)
        packed |= found.triangle.astype(jnp.uint64)
        pixel = jnp.where(found.inside, found.pixel, state.size)
        return state.at[pixel].min(packed, mode="drop")

    return Resolver(
        empty=lambda num: jnp.full((num,), far, jnp.uint64),
        update=update,
        winners=lambda state: (state & jnp.uint64(_FAR)).astype(jnp.uint32),
    )


def _scatter32() -> Resolver:
    """Two scatters: the smallest key of each pixel, then the smallest triangle that has it."""

    def update(state: tuple, found: Candidates) -> tuple:
        key, winner = state
        # Without the barrier the key may be computed twice, with different roundings.
        candidate = lax.optimization_barrier(found.key)
        drop = key.size
        pixel = jnp.where(found.inside, found.pixel, drop)
        nearest = key.at[pixel].min(candidate, mode="drop")
        winner = jnp.where(nearest < key, jnp.uint32(_FAR), winner)
        wins = found.inside & (nearest.at[pixel].get(mode="clip") == candidate)
        pixel = jnp.where(wins, pixel, drop)
        return nearest, winner.at[pixel].min(found.triangle.astype(jnp.uint32), mode="drop")

    return Resolver(_two_words, update, lambda state: state[1])


def _sort() -> Resolver:
    """No scatter: sort by (pixel, key, triangle); the first of each pixel's run is the nearest."""

    def update(state: tuple, found: Candidates) -> tuple:
        key, winner = state
        pixel = jnp.where(found.inside, found.pixel, key.size)
        operands = (pixel, found.key, found.triangle.astype(jnp.uint32))
        pixel, candidate, triangle = lax.sort(operands, num_keys=3)
        wanted = jnp.arange(key.size, dtype=jnp.int32)
        first = jnp.searchsorted(pixel, wanted).astype(jnp.int32)
        present = pixel.at[first].get(mode="clip") == wanted
        candidate = jnp.where(present, candidate.at[first].get(mode="clip"), jnp.uint32(_FAR))
        triangle = jnp.where(present, triangle.at[first].get(mode="clip"), jnp.uint32(_FAR))
        nearer = (candidate < key) | ((candidate == key) & (triangle < winner))
        return jnp.where(nearer, candidate, key), jnp.where(nearer, triangle, winner)

    return Resolver(_two_words, update, lambda state: state[1])


def _two_words(num: int) -> tuple[jax.Array, jax.Array]:
    far = jnp.full((num,), _FAR, jnp.uint32)
    return far, far


RESOLVERS = {"scatter64": _scatter64(), "scatter32": _scatter32(), "sort": _sort()}
