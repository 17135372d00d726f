"""What the corners of each pixel's triangle carry: the gathers of `rasterize`, and their gradient.

The gradient of a gather adds up, at each vertex, what flows back from the pixels around it. On
accelerators additions to one place happen in any order, so that float sums differ from run to run
in their last bits; `deterministic` sorts the pixels by triangle instead and adds in an order that
the image alone decides.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from facejax.geometry.mesh import MeshTopology
from facejax.geometry.pairs import rows

SPARE_ROWS = 256  # zeros for empty pixels to read, in turn
LANES = 4  # rows of whole vectors are scattered several times as fast as rows of 3


def corner_rows(
    table: jax.Array, topology: MeshTopology, triangle_id: jax.Array, deterministic: bool = False
) -> list[jax.Array]:
    """Returns the rows of each corner of the pixels' triangles, three [P, C'].

    C' is C rounded up to whole vectors; columns from C on are zero. Rows of empty pixels are zero,
    so that no NaN of the mesh can reach them.

    Args:
      table: [V, C], of one frame.
      topology: the mesh.
      triangle_id: [P] of all its pixels, -1 where empty.
      deterministic: of the gradient, which is then for reverse mode only. Costs a sort of the
        pixels, and log2(P) passes over them; the gradient is the same but for rounding.
    """
    table = jnp.pad(table, ((0, 0), (0, -table.shape[1] % LANES)))
    if topology.faces.shape[1] == 0:
        return [jnp.zeros((triangle_id.size, table.shape[1]), table.dtype)] * 3
    gather = _in_fixed_order if deterministic else _gather
    return gather(table, jax.tree.map(jnp.asarray, topology), triangle_id)


def no_gradient(integers: Any) -> Any:
    """Returns what a written-out gradient has to say of a pytree of integers: nothing."""
    return jax.tree.map(lambda leaf: np.zeros(jnp.shape(leaf), jax.dtypes.float0), integers)


def _gather(table: jax.Array, topology: MeshTopology, triangle_id: jax.Array) -> list[jax.Array]:
    # Empty pixels read zeros past the end, each its own: no gradients pile up in one place.
    size = triangle_id.size
    nothing = len(table) + jnp.arange(size, dtype=jnp.int32) % SPARE_ROWS
    table = jnp.pad(table, ((0, SPARE_ROWS), (0, 0)))
    seen, triangle = triangle_id >= 0, jnp.maximum(triangle_id, 0)
    vertices = [jnp.where(seen, rows(corner, triangle), nothing) for corner in topology.faces]
    return list(rows(table, jnp.stack(vertices)))


@jax.custom_vjp
def _in_fixed_order(
    table: jax.Array, topology: MeshTopology, triangle_id: jax.Array
) -> list[jax.Array]:
    return _gather(table, topology, triangle_id)


def _forward(table: jax.Array, topology: MeshTopology, triangle_id: jax.Array) -> tuple:
    return _gather(table, topology, triangle_id), (table, topology, triangle_id)


def _backward(kept: tuple, gradients: list[jax.Array]) -> tuple:
    _, topology, triangle_id = kept
    total = _to_vertices(triangle_id, jnp.stack(gradients, axis=1), topology)
    return total, *no_gradient((topology, triangle_id))


_in_fixed_order.defvjp(_forward, _backward)


def _to_vertices(triangle_id: jax.Array, gradient: jax.Array, topology: MeshTopology) -> jax.Array:
    """[P] triangles, [P, 3, C] at their corners -> [V, C], the same bits every time."""
    num_faces = topology.faces.shape[1]
    order = jnp.argsort(triangle_id, stable=True)
    owner, value = rows(triangle_id, order), rows(gradient, order)
    begins = jnp.concatenate([jnp.ones(1, bool), owner[1:] != owner[:-1]])

    def add(left: tuple, right: tuple) -> tuple:
        begun = right[1][:, None, None]
        return jnp.where(begun, right[0], left[0] + right[0]), left[1] | right[1]

    sums, _ = lax.associative_scan(add, (value, begins))
    wanted = jnp.arange(num_faces, dtype=owner.dtype)
    last = jnp.searchsorted(owner, wanted, side="right").astype(jnp.int32) - 1
    there = (last >= 0) & (rows(owner, jnp.maximum(last, 0)) == wanted)
    of_face = jnp.where(there[:, None, None], rows(sums, jnp.maximum(last, 0)), 0.0)
    of_corner = jnp.swapaxes(of_face, 0, 1).reshape(3 * num_faces, -1)
    table = topology.corner_table
    around = jnp.where((table >= 0)[..., None], rows(of_corner, jnp.maximum(table, 0)), 0.0)
    return jnp.sum(around, axis=1)
