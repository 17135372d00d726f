"""Rhythmic Head Motion's hybrid embedding: K references, as a target pose needs them.

Chen et al., ECCV 2020, arXiv:2007.08547, section 4.2, eq. 3, 4 and 6. Everything up to a quarter of
the size is made of each reference alone; there the K features become one, weighted pixel by pixel
by how much each reference's landmarks look like the target's.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax import checks
from facejax.nets.rhythmic_blocks import ConvUnit, PreActivation

MERGE_LEVEL = 2  # at whose size the references become one


class Embedding(NamedTuple):
    """What the references give; h, w are those of the coarsest level."""

    image: jax.Array  # [B, h, w, C] e_y
    landmarks: jax.Array  # [B, h, w, C] e_l
    attention: jax.Array  # [B, K, H / 4, W / 4] alpha, 1 in sum over K


class SketchEncoder(nn.Module):
    """E_A's half: landmarks to features at a quarter of the size.

    Attributes:
      widths: channels of levels 0, 1, 2.
      conv: the convolution.
      norm: `BatchNorm` or `InstanceNorm`.
    """

    widths: tuple[int, ...]
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """[B, H, W, 1] -> [B, H / 4, W / 4, C]."""
        for i, width in enumerate(self.widths):
            stride = 2 if i else 1
            x = ConvUnit(width, self.conv, self.norm, stride, name=f"level_{i}")(x, train=train)
        return x


def for_targets(x: jax.Array, count: int) -> jax.Array:
    """Repeats rows [R, ...] of clips for their targets, in order of the clips: [count, ...]."""
    return jnp.repeat(x, count // len(x), axis=0)


def attention(key: jax.Array, query: jax.Array) -> jax.Array:
    """Returns softmax over K of the dot product over channels (eq. 3), [B, K, h, w] float32.

    The paper prints an element-wise product; the published code sums it over the channels. The
    energies are not scaled.

    Args:
      key: [R, K, h, w, C] of the references, R divides B.
      query: [B, h, w, C] of the targets.
    """
    checks.shapes(key=(key[0], "K h w C"), query=(query, "B h w C"))
    key = for_targets(key, len(query))
    energy = jnp.sum((key * query[:, None]).astype(jnp.float32), axis=-1)
    return jax.nn.softmax(energy, axis=1)


class Merge(nn.Module):
    """Eq. 6: information exchange, ConvGate and attention combine.

    Attributes:
      conv: the convolution.
      norm: `BatchNorm` or `InstanceNorm`.
      gate_layers: convolutions of a ConvGate: 2 (the paper) or 1 (the published code).
    """

    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]
    gate_layers: int

    @nn.compact
    def __call__(
        self, image: jax.Array, landmarks: jax.Array, alpha: jax.Array, *, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """Returns q_y and q_l, [B, h, w, C] each.

        Args:
          image: [R, K, h, w, C] of the references' images, R divides B.
          landmarks: of their landmarks.
          alpha: [B, K, h, w].
          train: whether statistics move.
        """
        width = image.shape[-1]
        both = jnp.concatenate([image, landmarks], axis=-1)
        exchanged = PreActivation(width, self.conv, self.norm, name="exchange")(
            _flat(both), train=train
        )
        merged = []
        for name, x in (("image", image), ("landmarks", landmarks)):
            seen = jnp.concatenate([_flat(x), exchanged], axis=-1)
            refined = ConvUnit(width, self.conv, self.norm, name=f"refine_{name}")(
                seen, train=train
            )
            gated = self._gate(x, f"gate_{name}", train)
            gated = for_targets(gated, len(alpha))
            merged.append(weigh(refined.reshape(x.shape), alpha) + gated)
        return merged[0], merged[1]

    def _gate(self, x: jax.Array, name: str, train: bool) -> jax.Array:
        """ConvGate: the references side by side, [R, K, h, w, C] -> [R, h, w, C]."""
        references, count, height, width, channels = x.shape
        x = jnp.moveaxis(x, 1, 3).reshape(references, height, width, count * channels)
        for i in range(self.gate_layers):
            features = channels * 2 ** (self.gate_layers - 1 - i)
            x = ConvUnit(features, self.conv, self.norm, name=f"{name}_{i}")(x, train=train)
        return x


def weigh(features: jax.Array, alpha: jax.Array) -> jax.Array:
    """Returns the sum over K of alpha [B, K, h, w] x features [R, K, h, w, C], [B, h, w, C]."""
    features = for_targets(features, len(alpha))
    return jnp.sum(alpha[..., None].astype(features.dtype) * features, axis=1)


def _flat(x: jax.Array) -> jax.Array:
    """[R, K, h, w, C] -> [R K, h, w, C]."""
    return x.reshape(-1, *x.shape[2:])


class HybridEmbedding(nn.Module):
    """E_A, E_I and E_L.

    Attributes:
      widths: channels of levels 0, ..., downs; downs is 2 or more.
      conv: the convolution.
      norm: `BatchNorm` or `InstanceNorm`.
      attend: False: the mean over the references (the ablation).
      exchange: whether features are exchanged and gated where K > 1; then the weights are for that
        K. Otherwise the net is for any K, and in which order the references come does not matter.
      gate_layers: of `Merge`.
      shared: whether references and target go through one activation encoder, as eq. 3 has it, or
        through two, as the published code has it.
    """

    widths: tuple[int, ...]
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]
    attend: bool = True
    exchange: bool = True
    gate_layers: int = 2
    shared: bool = False

    @nn.compact
    def __call__(
        self, images: jax.Array, sketches: jax.Array, target: jax.Array, *, train: bool
    ) -> Embedding:
        """Embeds the references for each target.

        Args:
          images: [R, K, H, W, 3] references in [-1, 1], R divides B.
          sketches: [R, K, H, W, 1] their landmarks, drawn, in [0, 1].
          target: [B, H, W, 1] the landmarks due.
          train: whether statistics move.

        Raises:
          ValueError: sizes differ.
        """
        checks.shapes(
            images=(images, "R K H W 3"),
            sketches=(sketches, "R K H W 1"),
            target=(target[0], "H W 1"),
        )
        count = images.shape[1]
        alpha = self._attention(sketches, target, train)
        image, landmarks = (
            self._levels(_flat(x), name, 0, train)
            for name, x in (("image", images), ("landmarks", sketches))
        )
        image, landmarks = (x.reshape(-1, count, *x.shape[1:]) for x in (image, landmarks))
        if self.exchange and count > 1:
            merge = Merge(self.conv, self.norm, self.gate_layers, name="merge")
            image, landmarks = merge(image, landmarks, alpha, train=train)
        else:
            image, landmarks = weigh(image, alpha), weigh(landmarks, alpha)
        first = MERGE_LEVEL + 1
        image = self._levels(image, "image", first, train)
        landmarks = self._levels(landmarks, "landmarks", first, train)
        return Embedding(image, landmarks, alpha)

    def _attention(self, sketches: jax.Array, target: jax.Array, train: bool) -> jax.Array:
        rows, count, height, width, _ = sketches.shape
        if count == 1 or not self.attend:
            shape = (target.shape[0], count, height // 4, width // 4)
            return jnp.full(shape, 1 / count)
        widths = self.widths[: MERGE_LEVEL + 1]
        encoder = SketchEncoder(widths, self.conv, self.norm, name="key")
        key = encoder(_flat(sketches), train=train)
        if not self.shared:
            encoder = SketchEncoder(widths, self.conv, self.norm, name="query")
        query = encoder(target, train=train)
        return attention(key.reshape(rows, count, *key.shape[1:]), query)

    def _levels(self, x: jax.Array, name: str, first: int, train: bool) -> jax.Array:
        """Runs levels 0 to 2 (first = 0), or those after them."""
        last = len(self.widths) if first else MERGE_LEVEL + 1
        for i in range(first, last):
            unit = ConvUnit(self.widths[i], self.conv, self.norm, 2 if i else 1, name=f"{name}_{i}")
            x = unit(x, train=train)
        return x
