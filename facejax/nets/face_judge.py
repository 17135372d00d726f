"""A net that says who a face is and where its landmarks are: what judges made frames.

Stands in for ArcFace and a landmark detector where neither's weights are at hand: identity by the
cosine of embeddings, as the face recognition nets that CSIM is usually measured with (normalised
softmax, Wang et al. 2017, arXiv:1704.06369).
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax import checks
from facejax.nets import blocks, norms

SCALE = 16.0  # of the cosines, as logits


class Judged(NamedTuple):
    """What the net says of B images."""

    embedding: Any  # [B, D] of length 1
    landmarks: Any  # [B, 68, 2] as shares of the image's sides
    logits: Any  # [B, N] of the people it was trained on


class FaceJudge(nn.Module):
    """Convolutions that halve the image, then a head for each question.

    Attributes:
      people: N, how many it is trained to tell apart.
      widths: channels of the convolutions.
      size: D.
    """

    people: int
    widths: tuple[int, ...] = (16, 32, 64, 96)
    size: int = 48

    @nn.compact
    def __call__(self, image: jax.Array) -> Judged:
        """[B, H, W, 3] in [-1, 1] -> `Judged`; H and W are those of the training."""
        checks.shapes(image=(image, "B H W 3"))
        x = image
        for i, width in enumerate(self.widths):
            conv = blocks.PlainConv(
                width, 3, stride=2, padding=1, kernel_init=blocks.uniform, name=f"conv_{i}"
            )
            x = blocks.leaky_relu(norms.InstanceNorm(name=f"norm_{i}")(conv(x)) if i else conv(x))
        flat = x.reshape(len(x), -1)
        dense = lambda features, name: nn.Dense(features, kernel_init=blocks.uniform, name=name)
        landmarks = nn.sigmoid(dense(136, "landmarks")(flat)).reshape(-1, 68, 2)
        vector = dense(self.size, "embedding")(flat)
        # Not linalg.norm: its gradient at zero is undefined.
        vector = vector * jax.lax.rsqrt(jnp.sum(vector**2, axis=-1, keepdims=True) + 1e-12)
        people = self.param("people", nn.initializers.normal(1.0), (self.size, self.people))
        people = people / jnp.linalg.norm(people, axis=0, keepdims=True)
        return Judged(vector, landmarks, SCALE * vector @ people)
