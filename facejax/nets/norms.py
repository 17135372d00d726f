"""Normalisation: instance norm and its conditional forms, SPADE and AdaIN.

Images are [B, H, W, C]. Statistics are those of each image and channel over space, in float32.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax import images

EPS = 1e-5  # added to the (biased) variance
INIT_GAIN = 0.02  # of the Xavier normal initialiser of every layer without spectral norm


def xavier(gain: float = INIT_GAIN):
    """Returns the Xavier (Glorot) normal initialiser times a gain."""
    return nn.initializers.variance_scaling(gain**2, "fan_avg", "normal")


def _xavier_pair(gain: float):
    """Returns the initialiser of two layers side by side in a kernel, each as if it stood alone."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
        shape = (*shape[:-1], shape[-1] // 2)
        halves = [xavier(gain)(k, shape, dtype) for k in jax.random.split(key)]
        return jnp.concatenate(halves, axis=-1)

    return init


def instance_norm(x: jax.Array) -> jax.Array:
    """Returns x [B, H, W, C] with mean 0 and variance 1 over H and W; Ulyanov et al. 2016."""
    wide = x.astype(jnp.float32)
    centred = wide - jnp.mean(wide, axis=(1, 2))[:, None, None]
    variance = jnp.mean(jnp.square(centred), axis=(1, 2))
    return (centred * jax.lax.rsqrt(variance + EPS)[:, None, None]).astype(x.dtype)


class InstanceNorm(nn.Module):
    """Instance norm with a learned scale and bias for each channel."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, C]."""
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        scale, bias = (jnp.broadcast_to(p.astype(x.dtype), x.shape) for p in (scale, bias))
        return instance_norm(x) * scale + bias


class Spade(nn.Module):
    """Instance norm, then scaled and shifted per pixel from a label map.

    Park et al. 2019, arXiv:1903.07291. Departs from that paper as HeadGAN does: statistics are
    those of one image, and gamma is offset by one. The convolutions for gamma and beta are one,
    gamma first.

    Attributes:
      hidden: width of the shared 3x3 convolution on the label.
      dtype: of the computation.
      gain: of the Xavier normal initialiser: how much the label counts at first.
    """

    hidden: int
    dtype: jnp.dtype = jnp.float32
    gain: float = INIT_GAIN

    @nn.compact
    def __call__(self, x: jax.Array, label: jax.Array) -> jax.Array:
        """[B or 1, H, W, C], [B, h, w, L] with h, w multiples of H, W -> [B, H, W, C]."""
        _, height, width, channels = x.shape
        label = images.downsample_nearest(label, height, width)
        padding = ((1, 1), (1, 1))
        shared = nn.Conv(
            self.hidden,
            (3, 3),
            1,
            padding,
            dtype=self.dtype,
            kernel_init=xavier(self.gain),
            name="shared",
        )(label)
        gamma_beta = nn.Conv(
            2 * channels,
            (3, 3),
            1,
            padding,
            dtype=self.dtype,
            kernel_init=_xavier_pair(self.gain),
            name="gamma_beta",
        )(nn.relu(shared))
        gamma, beta = jnp.split(gamma_beta, 2, axis=-1)
        return instance_norm(x) * (1 + gamma) + beta


class AdaptiveInstance(nn.Module):
    """Instance norm, then scaled and shifted per channel from a vector.

    Huang & Belongie 2017, arXiv:1703.06868, with a learned linear map; gamma is offset by one and
    comes first in the map's output.

    Attributes:
      dtype: of the computation.
    """

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, style: jax.Array) -> jax.Array:
        """[B, H, W, C], [B, A] -> [B, H, W, C]."""
        gamma_beta = nn.Dense(
            2 * x.shape[-1], dtype=self.dtype, kernel_init=xavier(), name="gamma_beta"
        )(style)
        gamma, beta = jnp.split(gamma_beta[:, None, None, :], 2, axis=-1)
        return instance_norm(x) * (1 + gamma) + beta
