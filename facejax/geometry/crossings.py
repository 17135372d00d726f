"""Which silhouette edges part neighbouring pixels: the search behind `silhouette`.

A link joins the centres of a pixel and its right, or its lower, neighbour. A silhouette edge
crosses one link along x for each row of centres that it spans, and one along y for each column.
The crossing counts when the edge's own surface is what ends there: the pixel behind shows nothing,
or something farther away.
"""

import jax
import jax.numpy as jnp

from facejax.geometry.contest import contest
from facejax.geometry.mesh import MeshTopology
from facejax.geometry.pairs import Boxes, Pairs, rows, span
from facejax.geometry.zbuffer import Candidates, depth_key

# An edge hides what lies behind it by more than this share of the depths involved; nearer lies the
# edge's own surface, or another part of the mesh that continues it.
DEPTH_MARGIN = 1e-3
ROUNDING = 1e-6  # of a depth
AT_CENTRE = 1e-3  # px: so near to a centre, rounding decides on which side of it an edge passes


def sides(vertices: jax.Array, topology: MeshTopology) -> jax.Array:
    """Returns on which side of each edge its surface ends, [E]: 0 where it does not.

    +1 or -1 is the sign of (b - a) x (p - a) for the points p of the surface. Triangles that are
    degenerate or not finite count as absent.

    Args:
      vertices: [V, 3] on the screen.
      topology: the mesh.
    """
    finite = jnp.all(jnp.isfinite(vertices), axis=-1)
    x, y = (jnp.where(finite, vertices[:, axis], jnp.nan) for axis in (0, 1))
    (a, b), opposite = jnp.asarray(topology.edges), jnp.asarray(topology.edge_opposite)
    ax, ay = rows(x, a), rows(y, a)
    dx, dy = rows(x, b) - ax, rows(y, b) - ay

    def side(vertex: jax.Array) -> jax.Array:
        present, vertex = vertex >= 0, jnp.maximum(vertex, 0)
        cross = dx * (rows(y, vertex) - ay) - dy * (rows(x, vertex) - ax)
        return jnp.where(present & ~jnp.isnan(cross), jnp.sign(cross), 0.0)

    return jnp.clip(side(opposite[0]) + side(opposite[1]), -1.0, 1.0)


