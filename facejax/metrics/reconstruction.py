"""L1 and PSNR of made frames against the true ones (HeadGAN's supplement, section 5)."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax.checks import shapes

RANGE = 255.0
CEILING = 100.0  # dB: equal images would have an infinite PSNR, which JSON cannot hold


class FrameErrors(NamedTuple):
    """Errors of each frame over its pixels and channels, on the scale 0 to 255."""

    absolute: jax.Array  # [...] mean |a - b|
    square: jax.Array  # [...] mean (a - b)^2


def frame_errors(image: jax.Array, target: jax.Array, mask: jax.Array | None = None) -> FrameErrors:
    """Returns the errors of images in [-1, 1], [..., H, W, 3].

    Args:
      image: [..., H, W, 3].
      target: of the same shape.
      mask: [..., H, W, 1] in [0, 1], the weight of each pixel; of weights that are all 0 the
        errors are 0. None: all count alike.

    Raises:
      ValueError: the shapes differ.
    """
    sizes = shapes(image=(image, "... H W C"), target=(target, "... H W C"))
    difference = (image - target) * (RANGE / 2)
    axes = (-3, -2, -1)
    if mask is None:
        return FrameErrors(jnp.abs(difference).mean(axes), jnp.square(difference).mean(axes))
    share = mask / (sizes["C"] * jnp.maximum(mask.sum(axes, keepdims=True), 1e-9))
    return FrameErrors(
        jnp.sum(jnp.abs(difference) * share, axes), jnp.sum(jnp.square(difference) * share, axes)
    )


def psnr(square: np.ndarray | float) -> np.ndarray:
    """Returns 20 log10 255 - 10 log10 MSE in dB, at most CEILING.

    Args:
      square: mean squared error on the scale 0 to 255, any shape.
    """
    least = RANGE**2 * 10 ** (-CEILING / 10)
    return 10 * np.log10(RANGE**2 / np.maximum(np.asarray(square, np.float64), least))


def summary(errors: Sequence[FrameErrors]) -> dict[str, float]:
    """Returns the figures of many frames.

    l1 is the mean over all frames, 0 to 255; psnr is of the MSE pooled over all frames (the
    supplement's), psnr_frame the mean of the frames' own, both in dB.
    """
    absolute = np.concatenate([np.ravel(e.absolute) for e in errors]).astype(np.float64)
    square = np.concatenate([np.ravel(e.square) for e in errors]).astype(np.float64)
    return {
        "l1": float(absolute.mean()),
        "psnr": float(psnr(square.mean())),
        "psnr_frame": float(psnr(square).mean()),
    }
