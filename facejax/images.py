"""Images as arrays: resize, crop, warp by flow, average. [B, H, W, C], pure.

A pixel (row i, column j) has its centre at (x, y) = (j + 0.5, i + 0.5). A flow is a displacement in
pixels, (dx, dy), so that rule drops out of `warp`.
"""

import jax
import jax.numpy as jnp

from facejax import checks


def resize(image: jax.Array, height: int, width: int, *, antialias: bool = True) -> jax.Array:
    """Returns the image [..., h, w, C] at another size, bilinear with half-pixel centres.

    Args:
      image: [..., h, w, C].
      height: of the result.
      width: of the result.
      antialias: whether shrinking averages over the larger footprint.
    """
    checks.shapes(image=(image, "... h w C"))
    shape = (*image.shape[:-3], height, width, image.shape[-1])
    return jax.image.resize(image, shape, "bilinear", antialias=antialias)


def downsample_nearest(image: jax.Array, height: int, width: int) -> jax.Array:
    """Returns every n-th pixel, the top left one of each n x n block: [B, height, width, C].

    The rule of the published SPADE code, a strided slice; `jax.image.resize(..., "nearest")` would
    take another pixel of the block.

    Raises:
      ValueError: the image's size is no whole multiple of the size asked for.
    """
    h, w = image.shape[-3:-1]
    if h % height or w % width:
        raise ValueError(f"image is {h} x {w}; due: a whole multiple of {height} x {width}")
    return image[..., :: h // height, :: w // width, :]


def crop(image: jax.Array, corner: jax.Array, height: int, width: int) -> jax.Array:
    """Returns a window of each image: [B, height, width, C].

    Args:
      image: [B, H, W, C].
      corner: [B, 2] int (x, y) of the window's top left pixel; clamped so that the window stays
        inside the image.
      height: of the window, at most H.
      width: of the window, at most W.

    Raises:
      ValueError: the window is larger than the image.
    """
    sizes = checks.shapes(image=(image, "B H W C"), corner=(corner, "B 2"))
    if height > sizes["H"] or width > sizes["W"]:
        raise ValueError(
            f"window is {height} x {width}; due: at most the image's {sizes['H']} x {sizes['W']}"
        )

    # A negative start would count from the far end.
    x = jnp.clip(corner[:, 0], 0, sizes["W"] - width)
    y = jnp.clip(corner[:, 1], 0, sizes["H"] - height)

    def one(image: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (y, x, 0), (height, width, image.shape[-1]))

    return jax.vmap(one)(image, x, y)


def warp(image: jax.Array, flow: jax.Array) -> jax.Array:
    """Returns out(x, y) = image(x + dx, y + dy): a backward, bilinear warp, borders repeated.

    The coordinates are clamped to the image, which equals clamping the four neighbours.

    Args:
      image: [B, H, W, C] (or [1, H, W, C]: one image warped by every flow), H and W at least 2.
      flow: [B, H, W, 2] (dx, dy) in pixels of this image, float32.

    Returns:
      [B, H, W, C] of the image's dtype.
    """
    sizes = checks.shapes(image=(image[0], "H W C"), flow=(flow, "B H W 2"))
    height, width = sizes["H"], sizes["W"]
    x, x0 = _cell(jnp.arange(width, dtype=flow.dtype)[None, None, :] + flow[..., 0], width)
    y, y0 = _cell(jnp.arange(height, dtype=flow.dtype)[None, :, None] + flow[..., 1], height)
    image = jnp.broadcast_to(image, (sizes["B"], *image.shape[1:]))
    patch = _patches(image, y0, x0)  # [B, H, W, 2, 2, C]
    x = (x - x0)[..., None].astype(image.dtype)
    y = (y - y0)[..., None].astype(image.dtype)
    top = patch[..., 0, 0, :] * (1 - x) + patch[..., 0, 1, :] * x
    bottom = patch[..., 1, 0, :] * (1 - x) + patch[..., 1, 1, :] * x
    return top * (1 - y) + bottom * y


def _cell(coordinate: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """Clamps to [0, size - 1]; returns it and the lower index of its cell, at most size - 2."""
    coordinate = jnp.clip(coordinate, 0, size - 1)
    index = jnp.minimum(jnp.floor(jax.lax.stop_gradient(coordinate)), size - 2)
    return coordinate, index.astype(jnp.int32)


def _patches(image: jax.Array, row: jax.Array, column: jax.Array) -> jax.Array:
    """[B, H, W, C], [B, h, w] twice -> 2 x 2 pixels from (row, column): [B, h, w, 2, 2, C].

    One gather of windows rather than four of pixels: its transpose is one scatter, not four.
    """
    batch = jnp.broadcast_to(jnp.arange(image.shape[0])[:, None, None], row.shape)
    numbers = jax.lax.GatherDimensionNumbers(
        offset_dims=(3, 4, 5), collapsed_slice_dims=(0,), start_index_map=(0, 1, 2)
    )
    return jax.lax.gather(
        image,
        jnp.stack([batch, row, column], -1),
        numbers,
        slice_sizes=(1, 2, 2, image.shape[-1]),
        mode="promise_in_bounds",
    )


def halve_flow(flow: jax.Array) -> jax.Array:
    """Returns the flow of the image at half its size: 2 x 2 means, in the smaller pixels.

    [B, H, W, 2] -> [B, H/2, W/2, 2].
    """
    b, h, w, c = flow.shape
    return jnp.mean(flow.reshape(b, h // 2, 2, w // 2, 2, c), axis=(2, 4)) / 2
