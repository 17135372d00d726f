"""Multi-scale patch discriminator, as in SPADE (Park et al. 2019, arXiv:1903.07291).

Images are [B, H, W, C]. Every convolution is 4x4 with 2 zeros of padding on each side.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax.nets import blocks, norms

KERNEL, PADDING = 4, 2
LAYERS = 4  # with features; a fifth gives the score


class Scores(NamedTuple):
    """One entry for each scale, the finest first."""

    scores: tuple[jax.Array, ...]  # [B, h, w, 1], unbounded
    features: tuple[tuple[jax.Array, ...], ...]  # of each layer: [B, h, w, c]


class ConditionedConv(nn.Module):
    """The convolution of an image beside a vector tiled over it, without tiling it.

    Equal to `nn.Conv` with stride 2 on [vector tiled, image] and with the same parameters. The
    vector's part is one matrix product and, for the zero padding, a sum over the kernel's taps that
    fall inside the image: for 300 features in 64x64 pixels some hundred times less work.

    Attributes:
      features: channels out.
      dtype: of the computation.
    """

    features: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, vector: jax.Array) -> jax.Array:
        """[B, H, W, C], [B, A] -> [B, H', W', features]; A may be 0."""
        channels = vector.shape[-1] + x.shape[-1]
        kernel = self.param(
            "kernel", norms.xavier(), (KERNEL, KERNEL, channels, self.features)
        ).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
        y = blocks.convolve(x, kernel[:, :, vector.shape[-1] :], 2, PADDING)
        if vector.shape[-1]:
            taps = jnp.einsum(
                "ba,ijao->bijo", vector.astype(self.dtype), kernel[:, :, : vector.shape[-1]]
            )
            rows, columns = (_inside(size).astype(self.dtype) for size in x.shape[1:3])
            y = y + jnp.einsum("yi,xj,bijo->byxo", rows, columns, taps)
        return y + jnp.broadcast_to(bias, y.shape)


def _inside(size: int) -> jax.Array:
    """Which taps of the kernel fall inside an image of this size, for each position: [out, 4]."""
    starts = jnp.arange(0, size + 2 * PADDING - KERNEL + 1, 2) - PADDING
    taps = starts[:, None] + jnp.arange(KERNEL)[None]
    return (taps >= 0) & (taps < size)


class PatchNet(nn.Module):
    """One scale: five convolutions; spectral norm and instance norm on the three in the middle.

    Attributes:
      width: channels of the first; it doubles three times.
      conv: the convolution of the layers in the middle.
      dtype: of the computation.
    """

    width: int
    conv: Callable[..., nn.Module]
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, x: jax.Array, vector: jax.Array, *, train: bool
    ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        """[B, H, W, C], [B, A] -> score map [B, h, w, 1] float32, features of the four layers."""
        x = ConditionedConv(self.width, self.dtype, name="conv_0")(x, vector)
        x = blocks.leaky_relu(x)
        features = [x]
        for i in range(1, LAYERS):
            conv = self.conv(
                self.width * 2**i,
                KERNEL,
                stride=2 if i < LAYERS - 1 else 1,
                padding=PADDING,
                bias=False,
                name=f"conv_{i}",
            )
            x = norms.InstanceNorm(name=f"norm_{i}")(conv(x, train=train))
            x = blocks.leaky_relu(x)
            features.append(x)
        score = blocks.PlainConv(1, KERNEL, padding=PADDING, dtype=self.dtype, name="score")(x)
        return score.astype(jnp.float32), tuple(features)


def halve(x: jax.Array) -> jax.Array:
    """3x3 means with stride 2 and one pixel of padding that no mean counts: [B, ~H/2, ~W/2, C]."""
    return nn.avg_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)), count_include_pad=False)


class PatchDiscriminator(nn.Module):
    """`PatchNet`s of independent weights on the image and its halves.

    Attributes:
      width: channels of the first layer.
      scales: how many.
      conv: the convolution of the layers in the middle.
      dtype: of the computation.
    """

    width: int
    scales: int
    conv: Callable[..., nn.Module]
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, vector: jax.Array | None = None, *, train: bool) -> Scores:
        """Scores an image.

        Args:
          x: [B, H, W, C] the image, with its condition maps, if any, as first channels.
          vector: [B, A] condition, as if tiled over the image before its channels; or None.
          train: whether the spectral vectors move.
        """
        vector = jnp.zeros((x.shape[0], 0), x.dtype) if vector is None else vector
        outputs = []
        for i in range(self.scales):
            net = PatchNet(self.width, self.conv, self.dtype, name=f"scale_{i}")
            outputs.append(net(x, vector, train=train))
            x = halve(x) if i < self.scales - 1 else x  # a tiled vector's means are itself
        return Scores(*(tuple(part) for part in zip(*outputs, strict=True)))
