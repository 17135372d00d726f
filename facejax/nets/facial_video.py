"""FACIAL's rendering-to-video net: drawn faces -> photo-like frames.

Zhang et al., ICCV 2021, arXiv:2108.07938, after pix2pixHD (Wang et al. 2018, arXiv:1711.11585): a
trunk at half the resolution, whose features a local enhancer brings to the full one. Layers are
those of the published code, for the paper gives none. Images are [B, H, W, C].
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax import checks
from facejax.nets import blocks, norms, patches

gaussian = nn.initializers.normal(0.02)  # of every kernel, as in pix2pixHD


def _conv(features: int, kernel: int, stride: int, dtype: jnp.dtype, name: str):
    """A convolution; 7x7 ones are for a reflect-padded input, as are those of a residual block."""
    return blocks.PlainConv(
        features,
        kernel,
        stride,
        padding=1 if stride == 2 else 0,
        dtype=dtype,
        kernel_init=gaussian,
        name=name,
    )


def _doubling(features: int, dtype: jnp.dtype, name: str) -> nn.ConvTranspose:
    """Twice the size, as torch's transposed 3x3 with stride 2, padding 1 and output padding 1."""
    return nn.ConvTranspose(
        features,
        (3, 3),
        (2, 2),
        ((1, 2), (1, 2)),
        dtype=dtype,
        kernel_init=gaussian,
        name=name,
    )


def _activate(x: jax.Array) -> jax.Array:
    """Instance norm without parameters, ReLU."""
    return nn.relu(norms.instance_norm(x))


class ResidualBlock(nn.Module):
    """x plus two 3x3 convolutions of it, reflect-padded and instance-normalised.

    Attributes:
      dtype: of the computation.
    """

    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, C]."""
        width = x.shape[-1]
        y = _conv(width, 3, 1, self.dtype, "conv_0")(blocks.reflect_pad(x, 1))
        y = _conv(width, 3, 1, self.dtype, "conv_1")(blocks.reflect_pad(_activate(y), 1))
        return x + norms.instance_norm(y)


class Trunk(nn.Module):
    """The global generator without its last layer: halvings, residual blocks, doublings.

    Attributes:
      width: channels at full size; they double with each halving.
      halvings: how many.
      residuals: how many residual blocks.
      dtype: of the computation.
    """

    width: int
    halvings: int
    residuals: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, width]."""
        x = _activate(_conv(self.width, 7, 1, self.dtype, "first")(blocks.reflect_pad(x, 3)))
        for i in range(self.halvings):
            width = self.width * 2 ** (i + 1)
            x = _activate(_conv(width, 3, 2, self.dtype, f"down_{i}")(x))
        for i in range(self.residuals):
            x = ResidualBlock(self.dtype, name=f"block_{i}")(x)
        for i in reversed(range(self.halvings)):
            x = _activate(_doubling(self.width * 2**i, self.dtype, f"up_{i}")(x))
        return x


class VideoGenerator(nn.Module):
    """The local enhancer around its trunk.

    Attributes:
      width: channels of the trunk at half the resolution; at the full one there are half as many.
      halvings: of the trunk: 4 for 512 px.
      trunk_residuals: residual blocks of the trunk.
      residuals: residual blocks of the enhancer, at half the resolution.
      dtype: of the computation; the image is float32.
    """

    width: int = 64
    halvings: int = 4
    trunk_residuals: int = 4
    residuals: int = 3
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, condition: jax.Array) -> jax.Array:
        """Draws one frame: [B, H, W, 3] in [-1, 1], float32.

        Args:
          condition: [B, H, W, C] the drawn faces of the frames around it, side by side (30 or 40
            channels for ten of three or four); H and W are multiples of 2^(halvings + 1), and at
            least 2^(halvings + 2) and 8.

        Raises:
          ValueError: the sizes are not these.
        """
        sizes = checks.shapes(condition=(condition, "B H W C"))
        multiple = 2 ** (self.halvings + 1)
        # A reflection needs a second pixel at the deepest size, and a fourth at half the size.
        least = max(2 * multiple, 8)
        if any(sizes[side] % multiple or sizes[side] < least for side in "HW"):
            raise ValueError(
                f"condition has shape {condition.shape}; due: [B H W C] with H and W multiples of "
                f"{multiple}, {least} or more"
            )
        coarse = patches.halve(condition)
        coarse = Trunk(self.width, self.halvings, self.trunk_residuals, self.dtype, name="trunk")(
            coarse
        )
        half = self.width // 2
        x = blocks.reflect_pad(condition, 3)
        x = _activate(_conv(half, 7, 1, self.dtype, "first")(x))
        x = _activate(_conv(self.width, 3, 2, self.dtype, "down")(x)) + coarse
        for i in range(self.residuals):
            x = ResidualBlock(self.dtype, name=f"block_{i}")(x)
        x = _activate(_doubling(half, self.dtype, "up")(x))
        x = blocks.reflect_pad(x.astype(jnp.float32), 3)
        return nn.tanh(_conv(3, 7, 1, jnp.float32, "image")(x))


def small(dtype: jnp.dtype = jnp.float32) -> VideoGenerator:
    """Returns a generator for 64 px."""
    return VideoGenerator(16, 3, 2, 1, dtype)


def discriminator(
    width: int = 64, scales: int = 3, dtype: jnp.dtype = jnp.float32
) -> patches.PatchDiscriminator:
    """Returns the discriminator of an image behind its condition's channels."""
    net = functools.partial(
        patches.PatchNet,
        norm=functools.partial(norms.InstanceNorm, affine=False),
        bias=True,
        kernel_init=gaussian,
    )
    conv = functools.partial(blocks.PlainConv, dtype=dtype, kernel_init=gaussian)
    return patches.PatchDiscriminator(width, scales, conv, dtype, net)
