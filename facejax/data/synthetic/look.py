"""How a person looks: colours, hair, grooming, clothes, background and light, drawn from a seed.

Colours are sRGB in [0, 1]; the tables below are in 0 to 255. A `Look` holds numbers only, so that
one compiled function paints everybody.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax.geometry import shade

_SKIN = np.array([[248, 214, 190], [236, 188, 152], [205, 150, 112], [160, 108, 76], [108, 70, 50]])
_IRIS = np.array([[96, 62, 36], [84, 118, 150], [88, 112, 74], [58, 38, 24], [118, 132, 138]])
_HAIR = np.array([[24, 20, 20], [50, 32, 22], [92, 58, 34], [128, 56, 30], [160, 122, 74],
                  [214, 178, 116], [150, 150, 150], [226, 222, 214]])  # fmt: skip
_CLOTH = np.array([[44, 62, 92], [150, 46, 50], [236, 234, 228], [38, 40, 44], [64, 110, 92],
                   [206, 170, 92], [120, 138, 170], [112, 74, 122], [198, 120, 100]])  # fmt: skip
_WALL = np.array([[188, 200, 206], [206, 196, 180], [96, 112, 126], [148, 164, 146], [70, 74, 84],
                  [202, 182, 180], [120, 104, 96], [160, 176, 204]])  # fmt: skip

# y (mm) where the hair ends at these azimuths, 0 (front) to pi (back): the end of each strand.
AZIMUTHS = np.array([0.0, 0.3, 0.55, 0.75, 0.9, 1.05, 1.2, 1.42, 1.6, 2.05, np.pi])
STYLES = {  # ends, thickness on top and at the sides, hang and wave
    "cropped": ((70, 70, 67, 62, 52, 36, 18, -6, 10, -38, -56), 4.0, 2.2, 0.0, 0.2),
    "short": ((68, 69, 66, 60, 50, 32, 12, -12, 12, -44, -60), 14.0, 5.0, 0.0, 0.8),
    "swept": ((66, 68, 66, 62, 54, 38, 14, -10, 10, -44, -62), 21.0, 6.0, 0.0, 1.0),
    "fringe": ((36, 37, 40, 42, 36, 24, 6, -16, 4, -50, -66), 13.0, 8.0, 0.0, 0.7),
    "curly": ((60, 60, 56, 50, 40, 24, 4, -18, -12, -52, -70), 24.0, 18.0, 0.3, 4.0),
    "bob": ((66, 63, 55, 40, 16, -24, -68, -92, -96, -98, -98), 14.0, 12.0, 0.9, 0.7),
    "fringed bob": ((27, 28, 29, 28, 18, -20, -64, -88, -92, -94, -94), 13.0, 12.0, 0.9, 0.5),
    "long": ((68, 64, 54, 34, 4, -50, -110, -165, -168, -170, -170), 13.0, 12.0, 0.95, 1.2),
    "waves": ((66, 60, 50, 30, 0, -50, -105, -150, -160, -165, -165), 15.0, 16.0, 1.0, 3.4),
    "tied": ((70, 69, 66, 62, 56, 44, 28, 4, 22, -30, -52), 9.0, 4.0, 0.0, 0.4),
}
_LONG = ("bob", "fringed bob", "long", "waves", "tied")


class Look(NamedTuple):
    """One person's appearance and surroundings. Leading batch axes `...` on every field alike."""

    skin: jax.Array  # [..., 3]
    lips: jax.Array  # [..., 3]
    iris: jax.Array  # [..., 3]
    hair: jax.Array  # [..., 3]
    brow: jax.Array  # [..., 3] mm: thickness, lift and arch
    groom: jax.Array  # [..., 6] in [0, 1]: blush, freckles, stubble, beard, lashes, eye shadow
    phase: jax.Array  # [..., 8] rad: where the person's textures begin
    hairline: jax.Array  # [..., 2] mm higher at the middle and at the temples than usual
    cloth: jax.Array  # [..., 2, 3] the two colours
    collar: jax.Array  # [..., 3] mm: depth and half-width of the neckline; stripes in [0, 1]
    wall: jax.Array  # [..., 2, 3] above and below
    shapes: jax.Array  # [..., 5, 7] blurred things behind: x, y, radii, blur, then shade and kind
    light: jax.Array  # [..., 9, 3] spherical harmonics
    key: jax.Array  # [..., 3] direction of the strongest light, unit length
    hair_ends: jax.Array  # [..., 8] mm: y at AZIMUTHS where the hair ends
    hair_shape: jax.Array  # [..., 6] thickness on top and sides, hang, wave, parting, bun
    build: jax.Array  # [..., 2] widths of neck and shoulders, 1 is usual


def draw(rng: np.random.Generator) -> Look:
    """Returns a random person's look, without batch axes, float32."""
    style = list(STYLES)[rng.integers(len(STYLES))]
    long = style in _LONG
    tone = rng.beta(1.1, 1.5)
    light, key = _light(rng)
    values: dict[str, Any] = _colors(rng, long, tone) | {
        "groom": _groom(rng, long, tone),
        "brow": np.r_[
            rng.uniform(2.0, 3.0) if long else rng.uniform(2.8, 4.2), rng.normal(0, 1.2, 2)
        ],
        "phase": rng.uniform(0, 2 * np.pi, 8),
        "hairline": np.zeros(2) if long else rng.uniform(0, [8, 14]),
        "cloth": _CLOTH[rng.choice(len(_CLOTH), 2, replace=False)] * rng.uniform(0.8, 1.1) / 255,
        "collar": np.array([rng.uniform(4, 46), rng.uniform(34, 52), rng.random() < 0.3]),
        "wall": _wall(rng),
        "shapes": _shapes(rng),
        "light": light,
        "key": key,
        "hair_ends": _ends(rng, style),
        "hair_shape": _hair_shape(rng, style),
        "build": rng.uniform([0.8, 0.88], [0.92, 1.02] if long else [1.12, 1.1]),
    }
    values = {name: np.asarray(value, np.float32) for name, value in values.items()}
    return Look(**values)


