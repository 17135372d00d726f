"""Rhythmic Head Motion's 3D-aware few-shot generator Theta.

Chen et al., ECCV 2020, arXiv:2007.08547, section 4: K references are embedded for the target's
landmarks and give weights; the matched reference and the projected face are warped; the decoder
composes the three.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax.nets.rhythmic_blocks import SketchPyramid
from facejax.nets.rhythmic_decoder import Decoder, LandmarkEmbedder
from facejax.nets.rhythmic_embedding import HybridEmbedding
from facejax.nets.rhythmic_flow import Warped, Warper
from facejax.nets.rhythmic_fusion import Fusion


class Inputs(NamedTuple):
    """What the generator sees. Images in [-1, 1], sketches of landmarks in [0, 1]; R divides B."""

    references: jax.Array  # [R, K, H, W, 3]
    reference_sketches: jax.Array  # [R, K, H, W, 1]
    sketch: jax.Array  # [B, H, W, 1] of the target
    matched: jax.Array  # [B, H, W, 3] the reference whose head is most like the target's
    matched_sketch: jax.Array  # [B, H, W, 1]
    projection: jax.Array  # [B, H, W, 3] the key frame's face in the target's pose, black around
    projection_sketch: jax.Array  # [B, H, W, 1]


class Output(NamedTuple):
    """What the generator makes; None where it has no such part."""

    image: jax.Array  # [B, H, W, 3] in [-1, 1]
    raw: jax.Array | None  # [B, H, W, 3] drawn from the landmarks alone
    blend: jax.Array | None  # [B, H, W, 3] of linear matting: after the projection
    matched: Warped | None
    projection: Warped | None
    attention: jax.Array  # [B, K, H / 4, W / 4]


class Generator(nn.Module):
    """Theta.

    Attributes:
      embedding: of the references.
      fusion: their weights.
      landmark_embedder: of the target's landmarks.
      decoder: of the image.
      matched: warps the matched reference, or None: the generator does not see it.
      projection: warps the projected face, or None.
      matched_embedder: of the warped image, for the decoder; None with linear matting.
      projection_embedder: likewise.
    """

    embedding: HybridEmbedding
    fusion: Fusion
    landmark_embedder: LandmarkEmbedder
    decoder: Decoder
    matched: Warper | None
    projection: Warper | None
    matched_embedder: SketchPyramid | None
    projection_embedder: SketchPyramid | None

    def __call__(self, inputs: Inputs, *, train: bool, raw: bool = False) -> Output:
        """Makes one frame for each target.

        Args:
          inputs: see `Inputs`.
          train: whether statistics move.
          raw: whether `Output.raw` is asked for.
        """
        found = self.embedding(
            inputs.references, inputs.reference_sketches, inputs.sketch, train=train
        )
        weights = self.fusion(found.image, found.landmarks, train=train)
        maps = self.landmark_embedder(inputs.sketch, weights)
        matched, projection = None, None
        if self.matched is not None:
            matched = self.matched(
                inputs.sketch, inputs.matched_sketch, inputs.matched, train=train
            )
        if self.projection is not None:
            projection = self.projection(
                inputs.sketch, inputs.projection_sketch, inputs.projection, train=train
            )
        seen = {}
        for name, embedder, warped in (
            ("matched", self.matched_embedder, matched),
            ("projection", self.projection_embedder, projection),
        ):
            if embedder is not None and warped is not None:
                seen[name] = embedder(jnp.concatenate([warped.image, warped.weight], axis=-1))
        image, drawn = self.decoder(found.image, maps, seen, weights, train=train, raw=raw)
        blend = None
        if not seen and (matched is not None or projection is not None):
            drawn = image
            image, blend = matte(drawn, matched, projection)
        return Output(image, drawn, blend, matched, projection, found.attention)


def matte(
    drawn: jax.Array, matched: Warped | None, projection: Warped | None
) -> tuple[jax.Array, jax.Array | None]:
    """Returns the drawn image laid over the projected face, then over the matched reference.

    Linear matting, the paper's section 2.2 and its ablation: weight x drawn + (1 - weight) x
    warped. The second value is the image after the projection, None where there is none.
    """
    image, blend = drawn, None
    if projection is not None:
        image = blend = image * projection.weight + projection.image * (1 - projection.weight)
    if matched is not None:
        image = image * matched.weight + matched.image * (1 - matched.weight)
    return image, blend
