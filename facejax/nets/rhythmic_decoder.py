"""Rhythmic Head Motion's non-linear composition: parallel SPADEs from landmarks and two images.

Chen et al., ECCV 2020, arXiv:2007.08547, section 4.3 and Fig. 6. At each level of the decoder the
features are normalised without parameters and then scaled and shifted, pixel by pixel, once for
each map: that of the landmarks, with weights that the references gave, and those of the warped
images, with learned weights.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax.nets import blocks
from facejax.nets.rhythmic_blocks import SketchPyramid, doubling
from facejax.nets.rhythmic_fusion import LevelWeights, Pointwise

SKETCH = "sketch"  # name of the map that is always there
Pair = tuple[jax.Array, jax.Array]  # gamma, beta: [B, H, W, C]
Activation = Callable[[jax.Array], jax.Array]


def transposed_pointwise(x: jax.Array, weights: Pointwise) -> jax.Array:
    """A transposed 1x1 convolution, stride 2, output padding 1: [B, H, W, C] -> [B, 2H, 2W, O].

    As the published code has it: pixels of even row and column have a value, the others the bias.
    """
    bias = weights.bias.astype(x.dtype)[:, None, None]
    inside = ((0, 0, 0), (0, 1, 1), (0, 1, 1), (0, 0, 0))
    return jax.lax.pad(weights(x) - bias, jnp.zeros((), x.dtype), inside) + bias


def repeated_pointwise(x: jax.Array, weights: Pointwise) -> jax.Array:
    """A 1x1 convolution of pixels repeated, leaky ReLU: [B, H, W, C] -> [B, 2H, 2W, O].

    Without the holes of `transposed_pointwise`, of which four in a row leave one pixel in 256.
    """
    return blocks.repeat_pixels(blocks.leaky_relu(weights(x)))


class LandmarkEmbedder(nn.Module):
    """phi of the target's landmarks: down to the coarsest level, and up again with theta_S.

    Attributes:
      widths: channels of each level.
      dtype: of the computation.
      climb: `transposed_pointwise` or `repeated_pointwise`.
    """

    widths: tuple[int, ...]
    dtype: jnp.dtype
    climb: Callable[[jax.Array, Pointwise], jax.Array]

    @nn.compact
    def __call__(self, sketch: jax.Array, weights: Sequence[LevelWeights]) -> tuple[jax.Array, ...]:
        """[B, H, W, 1] -> a map for each level, [B, H / 2^i, W / 2^i, widths[i]]."""
        x = SketchPyramid(self.widths, self.dtype, name="down")(sketch)[-1]
        levels = [x]
        for i in reversed(range(len(self.widths) - 1)):
            if i < len(weights):
                x = self.climb(x, weights[i].sketch)
            else:
                x = blocks.leaky_relu(doubling(self.widths[i], self.dtype, f"up_{i}")(x))
            levels.append(x)
        return tuple(reversed(levels))


class Composition(NamedTuple):
    """How what several SPADEs make of x becomes one; both (x, pairs, activation) -> features."""

    main: Callable[[jax.Array, Sequence[Pair], Activation], jax.Array]
    shortcut: Callable[[jax.Array, Sequence[Pair], Activation], jax.Array]


def summed(x: jax.Array, pairs: Sequence[Pair], activation: Activation) -> jax.Array:
    """The sum of what each makes of x: the paper's."""
    terms = [activation(x * (1 + gamma) + beta) for gamma, beta in pairs]
    return functools.reduce(jnp.add, terms)


def averaged(x: jax.Array, pairs: Sequence[Pair], activation: Activation) -> jax.Array:
    """Their mean."""
    return summed(x, pairs, activation) / len(pairs)


def side_by_side(x: jax.Array, pairs: Sequence[Pair], activation: Activation) -> jax.Array:
    """Their channels one after the other."""
    return jnp.concatenate([activation(x * (1 + gamma) + beta) for gamma, beta in pairs], axis=-1)


def cascaded(x: jax.Array, pairs: Sequence[Pair], activation: Activation) -> jax.Array:
    """Each takes what the one before made."""
    for gamma, beta in pairs:
        x = x * (1 + gamma) + beta
    return activation(x)


COMPOSITIONS = {
    "sum": Composition(summed, summed),
    "mean": Composition(averaged, cascaded),
    "concat": Composition(side_by_side, cascaded),
    "cascade": Composition(cascaded, cascaded),
}


def _identity(x: jax.Array) -> jax.Array:
    return x


