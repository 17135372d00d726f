"""The unprojection net: an image of a face -> its position map.

PRNet's encoder and decoder (Feng et al. 2018, arXiv:1803.07835; "resfcn256"), which Rhythmic Head
Motion takes over (Chen et al. 2020, arXiv:2007.08547, A.3). No layer has a bias; batch norm and
ReLU follow every one but those named. Images are [B, H, W, C]; kernels are 4 x 4 unless said.
Weights of the published TensorFlow checkpoint fit: `from_tensorflow`.
"""

import functools
import re
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from facejax.nets import norms

KERNEL = 4
EPS = 1e-3  # of batch norm
ENCODER = (2, 4, 8, 16, 32)  # widths at each halving, over that of the first layer
# Widths of the transposed convolutions at each size, from the smallest; the first of each group but
# the first doubles the size. Three of the map's channels follow.
DECODER = ((32,), (16, 16, 16), (8, 8, 8), (4, 4, 4), (2, 2), (1, 1))
CHANNELS = 3
LAST = 3  # layers of the map's channels
HALVINGS = len(ENCODER)
SCOPE = "resfcn256"  # of the published variables
CHECKPOINT_BATCH_NORM = ("gamma", "beta", "moving_mean", "moving_variance")


class Layer(nn.Module):
    """A convolution without bias, or a transposed one, batch norm and ReLU.

    Attributes:
      features: channels out.
      kernel: its side.
      stride: 1 or 2.
      transposed: whether the size grows by the stride rather than shrinks.
      activation: of each element.
      dtype: of the computation.
    """

    features: int
    kernel: int = KERNEL
    stride: int = 1
    transposed: bool = False
    activation: Any = nn.relu
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, H', W', features]."""
        kind: Any = nn.ConvTranspose if self.transposed else nn.Conv
        kernel, stride = (self.kernel,) * 2, (self.stride,) * 2
        # "SAME" pads as TensorFlow does: the odd pixel after.
        conv = kind(
            self.features, kernel, stride, "SAME", use_bias=False, dtype=self.dtype, name="conv"
        )
        return self.activation(norms.BatchNorm(eps=EPS, name="norm")(conv(x), train=train))


class Residual(nn.Module):
    """A bottleneck beside a shortcut, then batch norm and ReLU of their sum.

    The shortcut is a bare 1 x 1 convolution where size or width change.

    Attributes:
      features: channels out; half as many inside.
      stride: 1 or 2.
      dtype: of the computation.
    """

    features: int
    stride: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, H / stride, W / stride, features]."""
        half = self.features // 2
        bare = functools.partial(nn.Conv, self.features, (1, 1), use_bias=False, dtype=self.dtype)
        shortcut = x
        if self.stride != 1 or x.shape[-1] != self.features:
            shortcut = bare(strides=self.stride, name="shortcut")(x)
        y = Layer(half, 1, dtype=self.dtype, name="narrow")(x, train=train)
        y = Layer(half, KERNEL, self.stride, dtype=self.dtype, name="middle")(y, train=train)
        y = bare(name="widen")(y)
        return nn.relu(norms.BatchNorm(eps=EPS, name="norm")(y + shortcut, train=train))


class Unprojection(nn.Module):
    """Image [B, H, W, 3] in [0, 1] -> position map [B, H, W, 3] in (0, 1).

    Attributes:
      width: channels of the first layer; 16 as published.
      dtype: of the computation.
    """

    width: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool) -> jax.Array:
        """H and W multiples of 32."""
        x = Layer(self.width, dtype=self.dtype, name="stem")(image, train=train)
        for level, gain in enumerate(ENCODER):
            for number, stride in enumerate((2, 1)):
                block = Residual(
                    gain * self.width, stride, self.dtype, name=f"down_{level}_{number}"
                )
                x = block(x, train=train)
        for features, stride, activation, name in _decoder(self.width):
            layer = Layer(features, KERNEL, stride, True, activation, self.dtype, name=name)
            x = layer(x, train=train)
        return x.astype(jnp.float32)


