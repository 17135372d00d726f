"""Unprojection: an image of a face -> its position map, so its 3-D mesh.

PRNet (Feng et al. 2018, arXiv:1803.07835) as Rhythmic Head Motion trains it (Chen et al. 2020,
arXiv:2007.08547, A.3): mean squared error of position maps, weighted as PRNet does. Departs in the
layout of the map, which is that of the data's own mesh (`geometry.position_map`), and in the depth,
which is 0 at the model's origin and grows away from the viewer.

A batch holds, in float32: image [B, S, S, 3] in [-1, 1]; motion, a dictionary of identity [B, I],
expression [B, E] and pose [B, 6], of which the map is made inside the compiled step. S is a
multiple of 32. `frozen` holds what the caller adds: "morphable", a MorphableModel, and "layout",
the fields of its `MapLayout` for S.

`stats` holds batch norm's running statistics, which follow the weights in training: see
`systems.facial` on averaged weights.
"""

import functools
from typing import Any

import flax
import jax
import jax.numpy as jnp

from facejax import checkpoint_weights, losses
from facejax.errors import InputError
from facejax.geometry.position_map import landmarks_of, position_map, vertices_of
from facejax.nets import unprojection
from facejax.system import PyTree, System
from facejax.systems.unprojection_config import PRESETS, Config, paper
from facejax.systems.unprojection_inputs import (
    augmented,
    layout_of,
    posed_vertices,
    scaled,
    unscaled,
)

__all__ = ["PRESETS", "Config", "make", "paper"]

STATS = "batch_stats"
STEP = 2**unprojection.HALVINGS


def make(config: Config) -> System:
    """Returns the system; reads the weights that the config begins with.

    Its data freezes "morphable" and "layout".

    Raises:
      InputError: the file of weights is missing, or is not what it should be.
    """
    dtype = jnp.bfloat16 if config.bfloat16 else jnp.float32
    net = unprojection.Unprojection(config.width, dtype)
    start = _published(config) if config.initial else None
    return System(
        init=functools.partial(_init, net, start),
        discriminator_loss=_discriminator_loss,
        generator_loss=functools.partial(_generator_loss, config, net),
        generate=functools.partial(_generate, net),
        frozen={},
    )


def _published(config: Config) -> tuple[PyTree, PyTree]:
    """Returns the net's parameters and statistics from a file of published weights."""
    try:
        start = unprojection.from_tensorflow(checkpoint_weights.read(config.initial))
        width = start[0]["stem"]["conv"]["kernel"].shape[-1]
        if width != config.width:
            raise ValueError(f"has width {width}; due: model.width = {config.width}")
    except ValueError as error:
        raise InputError(f"{config.initial} is not PRNet's checkpoint: it {error}") from error
    return start


def _init(net: Any, start: tuple | None, key: jax.Array, frozen: PyTree, batch: PyTree):
    """Returns (params, stats), each {"gen": tree, "dis": {}}. Only the batch's shapes matter.

    Raises:
      InputError: the size is no multiple of 32, or the layout is of another.
    """
    size = batch["image"].shape[1]
    due = layout_of(frozen).covered.shape[0]
    if size % STEP:
        raise InputError(f"data.size is {size}; due: a multiple of {STEP} px")
    if size != due:
        raise InputError(f"images are {size} px, the layout of the map {due} px; due: the same")
    if start is not None:
        params, stats = jax.tree.map(jnp.asarray, start)
        return {"gen": params, "dis": {}}, {"gen": stats, "dis": {}}
    variables = _first(net, key, jnp.zeros((1, size, size, 3)))
    return {"gen": variables["params"], "dis": {}}, {"gen": variables[STATS], "dis": {}}


@functools.partial(jax.jit, static_argnums=0)
def _first(net: Any, key: jax.Array, image: jax.Array) -> PyTree:
    # threefry, the usual generator, is a loop to compile for each parameter: a minute on a CPU.
    quick = jax.random.wrap_key_data(jax.random.bits(key, (4,), jnp.uint32), impl="unsafe_rbg")
    return net.init(quick, image, train=False)


def _discriminator_loss(dis, gen, stats, frozen, batch, key):
    """There is none."""
    del dis, gen, frozen, batch, key
    return jnp.zeros(()), (stats, {})


def _generator_loss(config: Config, net: Any, gen, dis, stats, frozen, batch, key):
    """The weighted squared error of the map, and the kernels' squares."""
    del dis
    layout, size = layout_of(frozen), batch["image"].shape[1]
    vertices = posed_vertices(frozen, batch["motion"], size)
    image, vertices = augmented(config, key, batch["image"], vertices)
    target = scaled(position_map(vertices, layout), size)
    variables = {"params": gen, STATS: stats["gen"]}
    made, updated = net.apply(variables, image, train=True, mutable=[STATS])
    covered = layout.covered.astype(jnp.float32)
    weight = layout.weight if config.weighted else covered / jnp.mean(covered)
    terms = {"position": _weighted_square(made, target, weight)}
    weights = {"position": 1.0}
    if config.lambda_l2:
        terms["l2"], weights["l2"] = _half_squares(gen), config.lambda_l2
    return losses.weighted_sum(terms, weights), ({"gen": updated[STATS], "dis": {}}, terms)


def _weighted_square(made: jax.Array, target: jax.Array, weight: jax.Array) -> jax.Array:
    """The mean over pixels of weight [S, S] times the squared distance of maps [B, S, S, 3]."""
    square = jnp.sum((made - target) ** 2, axis=-1)
    return jnp.mean(square * jnp.broadcast_to(weight, square.shape))


def _half_squares(params: PyTree) -> jax.Array:
    flat = flax.traverse_util.flatten_dict(params)
    squares = [jnp.sum(leaf**2) for path, leaf in flat.items() if path[-1] == "kernel"]
    return 0.5 * jnp.sum(jnp.stack(squares))


def _generate(net: Any, gen, stats, frozen, inputs) -> dict[str, jax.Array]:
    """Unprojects images.

    Args:
      net: the system's.
      gen: the net's parameters.
      stats: as in training.
      frozen: with "layout".
      inputs: image [B, S, S, 3] in [-1, 1].

    Returns:
      position [B, S, S, 3], vertices [B, V, 3] and landmarks [B, 70, 3], px of the image.
    """
    layout = layout_of(frozen)
    variables = {"params": gen, STATS: stats["gen"]}
    position = unscaled(net.apply(variables, (inputs["image"] + 1) / 2, train=False))
    return {
        "position": position,
        "vertices": vertices_of(position, layout),
        "landmarks": landmarks_of(position, layout),
    }
