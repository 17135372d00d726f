"""HeadGAN's generator: the dense-flow net F and the rendering net R.

Doukas, Zafeiriou & Sharmanska, ICCV 2021, arXiv:2012.08261; layers as in Tables 1 and 2 of its
supplement. Images are [B, H, W, C]; flows are in pixels, (dx, dy). Level 0 is full resolution,
level i has H / 2^i.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax import checks, images
from facejax.nets import blocks, norms

WARPED_BOUND = 0.998  # a quarter of a grey level from black and white


class Warped(NamedTuple):
    """What F hands to R: the reference, moved to the driving pose."""

    image: jax.Array  # [B, H, W, 3] in [-1, 1]
    features: tuple[jax.Array, ...]  # level i: [B, H / 2^i, W / 2^i, C_i]
    flow: jax.Array  # [B, H, W, 2] pixels
    mask: jax.Array  # [B, H, W, 1] in [0, 1], already multiplied into the flow


class Output(NamedTuple):
    """What the generator makes."""

    image: jax.Array  # [B, H, W, 3] in [-1, 1]
    warped: jax.Array  # [B, H, W, 3] in [-1, 1]
    flow: jax.Array  # [B, H, W, 2] pixels
    mask: jax.Array  # [B, H, W, 1] in [0, 1]


def _head(features: int, name: str) -> nn.Conv:
    """A 7x7 convolution for a reflect-padded input, in float32: coordinates need its precision."""
    return nn.Conv(features, (7, 7), padding="VALID", kernel_init=norms.xavier(), name=name)


class Encoder(nn.Module):
    """Halves the image once a level: convolution, instance norm, ReLU (Tables 1 and 2, top rows).

    Attributes:
      widths: channels of each level.
      conv: the convolution.
      dtype: of the computation.
    """

    widths: tuple[int, ...]
    conv: Callable[..., nn.Module]
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """[B, H, W, C] -> the features of every level."""
        x = blocks.reflect_pad(x.astype(self.dtype), 3)
        levels = []
        for i, width in enumerate(self.widths):
            shape = {"kernel": 3, "stride": 2, "padding": 1} if i else {"kernel": 7}
            x = self.conv(width, **shape, bias=False, name=f"conv_{i}")(x, train=train)
            x = nn.relu(norms.InstanceNorm(name=f"norm_{i}")(x))
            levels.append(x)
        return tuple(levels)


class Decoding(NamedTuple):
    """How both decoders climb one level."""

    upsample: Callable[[jax.Array], jax.Array]
    shrink: int  # by which `upsample` divides the channels


SHUFFLED = Decoding(blocks.pixel_shuffle, 4)
REPEATED = Decoding(blocks.repeat_pixels, 1)


class FlowNet(nn.Module):
    """Dense-flow net F, supplement Table 1.

    Attributes:
      widths: channels of each level.
      decoding: how to climb a level.
      block: a SpadeBlock with all but `features` bound.
      conv: the encoder's convolution.
      mask_head: whether a mask in [0, 1] is predicted and multiplied into the flow.
      dtype: of the computation; flow and mask are float32.
    """

    widths: tuple[int, ...]
    decoding: Decoding
    block: Callable[..., nn.Module]
    conv: Callable[..., nn.Module]
    mask_head: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, reference: jax.Array, label: jax.Array, *, train: bool) -> Warped:
        """Warps the reference.

        Args:
          reference: [B or 1, H, W, 6] reference 3-D face in [0, 1], then image in [-1, 1].
          label: [B, H, W, 3 K] driving 3-D faces in [0, 1], oldest first.
          train: whether the spectral vectors move.
        """
        features = Encoder(self.widths, self.conv, self.dtype, name="encoder")(
            reference, train=train
        )
        condition = label.astype(self.dtype)
        x = features[-1]
        for i in range(2):
            x = self.block(self.widths[-1], name=f"deep_{i}")(x, condition, train=train)
        for i in reversed(range(len(self.widths) - 1)):
            width = self.widths[i] * self.decoding.shrink
            x = self.block(width, name=f"decode_{i}")(x, condition, train=train)
            x = self.decoding.upsample(x)
        x = blocks.reflect_pad(x, 3).astype(jnp.float32)
        flow = _head(2, "flow")(x)
        mask = jnp.ones((*flow.shape[:-1], 1))
        if self.mask_head:
            mask = (nn.tanh(_head(1, "mask")(x)) + 1) / 2
            flow = flow * mask
        return _warp(reference[..., 3:], features, flow, mask)


def _warp(image: jax.Array, features, flow: jax.Array, mask: jax.Array) -> Warped:
    """Warps the image and the features of every level by one full-resolution flow."""
    warped, level_flow = [images.warp(features[0], flow)], flow
    for level in features[1:]:
        level_flow = images.halve_flow(level_flow)
        warped.append(images.warp(level, level_flow))
    return Warped(images.warp(image, flow), tuple(warped), flow, mask)


class StillNet(nn.Module):
    """In the place of F: the reference's features where they are, no flow (the paper's ablation).

    Attributes:
      widths: channels of each level.
      conv: the encoder's convolution.
      dtype: of the computation.
    """

    widths: tuple[int, ...]
    conv: Callable[..., nn.Module]
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, reference: jax.Array, label: jax.Array, *, train: bool) -> Warped:
        """As `FlowNet.__call__`; the flow is zero and the mask one."""
        b, h, w, _ = label.shape
        features = Encoder(self.widths, self.conv, self.dtype, name="encoder")(
            reference, train=train
        )
        features = tuple(jnp.broadcast_to(x, (b, *x.shape[1:])) for x in features)
        image = jnp.broadcast_to(reference[..., 3:], (b, h, w, 3))
        return Warped(image, features, jnp.zeros((b, h, w, 2)), jnp.ones((b, h, w, 1)))


class Renderer(nn.Module):
    """Rendering net R, supplement Table 2.

    Attributes:
      widths: channels of each level.
      decoding: how to climb a level.
      spade: a SpadeBlock with all but `features` bound.
      adain: an AdainBlock with all bound.
      conv: the encoder's convolution.
      from_warped: whether the net draws what the warped image lacks, before the tanh, in the place
        of the whole image. Not in the paper: it saves the thousands of steps in which R learns to
        let the warped image through.
      dtype: of the computation.
    """

    widths: tuple[int, ...]
    decoding: Decoding
    spade: Callable[..., nn.Module]
    adain: Callable[..., nn.Module]
    conv: Callable[..., nn.Module]
    from_warped: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, label: jax.Array, warped: Warped, audio: jax.Array | None, *, train: bool
    ) -> jax.Array:
        """Draws the image.

        Args:
          label: [B, H, W, 3 K] driving 3-D faces in [0, 1], oldest first.
          warped: what F made.
          audio: [B, A] features of the frame, or None: a net without the audio blocks.
          train: whether the spectral vectors move.

        Returns:
          [B, H, W, 3] in [-1, 1], float32.
        """
        x = Encoder(self.widths, self.conv, self.dtype, name="encoder")(label, train=train)[-1]
        for i in reversed(range(len(self.widths))):
            width = self.widths[i - 1] * self.decoding.shrink if i else self.widths[0]
            x = self.spade(width, name=f"spade_{i}")(x, warped.features[i], train=train)
            if audio is not None:
                x = self.adain(name=f"adain_{i}")(x, audio, train=train)
            if i:
                x = self.decoding.upsample(x)
        condition = warped.image.astype(self.dtype)
        x = self.spade(self.widths[0], name="spade_image")(x, condition, train=train)
        x = blocks.reflect_pad(blocks.leaky_relu(x), 3)
        x = _head(3, "image")(x.astype(jnp.float32))
        if self.from_warped:  # the bound keeps the inverse of tanh finite
            x = x + jnp.arctanh(jnp.clip(warped.image, -WARPED_BOUND, WARPED_BOUND))
        return nn.tanh(x)


class Generator(nn.Module):
    """F, then R.

    Attributes:
      flow_net: `FlowNet` or `StillNet`.
      renderer: `Renderer`.
    """

    flow_net: nn.Module
    renderer: nn.Module

    def __call__(
        self, reference: jax.Array, label: jax.Array, audio: jax.Array | None, *, train: bool
    ) -> Output:
        """Makes the driving frames with the reference's looks.

        Args:
          reference: [B or 1, H, W, 6] reference 3-D face in [0, 1], then image in [-1, 1].
          label: [B, H, W, 3 K] driving 3-D faces in [0, 1], oldest first.
          audio: [B, A], or None: a net without audio.
          train: whether the spectral vectors move (collection "stats", to be made mutable).

        Raises:
          ValueError: sizes differ, or are no multiple of the number of levels' 2^n.
        """
        checks.shapes(reference=(reference[0], "H W 6"), label=(label[0], "H W L"))
        warped = self.flow_net(reference, label, train=train)
        image = self.renderer(label, warped, audio, train=train)
        return Output(image, warped.image, warped.flow, warped.mask)