def _decoder(width: int) -> list[tuple[int, int, Any, str]]:
    """(channels, stride, activation, name) of the transposed convolutions, in order."""
    layers: list[tuple[int, int, Any, str]] = []
    for level, group in enumerate(DECODER):
        for number, gain in enumerate(group):
            stride = 2 if level and not number else 1
            layers.append((gain * width, stride, nn.relu, f"up_{level}_{number}"))
    for number in range(LAST):
        activation = nn.sigmoid if number == LAST - 1 else nn.relu
        layers.append((CHANNELS, 1, activation, f"map_{number}"))
    return layers


def from_tensorflow(variables: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns (params, batch_stats) of `Unprojection` from the published checkpoint's variables.

    Variables of optimisers (Adam's moments, beta powers, the global step) are left aside.

    Raises:
      ValueError: a variable is missing or left over; the message names it.
    """
    reader = _Reader(variables)
    reader.layer("Conv", "stem")
    number = 0
    for level in range(HALVINGS):
        for second in range(2):
            reader.residual(_numbered("resBlock", number), f"down_{level}_{second}")
            number += 1
    for number, (_, _, _, name) in enumerate(_decoder(1)):
        reader.layer(_numbered("Conv2d_transpose", number), name, transposed=True)
    return reader.result()


def _numbered(name: str, number: int) -> str:
    """A name as TensorFlow makes it unique."""
    return f"{name}_{number}" if number else name


_OPTIMISER = re.compile(r"(.*/)?(Adam(_\d+)?|Momentum|RMSProp(_\d+)?|beta\d_power|global_step)$")


class _Reader:
    """Takes variables one layer after another, and notes which are left."""

    def __init__(self, variables: Mapping[str, np.ndarray]):
        names = [name for name in variables if not _OPTIMISER.match(name)]
        self.left = {name.removeprefix(f"{SCOPE}/"): variables[name] for name in names}
        self.params: dict[str, Any] = {}
        self.stats: dict[str, Any] = {}

    def layer(self, theirs: str, *ours: str, transposed: bool = False) -> None:
        """Takes a layer with its batch norm."""
        self.kernel(theirs, *ours, "conv", transposed=transposed)
        self.norm(f"{theirs}/BatchNorm", *ours, "norm")

    def residual(self, theirs: str, ours: str) -> None:
        """Takes a residual block; its shortcut where it has one."""
        if f"{theirs}/shortcut/weights" in self.left:
            self.kernel(f"{theirs}/shortcut", ours, "shortcut")
        self.layer(f"{theirs}/Conv", ours, "narrow")
        self.layer(f"{theirs}/Conv_1", ours, "middle")
        self.kernel(f"{theirs}/Conv_2", ours, "widen")
        self.norm(f"{theirs}/BatchNorm", ours, "norm")

    def kernel(self, theirs: str, *ours: str, transposed: bool = False) -> None:
        """Takes a kernel [k, k, I, O]; of a transposed layer theirs is [k, k, O, I], turned."""
        kernel = self._take(f"{theirs}/weights")
        if transposed:
            kernel = np.flip(kernel, (0, 1)).swapaxes(2, 3)
        _put(self.params, ours, {"kernel": kernel})

    def norm(self, theirs: str, *ours: str) -> None:
        """Takes a batch norm."""
        scale, bias, mean, variance = (
            self._take(f"{theirs}/{part}") for part in CHECKPOINT_BATCH_NORM
        )
        _put(self.params, ours, {"scale": scale, "bias": bias})
        _put(self.stats, ours, {"mean": mean, "var": variance})

    def result(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns both trees; raises ValueError when a variable has not been taken."""
        if self.left:
            raise ValueError(f"has {len(self.left)} variables too many, such as {min(self.left)!r}")
        return self.params, self.stats

    def _take(self, name: str) -> np.ndarray:
        if name not in self.left:
            raise ValueError(f"has no variable {SCOPE}/{name}")
        return np.asarray(self.left.pop(name), np.float32)


def _put(tree: dict[str, Any], path: tuple[str, ...], leaves: dict[str, Any]) -> None:
    for name in path:
        tree = tree.setdefault(name, {})
    tree.update(leaves)
