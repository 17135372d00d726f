"""FACIAL-GAN's generator: speech and an initial state -> 71 face attributes a frame.

Zhang et al., ICCV 2021, arXiv:2108.07938; G_tem and G_loc as in Tables 1 and 2 of its supplement.
`paper()` is that; `released()` is the published code's net, which differs in padding, in the order
of batch norm and activation, and by a U-net. Sequences are [B, T, C]. Its discriminator is
`patches.SequenceDiscriminator`.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax import checks
from facejax.nets import blocks, norms, unet1d

ATTRIBUTES = 71  # pose 6, blink 1, expression 64
WIDTHS = (32, 128, 256, 256)
LOCAL_WIDTHS = (32, 32, 64, 64)
# Zeros before and after in time, of the convolutions of 4 x 4. Table 1 gives only output sizes:
# 64, 32, 32. The published code's padding gives 65, 33, 34.
PAPER_PADS = ((1, 1), (1, 1), (1, 2))
RELEASED_PADS = ((2, 2), (2, 2), (2, 2))
# Table 1 names a leaky ReLU without its slope: torch's default, which the published code takes.
leaky_relu = functools.partial(nn.leaky_relu, negative_slope=0.01)


def resize_time(x: jax.Array, length: int) -> jax.Array:
    """[B, t, C] -> [B, length, C], linear, the first step on the first and the last on the last."""
    return jnp.einsum("ts,bsc->btc", blocks.corner_weights(x.shape[1], length).astype(x.dtype), x)


class AudioEncoder(nn.Module):
    """Table 1 down to "Bilinear": speech features as an image of time by frequency.

    Attributes:
      widths: channels of the four convolutions.
      time_pads: zeros before and after in time of the first three.
      norm_first: whether batch norm comes before the activation.
      activation: after each convolution.
      dtype: of the computation.
    """

    widths: tuple[int, int, int, int] = WIDTHS
    time_pads: tuple[tuple[int, int], ...] = PAPER_PADS
    norm_first: bool = False
    activation: Callable = leaky_relu
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, audio: jax.Array, *, train: bool) -> jax.Array:
        """[B, T, F], T a multiple of 4 and F at least 22 -> [B, T, widths[-1]].

        Raises:
          ValueError: T or F is not so.
        """
        sizes = checks.shapes(audio=(audio, "B T F"))
        if sizes["T"] % 4 or sizes["F"] < 22:
            raise ValueError(
                f"audio has shape {audio.shape}; due: [B T F] with T a multiple of 4, F 22 or more"
            )
        x = audio[..., None]
        kernels = ((4, 4), (4, 4), (4, 4), (3, 1))
        for i, (width, kernel) in enumerate(zip(self.widths, kernels, strict=True)):
            layer = blocks.ConvNorm(
                width,
                kernel,
                stride=(2, 2) if i < 2 else (1, 1),
                padding=(self.time_pads[i] if i < 3 else (1, 1), (0, 0)),
                activation=self.activation,
                norm_first=self.norm_first,
                dtype=self.dtype,
                name=f"encode_{i}",
            )
            x = layer(x, train=train)
        # Time and frequency interleave: Table 1's "Reshape", 32 x 2 -> 64.
        x = x.reshape(sizes["B"], -1, self.widths[-1])
        return resize_time(x, sizes["T"])


class TemporalNet(nn.Module):
    """G_tem, Table 1.

    Attributes:
      encoder: the first rows.
      width: channels of the convolutions in time.
      features: of z.
      unet: in the published code, makes a U-net between "Bilinear" and "Concat s".
      norm_first: whether batch norm comes before the activation. The supplement has each
        convolution followed by an activation and batch norm, in that order.
      final_norm: whether the last convolution too is followed by them, as the supplement says.
      dtype: of the computation.
    """

    encoder: AudioEncoder
    width: int = 256
    features: int = 32
    unet: Callable[..., nn.Module] | None = None
    norm_first: bool = False
    final_norm: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, audio: jax.Array, state: jax.Array, *, train: bool) -> jax.Array:
        """[B, T, F], [B, A] -> z [B, T, features]."""
        x = self.encoder(audio, train=train)
        if self.unet is not None:
            x = self.unet(features=x.shape[-1], dtype=self.dtype, name="unet")(x, train=train)
        x = blocks.append_vector(x, state)
        layer = functools.partial(
            blocks.ConvNorm,
            kernel=(3,),
            activation=leaky_relu,
            norm_first=self.norm_first,
            dtype=self.dtype,
        )
        for i in range(2):
            x = layer(self.width, name=f"decode_{i}")(x, train=train)
        if self.final_norm:
            return layer(self.features, name="decode_2")(x, train=train)
        return nn.Conv(
            self.features,
            (3,),
            padding=((1, 1),),
            dtype=self.dtype,
            kernel_init=blocks.uniform,
            name="decode_2",
        )(x)


class LocalNet(nn.Module):
    """G_loc, Table 2: a window of speech around each frame -> c.

    Attributes:
      widths: channels of the convolutions, each of which halves the window.
      features: of c.
      final_norm: whether batch norm follows the tanh.
      step_norm: whether batch norm in training has statistics of their own for each frame of the
        sequence, as in the published code, which calls the net once a frame.
      dtype: of the computation.
    """

    widths: tuple[int, ...] = LOCAL_WIDTHS
    features: int = 32
    final_norm: bool = False
    step_norm: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, windows: jax.Array, *, train: bool) -> jax.Array:
        """[B, T, 2^n, F], n the number of widths -> c [B, T, features] in (-1, 1)."""
        sizes = checks.shapes(windows=(windows, f"B T {2 ** len(self.widths)} F"))
        step_axis = 1 if self.step_norm else None
        x = windows
        for i, width in enumerate(self.widths):
            layer = blocks.ConvNorm(
                width,
                (3,),
                stride=2,
                norm_first=False,
                step_axis=step_axis,
                dtype=self.dtype,
                name=f"conv_{i}",
            )
            x = layer(x, train=train)
        x = x.reshape(sizes["B"], sizes["T"], self.widths[-1])
        dense = nn.Dense(self.features, dtype=self.dtype, kernel_init=blocks.uniform, name="dense")
        x = nn.tanh(dense(x))
        return norms.BatchNorm(step_axis, name="norm")(x, train=train) if self.final_norm else x


class Generator(nn.Module):
    """G_tem on the windows' centre rows, G_loc on the windows, and a linear map of [c, z].

    Attributes:
      temporal: G_tem.
      local: G_loc.
      attributes: channels out.
    """

    temporal: TemporalNet
    local: LocalNet
    attributes: int = ATTRIBUTES

    @nn.compact
    def __call__(self, windows: jax.Array, state: jax.Array, *, train: bool) -> jax.Array:
        """Makes attributes: [B, T, attributes], unbounded, float32.

        Args:
          windows: [B, T, 16, F] speech features; frame t of the sequence is row 8 of window t. T is
            a multiple of 4, or of 32 with the published code's U-net.
          state: [B, A] attributes of the first frame.
          train: whether batch norm takes the batch's statistics and moves its running ones
            (collection "batch_stats", to be made mutable).

        Raises:
          ValueError: the sizes are not these.
        """
        checks.shapes(windows=(windows, "B T W F"), state=(state, "B A"))
        c = self.local(windows, train=train)
        z = self.temporal(windows[:, :, windows.shape[2] // 2], state, train=train)
        both = jnp.concatenate([c, z], axis=-1).astype(jnp.float32)
        return nn.Dense(self.attributes, kernel_init=blocks.uniform, name="fusion")(both)


def paper(dtype: jnp.dtype = jnp.float32) -> Generator:
    """Returns the generator of the supplement's tables: 1,294,471 parameters."""
    temporal = TemporalNet(AudioEncoder(dtype=dtype), dtype=dtype)
    return Generator(temporal, LocalNet(dtype=dtype))


def released(dtype: jnp.dtype = jnp.float32) -> Generator:
    """Returns the generator of the published code: 9,688,967 parameters."""
    encoder = AudioEncoder(time_pads=RELEASED_PADS, norm_first=True, dtype=dtype)
    temporal = TemporalNet(
        encoder, unet=unet1d.UNETS["tface"], norm_first=True, final_norm=False, dtype=dtype
    )
    return Generator(temporal, LocalNet(final_norm=True, step_norm=True, dtype=dtype))
