"""Rhythmic Head Motion's warping: a net that sees two drawings of landmarks and one image.

Chen et al., ECCV 2020, arXiv:2007.08547, section 4.3, with the flow net of few-shot vid2vid (Wang
et al. 2019, arXiv:1910.12713). Flow is in pixels, backward; see README, "Coordinate frames".
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax import checks, images
from facejax.nets import blocks, norms
from facejax.nets.rhythmic_blocks import ConvUnit, PreActivation, pyramid


class Warped(NamedTuple):
    """An image moved to the target's landmarks."""

    image: jax.Array  # [B, H, W, 3] in [-1, 1]
    flow: jax.Array  # [B, H, W, 2] px
    weight: jax.Array  # [B, H, W, 1] in [0, 1]: how little the warped image is to be relied on


class FlowNet(nn.Module):
    """The flow from the target to an image, and the attention map beside it.

    Attributes:
      width: channels at full size; they double with each halving.
      downs: halvings.
      residuals: blocks at the coarsest size.
      gain: px that an output of 1 means.
      conv: the convolution.
      norm: `BatchNorm` or `InstanceNorm`.
    """

    width: int
    downs: int
    residuals: int
    gain: float
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(
        self, target: jax.Array, sketch: jax.Array, image: jax.Array, *, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """Returns flow [B, H, W, 2] px and weight [B, H, W, 1] in [0, 1], float32.

        Args:
          target: [B, H, W, 1] the landmarks due, drawn.
          sketch: [B, H, W, 1] the image's landmarks, drawn.
          image: [B, H, W, 3] in [-1, 1]. (The paper names the landmarks alone.)
          train: whether statistics move.
        """
        checks.shapes(
            target=(target, "B H W 1"), sketch=(sketch, "B H W 1"), image=(image, "B H W 3")
        )
        widths = pyramid(self.width, self.downs, self.width * 2**self.downs)

        def unit(x: jax.Array, width: int, stride: int, name: str) -> jax.Array:
            layer = ConvUnit(width, self.conv, self.norm, stride, bias=False, name=name)
            return layer(x, train=train)

        x = jnp.concatenate([target, sketch, image], axis=-1)
        for i, width in enumerate(widths):
            x = unit(x, width, 2 if i else 1, f"down_{i}")
        for i in range(self.residuals):
            x = PreActivation(widths[-1], self.conv, self.norm, name=f"block_{i}")(x, train=train)
        for i in reversed(range(self.downs)):
            x = unit(blocks.repeat_pixels(x), widths[i], 1, f"up_{i}")
        x = x.astype(jnp.float32)  # coordinates need its precision
        flow, weight = (
            blocks.PlainConv(features, 3, padding=1, kernel_init=norms.xavier(), name=name)(x)
            for name, features in (("flow", 2), ("weight", 1))
        )
        return self.gain * flow, nn.sigmoid(weight)


def warp(image: jax.Array, flow: jax.Array, *, align_corners: bool = True) -> jax.Array:
    """Returns the image moved by a backward flow.

    Args:
      image: [B, H, W, 3].
      flow: [B, H, W, 2] px.
      align_corners: False: as the published code samples, whose grid runs from the first pixel's
        centre to the last's and is read as running from edge to edge, so that no flow magnifies
        by W / (W - 1).
    """
    if not align_corners:
        height, width = image.shape[1:3]
        x = jnp.arange(width, dtype=flow.dtype)[None, None, :]
        y = jnp.arange(height, dtype=flow.dtype)[None, :, None]
        x = (x + flow[..., 0]) * (width / (width - 1)) - 0.5 - x
        y = (y + flow[..., 1]) * (height / (height - 1)) - 0.5 - y
        flow = jnp.stack([x, y], axis=-1)
    return images.warp(image, flow)


class Warper(nn.Module):
    """A flow net, and the image warped by it.

    Attributes:
      net: `FlowNet`.
      warps: False: the image stays as it is, beside the net's attention map (the ablation).
      align_corners: of `warp`.
    """

    net: nn.Module
    warps: bool = True
    align_corners: bool = True

    def __call__(
        self, target: jax.Array, sketch: jax.Array, image: jax.Array, *, train: bool
    ) -> Warped:
        """Warps the image; arguments as `FlowNet.__call__`."""
        flow, weight = self.net(target, sketch, image, train=train)
        if not self.warps:
            return Warped(image, flow, weight)
        moved = warp(image, flow, align_corners=self.align_corners)
        return Warped(moved, flow, weight)
