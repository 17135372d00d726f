"""Exact optical flow between two moments of a synthetic person."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from facejax.data.synthetic.render import Moment, Person, Stage, scene_vertices
from facejax.geometry import rasterize
from facejax.geometry.camera import camera_from_pose

# A point is hidden when something is this much nearer at the pixel it falls on; mm.
_HIDDEN = 6.0


class Flow(NamedTuple):
    """Where the surface point at each pixel centre of the target lies in the source."""

    displacement: jax.Array  # [S, S, 2] px (x, y): position in the source minus in the target
    visible: jax.Array  # [S, S] bool: seen in the source too


@functools.partial(jax.jit, static_argnames="size")
def flow(stage: Stage, person: Person, target: Moment, source: Moment, size: int) -> Flow:
    """Returns the flow that warps the source frame onto the target frame.

    The background stands still.

    Args:
      stage: from `render.stage()`.
      person: without batch axes.
      target: the moment of the frame on whose pixels the flow is given.
      source: the moment of the frame to sample from.
      size: S.
    """
    screens = [scene_vertices(stage, person, moment, size) for moment in (target, source)]
    seen = [_seen(stage, screen, size) for screen in screens]
    landing = rasterize.interpolate(screens[1], stage.topology, seen[0])
    here = _centres(size)
    person_here, person_there = seen[0].mask, seen[1].mask
    there = jnp.where(person_here[..., None], landing[..., :2], here)
    column, row = (jnp.floor(there[..., k]).astype(jnp.int32) for k in (0, 1))
    within = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    index = (jnp.clip(row, 0, size - 1), jnp.clip(column, 0, size - 1))
    scale = camera_from_pose(source.pose, size, size).scale
    nearer = seen[1].depth[index] < landing[..., 2] - _HIDDEN * scale
    covered = jnp.where(person_here, nearer | ~person_there[index], person_there[index])
    return Flow(there - here, within & ~covered)


def _seen(stage: Stage, screen: jax.Array, size: int) -> rasterize.Fragments:
    triangle = rasterize.rasterize(screen, stage.topology, size, size)
    return rasterize.fragments(screen, stage.topology, triangle)


def _centres(size: int) -> jax.Array:
    along = jnp.arange(size) + 0.5
    return jnp.stack(jnp.meshgrid(along, along), axis=-1)