def crossings(
    vertices: jax.Array, topology: MeshTopology, triangle_id: jax.Array, depth: jax.Array
) -> jax.Array:
    """Returns the edge that parts each pixel from its right neighbour, and from its lower one.

    Of several edges on a link, the one nearest to the pixel behind wins: there the hidden surface
    comes to its end.

    Args:
      vertices: [V, 3] float32, one frame.
      topology: the mesh.
      triangle_id: [H, W] int32, what is seen.
      depth: [H, W] float32 of what is seen.

    Returns:
      [2, H * W] int32, -1 where no edge does.
    """
    height, width = triangle_id.shape
    num_pixels = height * width
    seen, depth = triangle_id.reshape(-1), depth.reshape(-1)
    start, end = jnp.asarray(topology.edges)
    faces = jnp.asarray(topology.faces)
    side = sides(vertices, topology)
    rows_from, num_rows = _lines(vertices, start, end, side, 1, height)
    columns_from, num_columns = _lines(vertices, start, end, side, 0, width)
    # An edge's box is a list: first the rows, then the columns whose links it crosses.
    zero = jnp.zeros_like(num_rows)
    boxes = Boxes(zero, zero, zero + 1, num_rows + num_columns)

    def candidates(pairs: Pairs) -> Candidates:
        # Links lie along x in a row, or along y in a column; then x and y are swapped.
        edge, number = pairs.box, pairs.row - rows(num_rows, pairs.box)
        down = number >= 0
        line = jnp.where(down, rows(columns_from, edge), rows(rows_from, edge))
        line += jnp.where(down, number, pairs.row)
        line_step, step = jnp.where(down, 1, width), jnp.where(down, width, 1)
        links = jnp.where(down, height, width) - 1
        p, q = (_swap(rows(vertices, rows(vertex, edge)), down) for vertex in (start, end))
        t = place_on(p[:, 1], q[:, 1], line.astype(jnp.float32) + jnp.float32(0.5))
        crossing, rise = p + t[:, None] * (q - p), q - p
        # A step back along the link, (-1, 0), has (b - a) x step = rise.
        surface_first = jnp.where(down, -1, 1) * rows(side, edge) * rise[:, 1] > 0
        place = crossing[:, 0] - 0.5
        # At a centre, that pixel is one of the two: which, what it shows must tell.
        centre = jnp.round(place)
        pixel = jnp.clip(centre, 0, links).astype(jnp.int32) * step + line * line_step
        farther = rows(depth, pixel) - crossing[:, 2] > _margin(crossing[:, 2], rise[:, 2])
        hidden = (rows(seen, pixel) < 0) | farther
        at_centre = jnp.abs(place - centre) < AT_CENTRE
        link = jnp.where(at_centre, centre - (surface_first == hidden), jnp.floor(place))
        crossed = (rise[:, 1] != 0) & (link >= 0) & (link < links)
        gone = place - link
        first = line * line_step + jnp.where(crossed, link, 0).astype(jnp.int32) * step
        second = jnp.minimum(first + step, num_pixels - 1)
        ahead = rows(seen, jnp.where(surface_first, first, second))
        behind = rows(seen, jnp.where(surface_first, second, first))
        point = _swap(crossing, down)
        ends = _ends_there(vertices, faces, ahead, behind, point, rise[:, 2])
        key = depth_key(jnp.where(surface_first, 1.0 - gone, gone))
        place = first + jnp.where(down, num_pixels, 0)
        return Candidates(place, key, edge, pairs.live & crossed & ends)

    step = max(1024, num_pixels // 8)
    found = contest(boxes, (height + width, 1), step, 2 * num_pixels, candidates)
    return found.reshape(2, num_pixels)


def _lines(
    vertices: jax.Array, start: jax.Array, end: jax.Array, side: jax.Array, axis: int, size: int
) -> tuple[jax.Array, jax.Array]:
    """Returns the first row (axis 1) or column (axis 0) of centres that edges span; how many."""
    a, b = rows(vertices[:, axis], start), rows(vertices[:, axis], end)
    first, count, finite = span(jnp.minimum(a, b), jnp.maximum(a, b), size)
    return first, jnp.where(finite & (side != 0), count, 0)


def _swap(points: jax.Array, where: jax.Array) -> jax.Array:
    """Returns [N, 3] points, in some of which x and y are exchanged."""
    x, y, z = points[:, 0], points[:, 1], points[:, 2]
    return jnp.stack([jnp.where(where, y, x), jnp.where(where, x, y), z], axis=-1)


def place_on(start: jax.Array, end: jax.Array, line: jax.Array) -> jax.Array:
    """Returns where in [0, 1] on the way from `start` to `end` an edge crosses `line`."""
    return jnp.clip((line - start) / jnp.where(end == start, 1.0, end - start), 0.0, 1.0)


def _margin(depth: jax.Array, extent: jax.Array) -> jax.Array:
    return DEPTH_MARGIN * jnp.abs(extent) + ROUNDING * jnp.abs(depth)


def _ends_there(
    vertices: jax.Array,
    faces: jax.Array,
    ahead: jax.Array,
    behind: jax.Array,
    crossing: jax.Array,
    rise: jax.Array,
) -> jax.Array:
    """Returns whether a surface that ends in an edge hides what is seen behind the edge.

    Args:
      vertices: [V, 3].
      faces: [3, F].
      ahead: [N] triangle seen on the surface's side of the edge, -1 none.
      behind: [N] triangle seen on the other side, -1 none.
      crossing: [N, 3] point of the edge.
      rise: [N] depth of the edge's one end over the other.
    """
    x, y, z = crossing[:, 0], crossing[:, 1], crossing[:, 2]
    a, b, c = (rows(vertices, rows(corner, jnp.maximum(behind, 0))) for corner in faces)
    (ax, ay), (bx, by), (cx, cy) = ((corner[:, 0] - x, corner[:, 1] - y) for corner in (a, b, c))
    weight = jnp.stack([bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx], axis=-1)
    area = jnp.sum(weight, axis=-1)
    depths = jnp.stack([a[:, 2], b[:, 2], c[:, 2]], axis=-1)
    near, far = jnp.min(depths, axis=-1), jnp.max(depths, axis=-1)
    depth = jnp.sum(weight * depths, axis=-1) / jnp.where(area == 0, 1.0, area)
    # The crossing may lie a pixel outside the triangle, whose plane must not run away from it.
    depth = jnp.clip(depth, near, far)
    farther = depth - z > _margin(z, far - near + jnp.abs(rise))
    return (ahead >= 0) & (ahead != behind) & ((behind < 0) | farther)
