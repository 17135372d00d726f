"""Rasterisation of triangle meshes: which triangle, where in it, and what it carries.

Frame: image pixels, x right, y down, z away from the viewer (smaller is nearer); the centre of
pixel (row i, column j) is (j + 0.5, i + 0.5). `rasterize` chooses triangles and has no gradient;
`fragments` recomputes from its choice, differentiably, what lies under each pixel centre.

Cameras are affine, or pinholes (`perspective=True`, after `perspective.project_perspective`):
then z is the depth along the optical axis, > 0, and surfaces are flat in space, not in (x, y, z).
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from facejax import checks
from facejax.geometry import corners, pairs, zbuffer
from facejax.geometry.channels import spread
from facejax.geometry.frames import over_frames, remembering_inputs
from facejax.geometry.mesh import MeshTopology, mesh_topology

__all__ = ["Fragments", "MeshTopology", "fragments", "interpolate", "mesh_topology", "rasterize"]

CULLS = ("none", "back", "front")
BACKENDS = ("auto", "scatter64", "scatter32", "sort", "brute")


class Fragments(NamedTuple):
    """The surface point seen at each pixel centre; zeros where the pixel is empty."""

    triangle_id: jax.Array  # [..., H, W] int32, -1 = empty
    barycentric: jax.Array  # [..., H, W, 3] weights of the corners, in [0, 1], of sum 1
    depth: jax.Array  # [..., H, W]
    mask: jax.Array  # [..., H, W] bool, False = empty


@functools.partial(
    jax.jit,
    static_argnames=("height", "width", "cull", "perspective", "backend", "pairs_per_step"),
)
def rasterize(
    screen: jax.Array,
    topology: MeshTopology,
    height: int,
    width: int,
    *,
    cull: str = "none",
    perspective: bool = False,
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
      perspective: the depths are those of a pinhole camera. Triangles with a depth of 0 or less
        are not drawn.
      backend: how triangles compete for a pixel; all give the same bits. "scatter64" (one 64-bit
        scatter), "scatter32" (two 32-bit ones), "sort" (no scatter), "brute" (every triangle at
        every pixel), "auto" (sort on TPU, else scatter64).
      pairs_per_step: (triangle, pixel) candidates looked at in one turn of the loop; by default
        0.6 to 1.5 a pixel, of one frame on CPU and of the whole batch elsewhere. Changes time and
        memory only.

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
    if perspective:  # 1 / z is linear on the screen
        z = vertices[..., 2:]
        inverse = jnp.where(z > 0, -1.0 / jnp.where(z > 0, z, 1.0), jnp.nan)
        vertices = jnp.concatenate([vertices[..., :2], inverse], axis=-1)
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
        return lax.map(lambda frame: zbuffer.brute(frame, size), tri)

    if backend == "brute":
        return brute()
    resolver = zbuffer.RESOLVERS[backend]
    search = functools.partial(zbuffer.search, tri, size, pairs_per_step, resolver)
    boxes = tri.boxes
    if boxes.size_x.size * height * width <= pairs.MAX_PAIRS:
        return search()
    count = jnp.sum(boxes.size_x.astype(jnp.float32) * boxes.size_y.astype(jnp.float32))
    return lax.cond(count <= pairs.MAX_PAIRS, search, brute)


@functools.partial(jax.jit, static_argnames=("perspective", "deterministic"))
def fragments(
    screen: jax.Array,
    topology: MeshTopology,
    triangle_id: jax.Array,
    *,
    perspective: bool = False,
    deterministic: bool = False,
) -> Fragments:
    """Returns the surface point that each pixel centre sees, differentiable in the vertices.

    The choice of triangles is held fixed. Weights that rounding pushed out of [0, 1] are put back
    there; their gradient is that of the exact formula. Degenerate triangles give weight zero and
    gradient zero.

    Args:
      screen: [..., V, 3] vertices in pixels.
      topology: the mesh.
      triangle_id: [..., H, W] from `rasterize`.
      perspective: the depths are those of a pinhole camera: the weights are those of the point in
        space, not on the screen, and so is the depth.
      deterministic: the gradient is summed in one fixed order on every device, by sorting instead
        of atomic additions; see `corners.corner_rows`.
    """
    checks.shapes(screen=(screen, "... V 3"), corner_table=(topology.corner_table, "V D"))
    checks.shapes(triangle_id=(triangle_id, "... H W"))
    if screen.shape[:-2] != triangle_id.shape[:-2]:
        raise ValueError(
            f"screen has batch axes {screen.shape[:-2]}, triangle_id has {triangle_id.shape[:-2]}"
        )

    def look(frame: tuple) -> tuple:
        screen, triangle_id = frame
        ids = triangle_id.reshape(-1)
        places = corners.corner_rows(screen, topology, ids, deterministic)
        y, x = jnp.meshgrid(
            *(jnp.arange(n, dtype=screen.dtype) + 0.5 for n in triangle_id.shape), indexing="ij"
        )
        (ax, ay), (bx, by), (cx, cy) = (
            (corner[:, 0] - x.reshape(-1), corner[:, 1] - y.reshape(-1)) for corner in places
        )
        areas = (bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx)
        weights, z = _weights(areas, ids >= 0), [corner[:, 2] for corner in places]
        if perspective:
            weights, depth = _in_space(weights, z)
        else:
            depth = weights[0] * z[0] + weights[1] * z[1] + weights[2] * z[2]
        barycentric = jnp.stack(weights, axis=-1).reshape(*triangle_id.shape, 3)
        return barycentric, depth.reshape(triangle_id.shape)

    barycentric, depth = over_frames(
        remembering_inputs(look), screen.shape[:-2], (screen, triangle_id)
    )
    return Fragments(triangle_id, barycentric, depth, triangle_id >= 0)


def _in_space(weights: list[jax.Array], z: list[jax.Array]) -> tuple[list[jax.Array], jax.Array]:
    """Returns the weights of points in space, of weights on the screen, and the points' depths."""
    parts = [
        weight / jnp.where(depth > 0, depth, 1.0) for weight, depth in zip(weights, z, strict=True)
    ]
    total = parts[0] + parts[1] + parts[2]  # 1 / depth, or 0 where there is nothing
    depth = jnp.where(total > 0, 1.0 / jnp.where(total > 0, total, 1.0), 0.0)
    return [part * depth for part in parts], depth


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