def _colors(rng: np.random.Generator, long: bool, tone: float) -> dict[str, np.ndarray]:
    """Returns the colours of skin, lips, eyes and hair: dark skin goes with dark eyes and hair."""
    dark = tone > 0.55
    skin = _blend(_SKIN, tone * 4) * rng.uniform(0.95, 1.04, 3) / 255
    eyes = (0.5, 0, 0.05, 0.45, 0) if dark else (0.28, 0.25, 0.2, 0.15, 0.12)
    shades = (0.14, 0.2, 0.2, 0.12, 0.12, 0.13, 0.05, 0.04)
    shades = (0.6, 0.3, 0.05, 0, 0, 0, 0.05, 0) if dark else shades
    red = np.array([0.72, 0.30, 0.30]) * (rng.uniform(0.9, 1.25) if long else 1.0)
    return {
        "skin": skin,
        "lips": skin * np.array([0.64, 0.47, 0.47]) + red * (0.42 if long else 0.2),
        "iris": _IRIS[rng.choice(5, p=eyes)] * rng.uniform(0.85, 1.2) / 255,
        "hair": _HAIR[rng.choice(8, p=shades)] * rng.uniform(0.85, 1.15) / 255,
    }


def _groom(rng: np.random.Generator, long: bool, tone: float) -> np.ndarray:
    blush, freckles = rng.uniform(0.08, 0.4), rng.uniform(0.3, 1)
    freckles *= rng.random() < 0.25 and tone < 0.55
    if long:
        return np.array([blush, freckles, 0, 0, rng.uniform(0.7, 1), rng.uniform(0, 0.7)])
    beard = rng.uniform(0.6, 1) * (rng.random() < 0.4)
    return np.array([blush, freckles, rng.uniform(0, 0.8), beard, rng.uniform(0.2, 0.5), 0])


def _blend(table: np.ndarray, place: float) -> np.ndarray:
    return np.array([np.interp(place, np.arange(len(table)), column) for column in table.T])


def _ends(rng: np.random.Generator, style: str) -> np.ndarray:
    ends = np.array(STYLES[style][0], float)
    return ends + rng.normal(0, 2.0) + np.where(ends < -80, rng.uniform(-12, 22), 0)


def _hair_shape(rng: np.random.Generator, style: str) -> np.ndarray:
    _, top, side, hang, wave = STYLES[style]
    thick = rng.uniform(0.8, 1.25)
    parting = rng.choice([-1.0, 1.0]) * rng.uniform(0.15, 0.6)
    return np.array(
        [top * thick, side * thick, hang, wave * rng.uniform(0.8, 1.2), parting, style == "tied"]
    )


def _wall(rng: np.random.Generator) -> np.ndarray:
    color = _WALL[rng.integers(len(_WALL))] * rng.uniform(0.85, 1.1)
    below = color * rng.uniform(0.55, 0.85) + _WALL[rng.integers(len(_WALL))] * 0.12
    return np.stack([color, below]) / 255


def _shapes(rng: np.random.Generator) -> np.ndarray:
    """Out-of-focus discs and panels, in units of half the image."""
    rows = []
    for _ in range(5):
        tint = np.mean(_WALL[rng.integers(len(_WALL))]) * rng.uniform(0.5, 1.25) / 255
        place, radii, blur = (
            rng.uniform(-1.1, 1.1, 2),
            rng.uniform(0.15, 0.5, 2),
            rng.uniform(0.06, 0.22),
        )
        rows.append(np.r_[place, radii, blur, tint, rng.random() < 0.5])
    return np.array(rows)


def _light(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns harmonics [9, 3] of a sky, a key and a fill light, and the key's direction."""
    side = rng.choice([-1.0, 1.0])
    key = _direction(side * rng.uniform(0.25, 0.95), rng.uniform(0.25, 0.75))
    fill = _direction(-side * rng.uniform(0.5, 1.2), rng.uniform(-0.1, 0.3))
    warm = rng.uniform(-0.06, 0.08)
    key_color = np.array([1 + warm, 1.0, 1 - warm]) * rng.uniform(0.62, 0.82)
    fill_color = np.array([1 - warm, 1.0, 1 + warm]) * rng.uniform(0.08, 0.24)
    light = np.zeros((9, 3))
    light[0] = rng.uniform(0.24, 0.36) / shade.SH_CONSTANT
    light[1] = rng.uniform(0.05, 0.12) / shade.SH_LINEAR
    # A clamped cosine keeps these shares of the harmonics of each degree (Ramamoorthi & Hanrahan).
    kept = np.repeat([np.pi, 2 * np.pi / 3, np.pi / 4], [1, 3, 5])[:, None]
    for direction, color in ((key, key_color), (fill, fill_color)):
        light += (
            kept * np.asarray(shade.spherical_harmonics(jnp.asarray(direction)))[:, None] * color
        )
    return light, key


def _direction(azimuth: float, elevation: float) -> np.ndarray:
    across = np.cos(elevation)
    return np.array(
        [across * np.sin(azimuth), np.sin(elevation), across * np.cos(azimuth)], np.float32
    )