class Level(nn.Module):
    """(norm, SPADEs, leaky ReLU, 3x3 convolution) twice, added to the input.

    Where the channels change, the input takes SPADEs and a 1x1 convolution without bias.

    Attributes:
      features: channels out.
      composition: of the SPADEs.
      conv: the convolution.
      norm: `BatchNorm` or `InstanceNorm`, without parameters.
      dtype: of the computation.
    """

    features: int
    composition: Composition
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        maps: Mapping[str, jax.Array],
        weights: LevelWeights | None,
        *,
        train: bool,
        suffix: str = "",
    ) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, features].

        Args:
          x: features.
          maps: name -> [B, H, W, c], "sketch" first.
          weights: of the sketch's SPADEs; None: learned ones.
          train: whether statistics move.
          suffix: of the names of statistics: what sees other maps has its own.
        """

        def compose(compose_by: Callable, x: jax.Array, place: str, activation: Activation):
            given = None if weights is None else getattr(weights, place)
            pairs = [
                self._pair(name, value, place, x.shape[-1], given if name == SKETCH else None)
                for name, value in maps.items()
            ]
            normed = self.norm(affine=False, name=f"norm_{place}{suffix}")(x, train=train)
            return compose_by(normed, pairs, activation)

        y = x
        for place in ("first", "second"):
            y = compose(self.composition.main, y, place, blocks.leaky_relu)
            y = self.conv(self.features, 3, padding=1, name=f"conv_{place}")(y, train=train)
        if x.shape[-1] != self.features:
            x = compose(self.composition.shortcut, x, "shortcut", _identity)
            x = self.conv(self.features, 1, bias=False, name="conv_shortcut")(x, train=train)
        return x + y

    def _pair(
        self, name: str, value: jax.Array, place: str, channels: int, given: Pointwise | None
    ) -> Pair:
        if given is None:
            layer = blocks.PlainConv(
                2 * channels,
                1,
                dtype=self.dtype,
                kernel_init=blocks.uniform,
                name=f"{name}_{place}",
            )
            both = layer(value)
        else:
            both = given(value.astype(self.dtype))
        gamma, beta = jnp.split(both, 2, axis=-1)
        return gamma, beta


class Decoder(nn.Module):
    """G: from e_y, the coarsest level, to the image.

    Attributes:
      widths: channels of each level.
      compose_levels: levels 0, ..., n - 1 see the images' maps; the coarser ones the landmarks'.
      composition: of the SPADEs.
      transposed: whether levels are doubled by a transposed convolution (the paper) or by repeating
        pixels (the published code).
      conv: the convolution.
      norm: `BatchNorm` or `InstanceNorm`.
      dtype: of the computation; the image is float32.
    """

    widths: tuple[int, ...]
    compose_levels: int
    composition: Composition
    transposed: bool
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        sketch: Sequence[jax.Array],
        seen: Mapping[str, Sequence[jax.Array]],
        weights: Sequence[LevelWeights],
        *,
        train: bool,
        raw: bool,
    ) -> tuple[jax.Array, jax.Array | None]:
        """Draws the image, and where `raw` is set another that is drawn without the images' maps.

        Args:
          x: [B, h, w, C] e_y.
          sketch: maps of the landmarks, of all levels.
          seen: name -> maps of a warped image, of levels 0, ..., compose_levels - 1 or more.
          weights: of levels 0, ..., adaptive - 1.
          train: whether statistics move.
          raw: whether to draw the second image; with no image seen it would be the first.

        Returns:
          [B, H, W, 3] each, in [-1, 1].
        """
        last = len(self.widths) - 1
        levels = [
            Level(width, self.composition, self.conv, self.norm, self.dtype, name=f"level_{i}")
            for i, width in enumerate(self.widths)
        ]
        doubled: list[Callable] = [blocks.repeat_pixels] * (last + 1)
        if self.transposed:
            doubled = [
                doubling(width, self.dtype, f"double_{i}") for i, width in enumerate(self.widths)
            ]
        head = blocks.PlainConv(3, 3, padding=1, kernel_init=blocks.uniform, name="image")

        def run(x: jax.Array, first: int, end: int, with_images: bool, suffix: str) -> jax.Array:
            for i in reversed(range(end, first + 1)):
                maps = {SKETCH: sketch[i]}
                if with_images and i < self.compose_levels:
                    maps |= {name: found[i] for name, found in seen.items()}
                own = weights[i] if i < len(weights) else None
                x = levels[i](x, maps, own, train=train, suffix=suffix)
                x = doubled[i](x) if i else x
            return x

        def finish(x: jax.Array) -> jax.Array:
            return nn.tanh(head(blocks.leaky_relu(x).astype(jnp.float32)))

        x = run(x, last, self.compose_levels, False, "")
        image = finish(run(x, self.compose_levels - 1, 0, True, ""))
        if not (raw and seen and self.compose_levels):
            return image, None
        return image, finish(run(x, self.compose_levels - 1, 0, False, "_raw"))
