"""Convolutions with and without spectral norm, resampling, and the blocks built from them.

Images are [B, H, W, C]. A `conv` handed to a block is `SpectralConv` or `PlainConv` with its dtype
bound: features, kernel, stride, padding and bias stay to be given.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from facejax.nets import norms

SLOPE = 0.2  # of every leaky ReLU
STATS = "stats"  # the variable collection of the spectral vectors
SIGMA_EPS = 1e-12  # least length and least singular value

# std = 1 / sqrt(3 fan_in), the usual default of a convolution. The published HeadGAN code means to
# initialise its spectral ones too with Xavier x 0.02, but its spectral norm discards that.
uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def leaky_relu(x: jax.Array) -> jax.Array:
    """max(x, 0.2 x)."""
    return nn.leaky_relu(x, SLOPE)


def reflect_pad(x: jax.Array, width: int) -> jax.Array:
    """[B, H, W, C] -> [B, H + 2 width, W + 2 width, C], the border pixel itself not repeated."""
    return jnp.pad(x, ((0, 0), (width, width), (width, width), (0, 0)), mode="reflect")


def pixel_shuffle(x: jax.Array) -> jax.Array:
    """[B, H, W, 4 C] -> [B, 2 H, 2 W, C]; Shi et al. 2016, arXiv:1609.05158.

    Channel 4 c + 2 i + j goes to channel c of the pixel (2 row + i, 2 column + j).
    """
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, c // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(b, 2 * h, 2 * w, c // 4)


def repeat_pixels(x: jax.Array) -> jax.Array:
    """[B, H, W, C] -> [B, 2 H, 2 W, C], each pixel four times."""
    b, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None, :], (b, h, 2, w, 2, c))
    return x.reshape(b, 2 * h, 2 * w, c)


def append_vector(x: jax.Array, vector: jax.Array) -> jax.Array:
    """[B, T, C], [B, A] -> [B, T, C + A]: the vector after the channels of every step."""
    tiled = jnp.broadcast_to(vector[:, None].astype(x.dtype), (*x.shape[:2], vector.shape[-1]))
    return jnp.concatenate([x, tiled], axis=-1)


def corner_weights(size: int, new: int) -> np.ndarray:
    """Linear interpolation at `new` points from the first to the last of `size`: [new, size]."""
    at = np.linspace(0, size - 1, new)
    return np.maximum(1 - np.abs(at[:, None] - np.arange(size)), 0).astype(np.float32)


class PlainConv(nn.Module):
    """A convolution with equal zero padding on both sides.

    Attributes:
      features: channels out.
      kernel: its side.
      stride: 1 or 2.
      padding: pixels added on each side.
      bias: whether it has one.
      dtype: of the computation; the parameters are float32.
      kernel_init: of the kernel.
    """

    features: int
    kernel: int
    stride: int = 1
    padding: int = 0
    bias: bool = True
    dtype: jnp.dtype = jnp.float32
    kernel_init: Callable = norms.xavier()

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, H', W', features]; `train` is not used."""
        del train
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        y = convolve(x, kernel.astype(self.dtype), self.stride, self.padding)
        return _add_bias(self, y)


class SpectralConv(nn.Module):
    """A convolution whose kernel is divided by its largest singular value; attributes as PlainConv.

    Miyato et al. 2018, arXiv:1802.05957. The kernel is a matrix of one column for each channel out.
    One power iteration a call, whose left vector is kept in the collection "stats" when training.
    Not `nn.SpectralNorm`: its division is rewritten by XLA in one way when differentiated and in
    another when not, so that the same forward pass in two losses was computed twice.
    """

    features: int
    kernel: int
    stride: int = 1
    padding: int = 0
    bias: bool = True
    dtype: jnp.dtype = jnp.float32
    kernel_init: Callable = uniform

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, H', W', features]."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        u = self.variable(STATS, "u", lambda: _unit(self.make_rng("params"), self.features))
        sigma, new_u = spectral_norm(kernel.reshape(-1, self.features), u.value)
        if train:
            u.value = new_u
        y = convolve(x, (kernel * (1 / sigma)).astype(self.dtype), self.stride, self.padding)
        return _add_bias(self, y)


def _add_bias(module: PlainConv | SpectralConv, y: jax.Array) -> jax.Array:
    """Adds the module's own bias, if it is to have one."""
    if not module.bias:
        return y
    bias = module.param("bias", nn.initializers.zeros, (module.features,))
    return y + jnp.broadcast_to(bias.astype(y.dtype), y.shape)


def _unit(key: jax.Array, size: int) -> jax.Array:
    u = jax.random.normal(key, (size,))
    return u / jnp.linalg.norm(u)


