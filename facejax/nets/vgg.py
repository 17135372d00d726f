"""VGG19's convolutions up to relu5_1, the frozen features of perceptual losses.

Simonyan & Zisserman 2015, arXiv:1409.1556. Its weights come from a file of the user's, in
torchvision's names; fed with images in [-1, 1] without further normalisation, as SPADE's and
HeadGAN's code do.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

# Channels of the convolutions of each stage; a 2x2 max pool lies between stages.
STAGES = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,))
# Each convolution's index in torchvision's `features`.
TORCH_INDICES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)


class Vgg19(nn.Module):
    """Attributes: dtype, of the computation."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array) -> tuple[jax.Array, ...]:
        """[B, H, W, 3] -> relu1_1, relu2_1, relu3_1, relu4_1, relu5_1, at H, H/2, ... H/16."""
        x, features = image.astype(self.dtype), []
        for i, stage in enumerate(STAGES):
            x = nn.max_pool(x, (2, 2), (2, 2)) if i else x
            for j, width in enumerate(stage):
                conv = nn.Conv(width, (3, 3), 1, ((1, 1), (1, 1)), dtype=self.dtype)
                x = nn.relu(conv(x))
                if j == 0:
                    features.append(x)
        return tuple(features)


def from_torch(state: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Returns the parameters of `Vgg19` from a state dict of torchvision's vgg19.

    Raises:
      ValueError: a tensor is missing or has another shape; the message names it.
    """
    params, channels = {}, 3
    widths = [width for stage in STAGES for width in stage]
    for number, (index, width) in enumerate(zip(TORCH_INDICES, widths, strict=True)):
        due = {"weight": (width, channels, 3, 3), "bias": (width,)}
        for part, shape in due.items():
            name = f"features.{index}.{part}"
            if name not in state:
                raise ValueError(f"has no tensor {name!r} (it has {len(state)} others)")
            if state[name].shape != shape:
                raise ValueError(f"tensor {name!r} has shape {state[name].shape}; due: {shape}")
        kernel = np.transpose(state[f"features.{index}.weight"], (2, 3, 1, 0))
        bias = state[f"features.{index}.bias"]
        params[f"Conv_{number}"] = {
            "kernel": np.asarray(kernel, np.float32),
            "bias": np.asarray(bias, np.float32),
        }
        channels = width
    return params
