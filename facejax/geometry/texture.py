"""Textures: images looked up at coordinates that a surface carries.

A texture spans [0, 1] x [0, 1]: u rises to its right, v downwards, and (0, 0) is the outer corner
of its first texel, whose centre is at (0.5 / W, 0.5 / H). (OpenGL's v rises upwards: use 1 - v.)
"""

import jax
import jax.numpy as jnp

from facejax import checks

FILTERS = ("bilinear", "nearest")
WRAPS = ("clamp", "repeat")


def sample_texture(
    texture: jax.Array, uv: jax.Array, *, filter: str = "bilinear", wrap: str = "clamp"
) -> jax.Array:
    """Returns a texture's values at texture coordinates, [..., H, W, C].

    Differentiable in the texture, and with "bilinear" in the coordinates. Coordinates that are not
    finite, as of pixels that see nothing, give those of (0, 0) and no gradient.

    Args:
      texture: [..., Ht, Wt, C], or [Ht, Wt, C] for every frame alike.
      uv: [..., H, W, 2], as from `interpolate` of the mesh's own.
      filter: "bilinear", or "nearest" (the texel that holds the point).
      wrap: what lies beyond the texture: "clamp", its outermost texels, or "repeat", itself.

    Raises:
      ValueError: wrong shapes, or an unknown filter or wrap.
    """
    checks.shapes(texture=(texture, "... P Q C"), uv=(uv, "... H W 2"))
    if filter not in FILTERS or wrap not in WRAPS:
        raise ValueError(f"filter={filter!r}, wrap={wrap!r}; due: one of {FILTERS}, {WRAPS}")
    batch, shared = uv.shape[:-3], texture.ndim == 3
    if not shared and texture.shape[:-3] != batch:
        raise ValueError(f"texture has batch axes {texture.shape[:-3]}, uv has {batch}")
    texture, uv = jnp.asarray(texture), jnp.asarray(uv)
    finite = jnp.isfinite(uv).all(axis=-1, keepdims=True)
    uv = jnp.where(finite, uv, 0.0)

    def one(texture: jax.Array, uv: jax.Array) -> jax.Array:
        look = _bilinear if filter == "bilinear" else _nearest
        return look(texture, uv[..., 0], uv[..., 1], wrap)

    flat = uv.reshape(-1, *uv.shape[-3:])
    if shared:
        image = jax.vmap(lambda uv: one(texture, uv))(flat)
    else:
        image = jax.vmap(one)(texture.reshape(-1, *texture.shape[-3:]), flat)
    return image.reshape(*uv.shape[:-1], texture.shape[-1])


def _bilinear(texture: jax.Array, u: jax.Array, v: jax.Array, wrap: str) -> jax.Array:
    height, width, _ = texture.shape
    x, y = u * width - 0.5, v * height - 0.5
    left, top = jnp.floor(x), jnp.floor(y)
    across, down = (x - left)[..., None], (y - top)[..., None]
    column, row = left.astype(jnp.int32), top.astype(jnp.int32)

    def texel(dx: int, dy: int) -> jax.Array:
        return _rows(texture, column + dx, row + dy, wrap)

    above = texel(0, 0) * (1 - across) + texel(1, 0) * across
    below = texel(0, 1) * (1 - across) + texel(1, 1) * across
    return above * (1 - down) + below * down


def _nearest(texture: jax.Array, u: jax.Array, v: jax.Array, wrap: str) -> jax.Array:
    height, width, _ = texture.shape
    column, row = (jnp.floor(at * size) for at, size in ((u, width), (v, height)))
    return _rows(texture, column.astype(jnp.int32), row.astype(jnp.int32), wrap)


def _rows(texture: jax.Array, column: jax.Array, row: jax.Array, wrap: str) -> jax.Array:
    """The texels at [H, W] columns and rows, as whole rows of one flat table: the quick layout."""
    height, width, channels = texture.shape
    if wrap == "clamp":
        column, row = jnp.clip(column, 0, width - 1), jnp.clip(row, 0, height - 1)
    else:
        column, row = column % width, row % height
    return texture.reshape(-1, channels).at[row * width + column].get(mode="promise_in_bounds")
