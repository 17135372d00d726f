"""What the nets of Rhythmic Head Motion's generator share.

Chen et al., ECCV 2020, arXiv:2007.08547. The paper draws its layers in figures; kernels, norms and
widths are those of the published code. Levels count from 0, the full size, to the coarsest.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax.nets import blocks, norms


def pyramid(width: int, downs: int, most: int) -> tuple[int, ...]:
    """Returns the channels of levels 0, ..., downs: doubled by each halving, `most` at most."""
    return tuple(min(width * 2**level, most) for level in range(downs + 1))


class ConvUnit(nn.Module):
    """A 3x3 convolution, norm, leaky ReLU.

    Attributes:
      features: channels out.
      conv: the convolution, `SpectralConv` or `PlainConv` with its dtype bound.
      norm: `BatchNorm` or `InstanceNorm`.
      stride: 1 or 2.
      bias: whether the convolution has one.
    """

    features: int
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]
    stride: int = 1
    bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, H / stride, W / stride, features]."""
        conv = self.conv(
            self.features, 3, stride=self.stride, padding=1, bias=self.bias, name="conv"
        )
        return blocks.leaky_relu(self.norm(name="norm")(conv(x, train=train), train=train))


class PreActivation(nn.Module):
    """(norm, leaky ReLU, 3x3 convolution) twice, added to the input.

    A change of channels takes the input through norm and a 1x1 convolution without bias.

    Attributes:
      features: channels out.
      conv: the convolution.
      norm: `BatchNorm` or `InstanceNorm`.
    """

    features: int
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, features]."""
        y = x
        for i in range(2):
            y = blocks.leaky_relu(self.norm(name=f"norm_{i}")(y, train=train))
            y = self.conv(self.features, 3, padding=1, name=f"conv_{i}")(y, train=train)
        if x.shape[-1] != self.features:
            x = self.norm(name="norm_s")(x, train=train)
            x = self.conv(self.features, 1, bias=False, name="conv_s")(x, train=train)
        return x + y


class SketchPyramid(nn.Module):
    """3x3 convolutions with leaky ReLU and no norm, each after the first of stride 2.

    Attributes:
      widths: channels of each level.
      dtype: of the computation.
    """

    widths: tuple[int, ...]
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, ...]:
        """[B, H, W, C] -> one array for each level, [B, H / 2^i, W / 2^i, widths[i]]."""
        levels = []
        for i, width in enumerate(self.widths):
            conv = blocks.PlainConv(
                width,
                3,
                stride=2 if i else 1,
                padding=1,
                dtype=self.dtype,
                kernel_init=blocks.uniform,
                name=f"conv_{i}",
            )
            x = blocks.leaky_relu(conv(x))
            levels.append(x)
        return tuple(levels)


def doubling(features: int, dtype: jnp.dtype, name: str) -> nn.ConvTranspose:
    """Twice the size, as torch's transposed 3x3 with stride 2, padding 1 and output padding 1."""
    return nn.ConvTranspose(
        features,
        (3, 3),
        (2, 2),
        ((1, 2), (1, 2)),
        dtype=dtype,
        kernel_init=norms.xavier(1.0),
        name=name,
    )
