"""PGFace: a window of head poses and speech -> the face's shape.

Zhang et al., "3D Talking Face with Personalized Pose Dynamics", TVCG 2021, appendix B of its
supplement: four convolutions with batch norm and ReLU, then three dense layers. The figure with the
widths is not in its text: they are those of VOCA (Cudeiro et al. 2019), whose windows these are.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax import checks
from facejax.nets import blocks

WINDOW = 16
POSE = 6


class Shape(NamedTuple):
    """Coefficients of a morphable model, in units of its standard deviations."""

    identity: jax.Array  # [..., I]
    expression: jax.Array  # [..., E]


class PGFace(nn.Module):
    """The net.

    Attributes:
      identity: how many coefficients.
      expression: how many coefficients.
      widths: channels of the convolutions, each of which halves the window.
      hidden: of the first dense layer, a tanh, and of the second, linear.
      use_pose: False: the net does not see the pose (ablation).
      dtype: of the computation.
    """

    identity: int = 80
    expression: int = 64
    widths: tuple[int, int, int, int] = (32, 32, 64, 64)
    hidden: tuple[int, int] = (128, 50)
    use_pose: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, windows: jax.Array, *, train: bool) -> Shape:
        """Makes the shape of each window's frame, float32.

        Args:
          windows: [..., 16, 6 + F] poses, each component normalised, then speech features; the
            frame is row 8.
          train: whether batch norm takes the statistics of all windows and moves its running ones
            (collection "batch_stats", to be made mutable).

        Raises:
          ValueError: the sizes are not these.
        """
        channels = checks.shapes(windows=(windows, f"... {WINDOW} C"))["C"]
        if channels <= POSE:
            raise ValueError(f"windows has {channels} channels; due: {POSE} of pose, then speech")
        x = windows if self.use_pose else windows[..., POSE:]
        for i, width in enumerate(self.widths):
            layer = blocks.ConvNorm(width, (3,), stride=2, dtype=self.dtype, name=f"conv_{i}")
            x = layer(x, train=train)
        x = nn.tanh(self._dense(self.hidden[0], "dense_0")(x[..., 0, :]))
        x = self._dense(self.hidden[1], "dense_1")(x)
        x = self._dense(self.identity + self.expression, "shape")(x).astype(jnp.float32)
        return Shape(x[..., : self.identity], x[..., self.identity :])

    def _dense(self, features: int, name: str) -> nn.Dense:
        return nn.Dense(features, dtype=self.dtype, kernel_init=blocks.uniform, name=name)
