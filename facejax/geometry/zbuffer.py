"""Which triangle is nearest at each pixel: the exact search behind `rasterize`.

Frame: pixels, x right, y down, z away from the viewer (smaller is nearer); the centre of pixel
(row i, column j) is (j + 0.5, i + 0.5). A triangle covers a pixel when it contains the centre,
edges included. Equal depths go to the lowest triangle number.

Every triangle is expanded to the pixel centres inside its bounding box, and the (triangle, pixel)
pairs compete for their pixels step by step (`pairs`). The back ends differ only in how; all return
the same bits.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from facejax.geometry.pairs import Boxes, Pairs, fold, rows, span

# Compilers contract a*b - c*d to a fused multiply-add, after which the two triangles at an edge no
# longer compute opposite numbers and may both refuse a centre on it. The tolerance, a few roundings
# of the products, lets both claim it; the depth test then decides.
TOLERANCE = 2.0**-22
MIN_DOUBLE_AREA = 1e-12  # px^2; thinner triangles are degenerate and cover nothing

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


def cover(
    pixel_x: jax.Array, pixel_y: jax.Array, x: Corners, y: Corners, z: Corners
) -> tuple[jax.Array, jax.Array]:
    """Returns whether pixel centres lie inside triangles (bool) and the depth there."""
    ax, bx, cx = (corner - pixel_x for corner in x)
    ay, by, cy = (corner - pixel_y for corner in y)

    def edge(ux: jax.Array, uy: jax.Array, vx: jax.Array, vy: jax.Array) -> tuple:
        p, q = ux * vy, uy * vx
        return p - q, TOLERANCE * (jnp.abs(p) + jnp.abs(q))

    (ea, ta), (eb, tb), (ec, tc) = edge(bx, by, cx, cy), edge(cx, cy, ax, ay), edge(ax, ay, bx, by)
    area = ea + eb + ec
    clockwise = (ea >= -ta) & (eb >= -tb) & (ec >= -tc)
    counter = (ea <= ta) & (eb <= tb) & (ec <= tc)
    inside = (clockwise | counter) & (jnp.abs(area) > ta + tb + tc + MIN_DOUBLE_AREA)
    inverse = 1.0 / jnp.where(inside, area, 1.0)
    depth = ea * inverse * z.a + eb * inverse * z.b + ec * inverse * z.c
    nearest = jnp.minimum(jnp.minimum(z.a, z.b), z.c)
    farthest = jnp.maximum(jnp.maximum(z.a, z.b), z.c)
    # A sliver's weights may leave [0, 1]; its depth must not leave the triangle.
    return inside, jnp.clip(depth, nearest, farthest)


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
    tri: Triangles, frame_pixels: int, width: int, step: int, resolver: Resolver
) -> jax.Array:
    """Returns the nearest triangle of every pixel, by working off the list of pairs.

    Args:
      tri: triangles of B frames, [B, F] each, F > 0.
      frame_pixels: H * W.
      width: W.
      step: pairs looked at in one turn of the loop.
      resolver: one of `RESOLVERS`; scatter64 must be traced with 64-bit types enabled.

    Returns:
      [B, H * W] int32, -1 where nothing is covered.
    """
    num_frames, num_faces = tri.boxes.size_x.shape
    tri = jax.tree.map(lambda leaf: leaf.reshape(-1), tri)

    def update(state: Any, pairs: Pairs) -> Any:
        x, y, z = (
            Corners(*(rows(corner, pairs.box) for corner in axis)) for axis in (tri.x, tri.y, tri.z)
        )
        half = jnp.float32(0.5)
        column, row = pairs.column.astype(jnp.float32), pairs.row.astype(jnp.float32)
        inside, depth = cover(column + half, row + half, x, y, z)
        frame = pairs.box // num_faces
        pixel = frame * frame_pixels + pairs.row * width + pairs.column
        triangle = pairs.box - frame * num_faces
        candidates = Candidates(pixel, depth_key(depth), triangle, inside & pairs.live)
        return resolver.update(state, candidates)

    state = fold(tri.boxes, step, update, resolver.empty(num_frames * frame_pixels))
    return _identity(resolver.winners(state)).reshape(num_frames, frame_pixels)


def brute(tri: Triangles, height: int, width: int) -> jax.Array:
    """Returns what `search` returns for one frame, [H * W], by trying every triangle everywhere."""
    half = jnp.float32(0.5)
    pixel_y, pixel_x = jnp.meshgrid(
        jnp.arange(height, dtype=jnp.float32) + half,
        jnp.arange(width, dtype=jnp.float32) + half,
        indexing="ij",
    )

    def body(index: jax.Array, state: tuple) -> tuple:
        key, winner = state
        one = jax.tree.map(lambda leaf: leaf[index], tri)
        inside, depth = cover(pixel_x, pixel_y, one.x, one.y, one.z)
        candidate = depth_key(depth)
        nearer = inside & (one.boxes.size_x > 0) & (one.boxes.size_y > 0) & (candidate < key)
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
