"""A one-dimensional U-net: halvings in time, as many doublings, and skips between them.

Sequences are [B, T, C]. Every convolution has four taps, stride 2 and one zero on each side.
PoseGAN (supplement A.1) has five levels with batch norm and ReLU after each convolution; the
published FACIAL code has five with the activation before it. `UNETS` names the variants.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax import checks
from facejax.nets import blocks, norms

KERNEL = 4
WIDTHS = (256, 256, 512, 512, 512)


def _same(x: jax.Array) -> jax.Array:
    return x


class _Layer(nn.Module):
    """A function, a convolution that halves or doubles the length, batch norm, a function."""

    features: int
    doubles: bool
    dtype: jnp.dtype
    before: Callable = _same
    after: Callable = _same
    normed: bool = True
    bias: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        # A transposed convolution's padding is that of its widened input: 4 - 1 - 1 zeros.
        conv = nn.ConvTranspose if self.doubles else nn.Conv
        pad = KERNEL - 2 if self.doubles else 1
        x = conv(
            self.features,
            (KERNEL,),
            (2,),
            ((pad, pad),),
            use_bias=self.bias,
            dtype=self.dtype,
            kernel_init=blocks.uniform,
            name="conv",
        )(self.before(x))
        x = norms.BatchNorm(name="norm")(x, train=train) if self.normed else x
        return self.after(x)


def post_activation(level: int, levels: int) -> tuple[dict, dict]:
    """Returns how a level halves and doubles: convolution, batch norm, ReLU (PoseGAN, A.1)."""
    del level, levels
    return {"after": nn.relu}, {"after": nn.relu}


def pre_activation(level: int, levels: int) -> tuple[dict, dict]:
    """Returns how a level halves and doubles in pix2pix's way, level 0 being the outermost.

    Isola et al. 2017, arXiv:1611.07004: leaky ReLU before what halves, ReLU before what doubles;
    no batch norm at the outermost level nor at the deepest length; tanh at the end.
    """
    down = {
        "before": blocks.leaky_relu if level else _same,
        "normed": 0 < level < levels - 1,
    }
    up = {
        "before": nn.relu,
        "after": _same if level else nn.tanh,
        "normed": level > 0,
        "bias": level == 0,
    }
    return down, up


def beside(skip: jax.Array, x: jax.Array) -> jax.Array:
    """The skip's channels, then those of x."""
    return jnp.concatenate([skip, x], axis=-1)


def added(skip: jax.Array, x: jax.Array) -> jax.Array:
    """The sum of the skip and x, which have the same width."""
    return skip + x


class UNet1d(nn.Module):
    """The U-net.

    Attributes:
      features: channels out.
      widths: channels after each halving; a doubling has those of the level above.
      layers: `post_activation` or `pre_activation`.
      merge: what joins a skip to the level's result: `beside` or `added`.
      dtype: of the computation.
    """

    features: int
    widths: tuple[int, ...] = WIDTHS
    layers: Callable[[int, int], tuple[dict, dict]] = post_activation
    merge: Callable[[jax.Array, jax.Array], jax.Array] = beside
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[B, T, C], T a multiple of 2^levels -> [B, T, features].

        Raises:
          ValueError: T is no such multiple.
        """
        levels = len(self.widths)
        length = checks.shapes(x=(x, "B T C"))["T"]
        if length % 2**levels:
            raise ValueError(f"x has {length} steps; due: a multiple of {2**levels}")
        plans = [self.layers(level, levels) for level in range(levels)]
        skips = []
        for level, (down, _) in enumerate(plans):
            layer = _Layer(self.widths[level], False, self.dtype, **down, name=f"down_{level}")
            x = layer(x, train=train)
            skips.append(x)
        skips.pop()
        for level, (_, up) in reversed(list(enumerate(plans))):
            width = self.widths[level - 1] if level else self.features
            x = _Layer(width, True, self.dtype, **up, name=f"up_{level}")(x, train=train)
            x = self.merge(skips[level - 1], x) if level else x
        return x


# "posegan": the seed's order. "tface": that of FACIAL's published code. "gesture": as wide at every
# level, with sums for skips, as in Ginosar et al. 2019, arXiv:1906.04160.
UNETS: dict[str, Callable[..., UNet1d]] = {
    "posegan": UNet1d,
    "tface": functools.partial(UNet1d, layers=pre_activation),
    "gesture": functools.partial(UNet1d, widths=(256,) * 5, merge=added),
}
