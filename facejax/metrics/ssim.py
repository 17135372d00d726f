"""SSIM: how alike two images' structure is (Wang et al. 2004, doi:10.1109/TIP.2003.819861)."""

import jax
import jax.numpy as jnp
import numpy as np

from facejax.checks import shapes

WINDOW, SIGMA = 11, 1.5  # px, of the Gaussian around each pixel
K1, K2 = 0.01, 0.03
RANGE = 2.0  # of images in [-1, 1]


def ssim(image: jax.Array, target: jax.Array) -> jax.Array:
    """Returns the mean SSIM of images in [-1, 1], [B], 1 for equal ones.

    Over all windows of 11 px that lie inside the image, and over the channels, each by itself; the
    paper's Gaussian weights and constants.

    Args:
      image: [B, H, W, C], H and W 11 or more.
      target: of the same shape.

    Raises:
      ValueError: the shapes differ, or the images are smaller than a window.
    """
    sizes = shapes(image=(image, "B H W C"), target=(target, "B H W C"))
    if min(sizes["H"], sizes["W"]) < WINDOW:
        raise ValueError(f"image has shape {image.shape}; due: H and W {WINDOW} or more")
    mean_a, mean_b = _blur(image), _blur(target)
    var_a = _blur(image * image) - mean_a**2
    var_b = _blur(target * target) - mean_b**2
    both = _blur(image * target) - mean_a * mean_b
    c1, c2 = (K1 * RANGE) ** 2, (K2 * RANGE) ** 2
    light = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * both + c2) / (var_a + var_b + c2)
    return jnp.mean(light * structure, axis=(1, 2, 3))


def _blur(x: jax.Array) -> jax.Array:
    """Gaussian means of the windows inside: [B, H, W, C] -> [B, H - 10, W - 10, C]."""
    at = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(at**2) / (2 * SIGMA**2))
    weights = weights / weights.sum()
    height, width = (x.shape[axis] - WINDOW + 1 for axis in (1, 2))
    x = sum((w * x[:, k : k + height] for k, w in enumerate(weights)), jnp.zeros(()))
    return sum((w * x[:, :, k : k + width] for k, w in enumerate(weights)), jnp.zeros(()))
