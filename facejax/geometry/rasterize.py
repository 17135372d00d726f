"""Rasterisation of triangle meshes: which triangle, where in it, and what it carries.

Frame: image pixels, x right, y down, z away from the viewer (smaller is nearer); the centre of
pixel (row i, column j) is (j + 0.5, i + 0.5). `rasterize` chooses triangles and has no gradient;
`fragments` recomputes from its choice, differentiably, what lies under each pixel centre.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from facejax import checks
from facejax.geometry import pairs, zbuffer
from facejax.geometry.mesh import MeshTopology, mesh_topology

__all__ = ["Fragments", "MeshTopology", "fragments", "interpolate", "mesh_topology", "rasterize"]

CULLS = ("none", "back", "front")
BACKENDS = ("auto", "scatter64", "scatter32", "sort", "brute")
MIN_PAIRS_PER_STEP = 1024


class Fragments(NamedTuple):
    """The surface point seen at each pixel centre; zeros where the pixel is empty."""

    triangle_id: jax.Array  # [..., H, W] int32, -1 = empty
    barycentric: jax.Array  # [..., H, W, 3] weights of the corners, in [0, 1], of sum 1
    depth: jax.Array  # [..., H, W]
    mask: jax.Array  # [..., H, W] bool, False = empty


@functools.partial(
    jax.jit, static_argnames=("height", "width", "cull", "backend", "pairs_per_step")
)
def rasterize(
    screen: jax.Array,
    topology: MeshTopology,
    height: int,
    width: int,
    *,
    cull: str = "none",
    backend: str = "auto",
    pairs_per_step: int | None = None,
) -> jax.Array:
    """Returns the triangle nearest to the viewer at each pixel centre.

    Exact for triangles of any size and number. Centres on an edge belong to the triangle, so that
    meshes are watertight; the lowest number wins among equal depths. Triangles that are degenerate
    or have a vertex that is not finite are not drawn. No gradient passes: see `fragments`.

    Args:
      screen: [..., V, 3] vertices in pixels, z smaller is nearer. Rounded to float32.
      topology: the mesh.
      height: H.
      width: W.
      cull: triangles to leave out: "none", "back" (clockwise for the viewer) or "front".
      backend: how triangles compete for a pixel; all give the same bits. "scatter64" (one 64-bit
        scatter), "scatter32" (two 32-bit ones), "sort" (no scatter), "brute" (every triangle at
        every pixel), "auto" (sort on TPU, else scatter64).
      pairs_per_step: (triangle, pixel) candidates looked at in one turn of the loop; by default
        1.5 a pixel, of one frame on CPU and of the whole batch elsewhere. Changes time and memory
        only.

    Returns:
      [..., H, W] int32, -1 where the pixel is empty.

    Raises:
      ValueError: wrong shapes, an empty image, or an unknown `cull` or `backend`.
    """
    checks.shapes(
        screen=(screen, "... V 3"),
        faces=(topology.faces, "3 F"),
        corner_table=(topology.corner_table, "V D"),
    )
    if height < 1 or width < 1:
        raise ValueError(f"height, width = {height}, {width}; due: 1 or more")
    if cull not in CULLS or backend not in BACKENDS:
        raise ValueError(f"cull={cull!r}, backend={backend!r}; due: one of {CULLS}, {BACKENDS}")
    batch = screen.shape[:-2]
    vertices = lax.stop_gradient(screen).astype(jnp.float32).reshape(-1, *screen.shape[-2:])
    if topology.faces.shape[1] == 0 or vertices.shape[0] == 0:
        return jnp.full((*batch, height, width), -1, jnp.int32)
    search = _searcher(height, width, cull, backend, pairs_per_step)
    ids = search(vertices, jnp.asarray(topology.faces))
    return ids.reshape(*batch, height, width)


def _searcher(height: int, width: int, cull: str, backend: str, pairs_per_step: int | None) -> Any:
    """Returns a function ([B, V, 3] vertices, [3, F] faces) -> [B, H * W] triangle numbers.

    Mapped axes join the batch instead of mapping the loop, whose turns would then be those of the
    slowest frame.
    """
    platform = jax.default_backend()
    if backend == "auto":
        backend = "sort" if platform == "tpu" else "scatter64"

    @jax.custom_batching.custom_vmap
    def search(vertices: jax.Array, faces: jax.Array) -> jax.Array:
        def flat(vertices: jax.Array) -> jax.Array:
            return _search(vertices, faces, (height, width), cull, backend, pairs_per_step)

        with jax.enable_x64(backend == "scatter64"):
            if platform == "cpu":  # a frame at a time stays in cache
                return lax.map(lambda one: flat(one[None])[0], vertices)
            return flat(vertices)

    @search.def_vmap
    def _(axis_size: int, mapped: list, vertices: jax.Array, faces: jax.Array) -> tuple:
        if mapped[1]:
            if not mapped[0]:
                vertices = jnp.broadcast_to(vertices, (axis_size, *vertices.shape))
            return lax.map(lambda one: search(*one), (vertices, faces)), True
        ids = search(vertices.reshape(-1, *vertices.shape[2:]), faces)
        return ids.reshape(axis_size, -1, ids.shape[-1]), True

    return search


def _search(
    vertices: jax.Array,
    faces: jax.Array,
    size: tuple[int, int],
    cull: str,
    backend: str,
    pairs_per_step: int | None,
) -> jax.Array:
    """[B, V, 3] vertices -> [B, H * W] triangle numbers, in one list of pairs."""
    height, width = size
    tri = jax.vmap(lambda frame: zbuffer.triangles(frame, faces, height, width, cull))(vertices)

    def brute() -> jax.Array:
        return lax.map(lambda frame: zbuffer.brute(frame, height, width), tri)

    if backend == "brute":
        return brute()
    step = pairs_per_step or max(MIN_PAIRS_PER_STEP, 3 * len(vertices) * height * width // 2)
    resolver = zbuffer.RESOLVERS[backend]
    search = functools.partial(zbuffer.search, tri, height * width, width, step, resolver)
    boxes = tri.boxes
    if boxes.size_x.size * height * width <= pairs.MAX_PAIRS:
        return search()
    count = jnp.sum(boxes.size_x.astype(jnp.float32) * boxes.size_y.astype(jnp.float32))
    return lax.cond(count <= pairs.MAX_PAIRS, search, brute)


@jax.jit
def fragments(screen: jax.Array, topology: MeshTopology, triangle_id: jax.Array) -> Fragments:
    """Returns the surface point that each pixel centre sees, differentiable in the vertices.

    The choice of triangles is held fixed. Weights that rounding pushed out of [0, 1] are put back
    there; their gradient is that of the exact formula. Degenerate triangles give weight zero and
    gradient zero.

    Args:
      screen: [..., V, 3] vertices in pixels.
      topology: the mesh.
      triangle_id: [..., H, W] from `rasterize`.
    """
    checks.shapes(screen=(screen, "... V 3"), corner_table=(topology.corner_table, "V D"))
    checks.shapes(triangle_id=(triangle_id, "... H W"))
    height, width = triangle_id.shape[-2:]
    corners = _corner_rows(screen, topology, triangle_id)
    ones = (1,) * (triangle_id.ndim - 2)
    centre_x = (jnp.arange(width, dtype=screen.dtype) + 0.5).reshape(*ones, 1, width)
    centre_y = (jnp.arange(height, dtype=screen.dtype) + 0.5).reshape(*ones, height, 1)
    (ax, ay), (bx, by), (cx, cy) = (
        (corner[..., 0] - centre_x, corner[..., 1] - centre_y) for corner in corners
    )
    areas = (bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx)
    weights = _weights(areas, triangle_id >= 0)
    z = [corner[..., 2] for corner in corners]
    depth = weights[0] * z[0] + weights[1] * z[1] + weights[2] * z[2]
    return Fragments(triangle_id, jnp.stack(weights, axis=-1), depth, triangle_id >= 0)


def _weights(areas: tuple[jax.Array, ...], mask: jax.Array) -> list[jax.Array]:
    """Signed double areas opposite each corner -> barycentric weights."""
    total = areas[0] + areas[1] + areas[2]
    solid = mask & (jnp.abs(total) > zbuffer.MIN_DOUBLE_AREA)
    # Twice where: neither the value nor the gradient divides by zero.
    inverse = jnp.where(solid, 1.0 / jnp.where(solid, total, 1.0), 0.0)
    exact = [area * inverse for area in areas]
    bounded = [jnp.clip(weight, 0.0, 1.0) for weight in exact]
    rescale = 1.0 / jnp.where(solid, bounded[0] + bounded[1] + bounded[2], 1.0)
    return [
        weight + lax.stop_gradient(bound * rescale - weight)
        for weight, bound in zip(exact, bounded, strict=True)
    ]


@jax.jit
def interpolate(
    attributes: jax.Array,
    topology: MeshTopology,
    fragments: Fragments,
    background: float | jax.Array = 0.0,
) -> jax.Array:
    """Returns vertex attributes, interpolated linearly over the triangles, at each pixel.

    Args:
      attributes: [..., V, C], or [V, C] for every frame alike.
      topology: the mesh; one with other faces in the same order (texture seams) is welcome.
      fragments: from `fragments`.
      background: value of empty pixels, a scalar or [C].

    Returns:
      [..., H, W, C], differentiable in the attributes and in the fragments' weights.
    """
    checks.shapes(attributes=(attributes, "... V C"), corner_table=(topology.corner_table, "V D"))
    rows = _corner_rows(attributes, topology, fragments.triangle_id)
    a, b, c = (fragments.barycentric[..., i : i + 1] * row for i, row in enumerate(rows))
    return jnp.where(fragments.mask[..., None], a + b + c, jnp.broadcast_to(background, a.shape))


def _corner_rows(
    table: jax.Array, topology: MeshTopology, triangle_id: jax.Array
) -> list[jax.Array]:
    """[..., V, C] table, [..., H, W] -> rows [..., H, W, C] of each corner of the pixel's triangle.

    Three gathers of whole rows from one flat table: a [..., H, W, 3, C] gather is many times
    slower. Rows of empty pixels are zero, so that no NaN of the mesh can reach them.
    """
    batch = triangle_id.shape[:-2]
    num_vertices, channels = table.shape[-2:]
    if table.ndim > 2 and table.shape[:-2] != batch:
        raise ValueError(f"vertices have batch axes {table.shape[:-2]}, triangle_id has {batch}")
    if topology.faces.shape[1] == 0:
        return [jnp.zeros((*triangle_id.shape, channels), table.dtype)] * 3
    frame = jnp.arange(math.prod(batch) if table.ndim > 2 else 1, dtype=jnp.int32) * num_vertices
    frame = frame.reshape(*(batch if table.ndim > 2 else (1,) * len(batch)), 1, 1)
    faces = jnp.asarray(topology.faces)
    flat = table.reshape(-1, channels)
    triangle = jnp.maximum(triangle_id, 0)
    vertex = [pairs.rows(corner, triangle) + frame for corner in faces]
    seen = (triangle_id >= 0)[..., None]
    return [jnp.where(seen, pairs.rows(flat, index), 0.0) for index in vertex]