def spectral_norm(matrix: jax.Array, u: jax.Array) -> tuple[jax.Array, jax.Array]:
    """One power iteration: the estimate of the largest singular value, and the next u.

    The gradient goes through the matrix alone, as if both vectors were constants.

    Args:
      matrix: [N, O].
      u: [O], the last estimate of the right singular vector.

    Returns:
      sigma [], at least 1e-12, and u [O] of length 1.
    """
    constant = jax.lax.stop_gradient(matrix)
    v = _normalised(jnp.matmul(constant, u))
    u = _normalised(jnp.matmul(v, constant))
    sigma = jnp.dot(jnp.matmul(v, matrix), u)
    return jnp.maximum(sigma, SIGMA_EPS), u


def _normalised(x: jax.Array) -> jax.Array:
    return x * (1 / jnp.maximum(jnp.sqrt(jnp.sum(x * x)), SIGMA_EPS))


def convolve(x: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    """[B, H, W, C], [k, k, C, O] -> [B, H', W', O] of the kernel's dtype; zeros on all sides."""
    return jax.lax.conv_general_dilated(
        x.astype(kernel.dtype),
        kernel,
        (stride, stride),
        ((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


class ConvNorm(nn.Module):
    """A convolution, batch norm and an activation, over any number of axes.

    Attributes:
      features: channels out.
      kernel: its size along each axis.
      stride: along each axis.
      padding: zeros before and after along each axis; never left to "SAME", which puts the odd one
        after where torch has it before.
      activation: of each element.
      norm_first: whether batch norm comes before the activation or after it.
      step_axis: of `norms.BatchNorm`.
      dtype: of the computation.
    """

    features: int
    kernel: tuple[int, ...]
    stride: int | tuple[int, ...] = 1
    padding: tuple[tuple[int, int], ...] = ((1, 1),)
    activation: Callable = nn.relu
    norm_first: bool = True
    step_axis: int | None = None
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[..., (spatial axes), C] -> [..., (spatial axes), features]."""
        x = nn.Conv(
            self.features,
            self.kernel,
            self.stride,
            self.padding,
            dtype=self.dtype,
            kernel_init=uniform,
            name="conv",
        )(x)
        norm = norms.BatchNorm(self.step_axis, name="norm")
        if self.norm_first:
            return self.activation(norm(x, train=train))
        return norm(self.activation(x), train=train)


class SpadeBlock(nn.Module):
    """(SPADE, leaky ReLU, 3x3 convolution) twice; HeadGAN supplement, Fig. 1.

    Attributes:
      features: channels out.
      hidden: width of SPADE's shared convolution.
      residual: whether the input is added to the result. A change of channels then takes a learned
        shortcut, SPADE and a 1x1 convolution, as in SPADE's own code.
      conv: the convolution, `SpectralConv` or `PlainConv`.
      dtype: of the computation.
      gain: of SPADE's initialisers.
    """

    features: int
    hidden: int
    residual: bool
    conv: Callable[..., nn.Module]
    dtype: jnp.dtype = jnp.float32
    gain: float = norms.INIT_GAIN

    @nn.compact
    def __call__(self, x: jax.Array, label: jax.Array, *, train: bool) -> jax.Array:
        """[B or 1, H, W, C], [B, h, w, L] -> [B, H, W, features]."""
        middle = min(x.shape[-1], self.features)
        spade = functools.partial(norms.Spade, self.hidden, self.dtype, self.gain)
        y = spade(name="norm_0")(x, label)
        y = self.conv(middle, 3, padding=1, name="conv_0")(leaky_relu(y), train=train)
        y = spade(name="norm_1")(y, label)
        y = self.conv(self.features, 3, padding=1, name="conv_1")(leaky_relu(y), train=train)
        if not self.residual:
            return y
        if x.shape[-1] != self.features:
            x = spade(name="norm_s")(x, label)
            x = self.conv(self.features, 1, bias=False, name="conv_s")(x, train=train)
        return x + y


class AdainBlock(nn.Module):
    """(AdaIN, leaky ReLU, 3x3 convolution) twice, with no residual; HeadGAN supplement, Fig. 1.

    Attributes:
      conv: the convolution, `SpectralConv` or `PlainConv`.
      dtype: of the computation.
    """

    conv: Callable[..., nn.Module]
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, style: jax.Array, *, train: bool) -> jax.Array:
        """[B, H, W, C], [B, A] -> [B, H, W, C]."""
        for index in range(2):
            x = norms.AdaptiveInstance(self.dtype, name=f"norm_{index}")(x, style)
            conv = self.conv(x.shape[-1], 3, padding=1, name=f"conv_{index}")
            x = conv(leaky_relu(x), train=train)
        return x
