"""HeadGAN's published checkpoints, as weights of the `released` preset."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from facejax import torch_weights
from facejax.errors import InputError
from facejax.nets import headgan_torch
from facejax.system import PyTree
from facejax.systems.headgan_config import Config, released
from facejax.systems.headgan_nets import build

AUDIO = 300  # features of the published nets
FRAMES = 3


def load_generator(path: str) -> tuple[PyTree, PyTree]:
    """Returns (params, stats) of the generator from `latest_net_G.pth`.

    Raises:
      InputError: it is not that file: a tensor is missing, left over or of another shape.
    """
    net = build(Config(**released())).generator
    inputs = (
        jnp.zeros((1, 32, 32, 6)),
        jnp.zeros((1, 32, 32, 3 * FRAMES)),
        jnp.zeros((1, AUDIO)),
    )
    return _load(path, headgan_torch.generator, net, inputs)


def load_discriminator(path: str, name: str) -> tuple[PyTree, PyTree]:
    """Returns (params, stats) of a discriminator, "image" (`..._D.pth`) or "mouth" (`..._Dm.pth`).

    Raises:
      InputError: as for `load_generator`.
    """
    net = build(Config(**released())).discriminators[name]
    inputs = {
        "image": (jnp.zeros((1, 32, 32, 6)), None),
        "mouth": (jnp.zeros((1, 32, 32, 3)), jnp.zeros((1, AUDIO))),
    }
    return _load(path, headgan_torch.discriminator, net, inputs[name])


def _load(path: str, convert: Callable, net, inputs: tuple) -> tuple[PyTree, PyTree]:
    state = torch_weights.read(path)
    try:
        params, stats = convert(state)
    except ValueError as error:
        raise InputError(f"{path} is not a published HeadGAN net: it {error}") from error
    init = functools.partial(net.init, train=False)
    due = jax.eval_shape(init, jax.random.key(0), *inputs)
    shapes = [_shapes(tree) for tree in (params, due["params"], stats, due["stats"])]
    for found, expected in (shapes[:2], shapes[2:]):
        for name in sorted(found.keys() | expected.keys()):
            if found.get(name) != expected.get(name):
                raise InputError(
                    f"{path} is not a published HeadGAN net: {name} has shape {found.get(name)}; "
                    f"due: {expected.get(name)}"
                )
    return params, stats


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): x.shape for path, x in leaves}