@functools.partial(jax.jit, static_argnames=("deterministic",))
def interpolate(
    attributes: jax.Array,
    topology: MeshTopology,
    fragments: Fragments,
    background: float | jax.Array = 0.0,
    *,
    deterministic: bool = False,
) -> jax.Array:
    """Returns vertex attributes, interpolated linearly over the triangles, at each pixel.

    Args:
      attributes: [..., V, C], or [V, C] for every frame alike.
      topology: the mesh; one with other faces in the same order (texture seams) is welcome.
      fragments: from `fragments`.
      background: value of empty pixels, a scalar or [C].
      deterministic: the gradient to the attributes is summed in one fixed order on every device.

    Returns:
      [..., H, W, C], differentiable in the attributes and in the fragments' weights.
    """
    checks.shapes(attributes=(attributes, "... V C"), corner_table=(topology.corner_table, "V D"))
    batch = fragments.triangle_id.shape[:-2]
    shared = attributes.ndim == 2
    if not shared and attributes.shape[:-2] != batch:
        raise ValueError(f"attributes have batch axes {attributes.shape[:-2]}, fragments {batch}")

    def paint(frame: tuple) -> jax.Array:
        own, triangle_id, barycentric = frame
        table, ids = attributes if shared else own, triangle_id.reshape(-1)
        found = corners.corner_rows(table, topology, ids, deterministic)
        weights = barycentric.reshape(-1, 3)
        a, b, c = (spread(weights[:, i : i + 1], row.shape[1]) * row for i, row in enumerate(found))
        return (a + b + c)[:, : table.shape[1]].reshape(*triangle_id.shape, -1)

    own = None if shared else attributes
    image = over_frames(
        remembering_inputs(paint), batch, (own, fragments.triangle_id, fragments.barycentric)
    )
    return jnp.where(fragments.mask[..., None], image, jnp.broadcast_to(background, image.shape))
