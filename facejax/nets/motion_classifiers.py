"""Which of N people a motion belongs to: the nets of FACIAL's personalisation metric.

Zhang et al., ICCV 2021, arXiv:2108.07938, supplement, section 3: convolutions, an average pool and
a dense layer, on the head poses of 128 frames or, as a second net, on their blinks. The text gives
no widths. Motion generated for the k-th person should be classified as theirs. Feed it in units
common to everyone: a normalisation per person would take out what tells people apart.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax import checks
from facejax.nets import blocks


class MotionClassifier(nn.Module):
    """The net of both metrics; they differ in the channels of what they see.

    Attributes:
      people: N, how many.
      widths: channels of the convolutions, each of which halves the length.
    """

    people: int = 5
    widths: tuple[int, ...] = (32, 64, 128, 256)

    @nn.compact
    def __call__(self, motion: jax.Array, *, train: bool) -> jax.Array:
        """Scores each person.

        Args:
          motion: [B, T, C], C = 6 for poses and 1 for blinks; T is 128 in the paper, any here.
          train: whether batch norm takes the batch's statistics and moves its running ones
            (collection "batch_stats", to be made mutable).

        Returns:
          [B, people] logits.
        """
        checks.shapes(motion=(motion, "B T C"))
        x = motion
        for i, width in enumerate(self.widths):
            x = blocks.ConvNorm(width, (3,), stride=2, name=f"conv_{i}")(x, train=train)
        dense = nn.Dense(self.people, kernel_init=blocks.uniform, name="dense")
        return dense(jnp.mean(x, axis=1))
