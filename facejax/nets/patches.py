"""Patch discriminators of images, at several scales as in SPADE, and of sequences.

Park et al. 2019, arXiv:1903.07291. Images are [B, H, W, C]. Every convolution has half its kernel,
rounded down, of zeros on each side: 2 for the 4x4 ones of images.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax.nets import blocks, norms

KERNEL = 4
LAYERS = 4  # with features; one more gives the score


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
      kernel: its side.
      kernel_init: of the kernel.
    """

    features: int
    dtype: jnp.dtype
    kernel: int = KERNEL
    kernel_init: Callable = norms.xavier()

    @nn.compact
    def __call__(self, x: jax.Array, vector: jax.Array) -> jax.Array:
        """[B, H, W, C], [B, A] -> [B, H', W', features]; A may be 0."""
        channels = vector.shape[-1] + x.shape[-1]
        side, padding = self.kernel, self.kernel // 2
        kernel = self.param("kernel", self.kernel_init, (side, side, channels, self.features))
        kernel = kernel.astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
        y = blocks.convolve(x, kernel[:, :, vector.shape[-1] :], 2, padding)
        if vector.shape[-1]:
            taps = jnp.einsum(
                "ba,ijao->bijo", vector.astype(self.dtype), kernel[:, :, : vector.shape[-1]]
            )
            rows, columns = (_inside(n, side).astype(self.dtype) for n in x.shape[1:3])
            y = y + jnp.einsum("yi,xj,bijo->byxo", rows, columns, taps)
        return y + jnp.broadcast_to(bias, y.shape)


def _inside(size: int, kernel: int) -> jax.Array:
    """Which taps fall inside an image of this size, for each position: [out, kernel]."""
    padding = kernel // 2
    starts = jnp.arange(0, size + 2 * padding - kernel + 1, 2) - padding
    taps = starts[:, None] + jnp.arange(kernel)[None]
    return (taps >= 0) & (taps < size)


class PatchNet(nn.Module):
    """One scale: five convolutions; those between the first and the last have a norm.

    Attributes:
      width: channels of the first; it doubles with each but the last.
      conv: the convolution of the layers in the middle.
      dtype: of the computation.
      norm: of the layers in the middle.
      bias: whether the layers in the middle have one, which an instance norm takes out again.
      kernel: side of every kernel.
      kernel_init: of the kernels of the first layer and the last.
      layers: how many have features; all but the last of these halve the size.
    """

    width: int
    conv: Callable[..., nn.Module]
    dtype: jnp.dtype
    norm: Callable[..., nn.Module] = norms.InstanceNorm
    bias: bool = False
    kernel: int = KERNEL
    kernel_init: Callable = norms.xavier()
    layers: int = LAYERS

    @nn.compact
    def __call__(
        self, x: jax.Array, vector: jax.Array, *, train: bool
    ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        """[B, H, W, C], [B, A] -> score map [B, h, w, 1] float32, features of the layers."""
        first = ConditionedConv(
            self.width, self.dtype, self.kernel, self.kernel_init, name="conv_0"
        )
        x = blocks.leaky_relu(first(x, vector))
        features = [x]
        for i in range(1, self.layers):
            conv = self.conv(
                self.width * 2**i,
                self.kernel,
                stride=2 if i < self.layers - 1 else 1,
                padding=self.kernel // 2,
                bias=self.bias,
                name=f"conv_{i}",
            )
            x = self.norm(name=f"norm_{i}")(conv(x, train=train), train=train)
            x = blocks.leaky_relu(x)
            features.append(x)
        score = blocks.PlainConv(
            1,
            self.kernel,
            padding=self.kernel // 2,
            dtype=self.dtype,
            kernel_init=self.kernel_init,
            name="score",
        )(x)
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
      net: of one scale: `PatchNet`, perhaps with some of its attributes bound.
    """

    width: int
    scales: int
    conv: Callable[..., nn.Module]
    dtype: jnp.dtype
    net: Callable[..., nn.Module] = PatchNet

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
            net = self.net(self.width, self.conv, self.dtype, name=f"scale_{i}")
            outputs.append(net(x, vector, train=train))
            x = halve(x) if i < self.scales - 1 else x  # a tiled vector's means are itself
        return Scores(*(tuple(part) for part in zip(*outputs, strict=True)))


class SequenceDiscriminator(nn.Module):
    """A patch net on a sequence and its motion, as one image of time by components.

    The discriminator of FACIAL's published code; the paper's supplement has none. Its batch norm
    sees the whole batch: score real and generated sequences in two calls, as that code does.

    Attributes:
      width: channels of the first layer.
      dtype: of the computation.
    """

    width: int = 64
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> Scores:
        """Scores a sequence.

        Args:
          x: [B, T, C].
          train: whether batch norm takes the batch's statistics.

        Returns:
          One scale: the map [B, ~T/4, ~C/8, 1] (128 x 71: 32 x 9), the features of four layers.
        """
        image = jnp.concatenate([x, jnp.diff(x, axis=1)], axis=1)[..., None]
        conv = functools.partial(blocks.PlainConv, dtype=self.dtype, kernel_init=blocks.uniform)
        net = PatchNet(
            self.width,
            conv,
            self.dtype,
            norm=norms.BatchNorm,
            kernel=3,
            kernel_init=blocks.uniform,
            name="scale_0",
        )
        score, features = net(image, jnp.zeros((x.shape[0], 0), x.dtype), train=train)
        return Scores((score,), (features,))
