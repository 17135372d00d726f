"""Nets that never train, with weights from files of the user's. Never random ones."""

import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np

from facejax import torch_weights
from facejax.errors import InputError
from facejax.nets import parsing, vgg
from facejax.system import PyTree


class FrozenNet(NamedTuple):
    """A net whose weights lie in a file: `apply(weights, image)`, with weights from `load()`."""

    apply: Callable
    load: Callable[[], PyTree]


def vgg19(path: str, dtype) -> FrozenNet:
    """Returns torchvision's vgg19: image [B, H, W, 3] in [-1, 1] -> features of five layers."""
    net = vgg.Vgg19(dtype)

    def features(weights: PyTree, image: jax.Array):
        return net.apply({"params": weights}, image)

    return FrozenNet(features, lambda: _load(path, vgg.from_torch, "torchvision's vgg19"))


def warn_without_vgg() -> None:
    """Says that the perceptual loss is off, and how it is turned on."""
    logging.warning(
        "no VGG weights: the perceptual loss is off. To turn it on, give the file of "
        "torchvision's vgg19: --config.model.vgg=vgg19-dcbb9e9d.pth"
    )


def face_parsing(path: str) -> FrozenNet:
    """Returns the face-parsing net: image [B, H, W, 3] in [-1, 1] -> person [B, H, W, 1]."""
    title = "the face-parsing BiSeNet"
    return FrozenNet(parsing.person, lambda: _load(path, parsing.from_torch, title))


def _load(path: str, convert: Callable[[Mapping[str, np.ndarray]], PyTree], title: str) -> PyTree:
    state = torch_weights.read(path)
    try:
        return convert(state)
    except ValueError as error:
        raise InputError(f"{path} is not {title}: it {error}") from error
