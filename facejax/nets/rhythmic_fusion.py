"""Rhythmic Head Motion's fusion network E_F: from the references' features to layers' weights.

Chen et al., ECCV 2020, arXiv:2007.08547, eq. 5 and 7, after few-shot vid2vid (Wang et al. 2019,
arXiv:1910.12713): the image's channels are correlated with the landmarks' over all positions, and
each row of that matrix becomes a share of the weights of the decoder's layers.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax import checks
from facejax.nets import blocks
from facejax.nets.rhythmic_blocks import ConvUnit


class Pointwise(NamedTuple):
    """A 1x1 convolution of its own for each row of the batch."""

    kernel: jax.Array  # [B, in, out]
    bias: jax.Array  # [B, out]

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, in] -> [B, H, W, out]."""
        kernel, bias = self.kernel.astype(x.dtype), self.bias.astype(x.dtype)
        return jnp.einsum("bhwi,bio->bhwo", x, kernel) + bias[:, None, None]


class LevelWeights(NamedTuple):
    """What one level of the decoder is given; f channels above it, h = channels of the level."""

    first: Pointwise  # h -> 2 f: gamma, then beta, of the first SPADE
    second: Pointwise  # h -> 2 h: of the second
    shortcut: Pointwise | None  # h -> 2 f; None where f = h, for there is no shortcut
    sketch: Pointwise  # f -> h: theta_S, of the landmark embedder


def correlate(image: jax.Array, landmarks: jax.Array) -> jax.Array:
    """Returns sum over positions of image x softmax(landmarks), eq. 7: [B, C, C] float32.

    The published code's reading of the paper's element-wise product; the softmax is over channels.

    Args:
      image: [B, h, w, C].
      landmarks: [B, h, w, C].
    """
    checks.shapes(image=(image, "B h w C"), landmarks=(landmarks, "B h w C"))
    shares = jax.nn.softmax(landmarks.astype(jnp.float32), axis=-1)
    return jnp.einsum("bhwi,bhwj->bij", image.astype(jnp.float32), shares)


def gamma_beta(values: jax.Array, inside: int, outside: int) -> Pointwise:
    """Returns a 1x1 convolution to gamma and beta from the rows that an MLP gave.

    All numbers in order of rows; the first half is gamma's, the second beta's; of each the kernel
    (out, in), then the bias. The layout of the published weights.

    Args:
      values: [B, rows, n], rows x n = 2 outside (inside + 1).
      inside: channels in.
      outside: channels of gamma, and of beta.
    """
    halves = values.reshape(values.shape[0], 2, -1)
    size = inside * outside
    kernel = halves[..., :size].reshape(-1, 2, outside, inside)
    kernel = jnp.moveaxis(kernel, 3, 1).reshape(-1, inside, 2 * outside)
    return Pointwise(kernel, halves[..., size:].reshape(-1, 2 * outside))


def transposed(values: jax.Array, inside: int, outside: int) -> Pointwise:
    """Returns the weights of a transposed 1x1 convolution: kernel (in, out), then the bias.

    Args:
      values: [B, inside, outside + 1]; the last inside - outside numbers are not used.
      inside: channels in.
      outside: channels out.
    """
    flat = values.reshape(values.shape[0], -1)
    size = inside * outside
    return Pointwise(flat[:, :size].reshape(-1, inside, outside), flat[:, size : size + outside])


class Rows(nn.Module):
    """E_FP of one set of weights: three linear layers on each row.

    Attributes:
      features: numbers out for each row.
      conv: the convolution, here 1x1.
      activation: of the first two layers.
    """

    features: int
    conv: Callable[..., nn.Module]
    activation: Callable[[jax.Array], jax.Array]

    @nn.compact
    def __call__(self, matrix: jax.Array, *, train: bool) -> jax.Array:
        """[B, C, C] -> [B, C, features], float32."""
        x, width = matrix[:, :, None], matrix.shape[-1]
        for i in range(2):
            x = self.activation(self.conv(width, 1, name=f"linear_{i}")(x, train=train))
        x = self.conv(self.features, 1, name="linear_2")(x, train=train)
        return x[:, :, 0].astype(jnp.float32)


class Fusion(nn.Module):
    """E_F. Levels whose weights are not asked for make no matrix.

    Attributes:
      widths: channels of levels 0, ..., downs, each as many as the one before or twice as many.
      adaptive: how many levels, from 0 on, are given weights.
      conv: the convolution.
      norm: `BatchNorm` or `InstanceNorm`.
      activation: of the MLPs' layers.
    """

    widths: tuple[int, ...]
    adaptive: int
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]
    activation: Callable[[jax.Array], jax.Array] = blocks.leaky_relu

    @nn.compact
    def __call__(
        self, image: jax.Array, landmarks: jax.Array, *, train: bool
    ) -> tuple[LevelWeights, ...]:
        """Returns the weights of levels 0, ..., adaptive - 1.

        Args:
          image: [B, h, w, C] e_y, of the coarsest level.
          landmarks: [B, h, w, C] e_l.
          train: whether statistics move.
        """
        found = []
        for level in reversed(range(1, len(self.widths))):
            if level <= self.adaptive:
                matrix = correlate(image, landmarks)
                found.append(self._weights(level - 1, matrix, train))
            if level == 1:
                break  # nothing reads the correlation of level 0
            width = self.widths[level - 1]
            unit = lambda name, width=width: ConvUnit(width, self.conv, self.norm, name=name)
            image = unit(f"image_{level - 1}")(image, train=train)
            landmarks = unit(f"landmarks_{level - 1}")(landmarks, train=train)
        return tuple(reversed(found))

    def _weights(self, level: int, matrix: jax.Array, train: bool) -> LevelWeights:
        low, high = self.widths[level], self.widths[level + 1]

        def rows(name: str, features: int) -> jax.Array:
            head = Rows(features, self.conv, self.activation, name=f"{name}_{level}")
            return head(matrix, train=train)

        first = gamma_beta(rows("first", 2 * (low + 1)), low, high)
        second = gamma_beta(rows("second", 2 * low // high * (low + 1)), low, low)
        shortcut = None
        if low != high:
            shortcut = gamma_beta(rows("shortcut", 2 * (low + 1)), low, high)
        sketch = transposed(rows("sketch", low + 1), high, low)
        return LevelWeights(first, second, shortcut, sketch)
