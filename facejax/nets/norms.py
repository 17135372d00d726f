"""Normalisation: batch norm, instance norm and its conditional forms, SPADE and AdaIN.

Images are [B, H, W, C]. Statistics are in float32; those of instance norm are of each image and
channel over space.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from facejax import images

EPS = 1e-5  # added to the (biased) variance
MOMENTUM = 0.9  # of the running statistics of batch norm; torch calls it 0.1
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
    """Instance norm with a learned scale and bias for each channel.

    Attributes:
      affine: False: without the scale and bias.
    """

    affine: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, C]; `train` is not used."""
        del train
        if not self.affine:
            return instance_norm(x)
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        scale, bias = (jnp.broadcast_to(p.astype(x.dtype), x.shape) for p in (scale, bias))
        return instance_norm(x) * scale + bias


class BatchNorm(nn.Module):
    """Batch norm with a learned scale and bias; Ioffe & Szegedy 2015, arXiv:1502.03167.

    In training, statistics are those of each channel over all other axes; otherwise the running
    ones, kept in the collection "batch_stats". As in torch, and not as in flax, the running
    variance is of the unbiased variances n / (n - 1), so that weights mean the same in both.

    Attributes:
      step_axis: an axis whose steps have statistics of their own, as if the layer were called once
        a step: the running statistics then move once a step, in order. None: one call.
      affine: False: without the scale and bias.
      eps: added to the variance.
    """

    step_axis: int | None = None
    affine: bool = True
    eps: float = EPS

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[..., C] -> [..., C]."""
        channels = x.shape[-1]
        mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
        variance = self.variable("batch_stats", "var", jnp.ones, (channels,))
        axes = tuple(i for i in range(x.ndim - 1) if i != self.step_axis)
        wide = x.astype(jnp.float32)
        if train:
            means = jnp.mean(wide, axes, keepdims=True)
            variances = jnp.mean(jnp.square(wide - means), axes, keepdims=True)
            count = math.prod(x.shape[i] for i in axes)
            if not self.is_initializing():
                mean.value = _running(mean.value, means)
                variance.value = _running(variance.value, variances * (count / max(count - 1, 1)))
        else:
            means, variances = (_beside(v.value, x) for v in (mean, variance))
        if not self.affine:
            return ((wide - means) * jax.lax.rsqrt(variances + self.eps)).astype(x.dtype)
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        gain = jax.lax.rsqrt(variances + self.eps) * _beside(scale, x)
        y = (wide - means) * gain + _beside(bias, x)
        return y.astype(x.dtype)


def _beside(vector: jax.Array, x: jax.Array) -> jax.Array:
    """[C] -> [1, ..., 1, C] of x's rank."""
    return vector.reshape((1,) * (x.ndim - 1) + vector.shape)


def _running(value: jax.Array, steps: jax.Array) -> jax.Array:
    """The running mean [C] after it has moved towards each of steps [..., C] in turn."""
    steps = jax.lax.stop_gradient(steps.reshape(-1, steps.shape[-1]))
    decay = MOMENTUM ** np.arange(len(steps))[::-1]  # the last step is the freshest
    moved = jnp.einsum("s,sc->c", jnp.asarray((1 - MOMENTUM) * decay, jnp.float32), steps)
    return MOMENTUM ** len(steps) * value + moved


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
