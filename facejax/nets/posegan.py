"""PoseGAN: speech and an initial pose -> a sequence of head poses.

Zhang et al., "3D Talking Face with Personalized Pose Dynamics", TVCG 2021; the U-net and the
decoder as in appendix A of its supplement, whose figures with the widths are not in its text. What
the text leaves open follows FACIAL's generator, by the same authors: speech features as in its
Table 1 at twice the length, the initial pose after the U-net. Its discriminator is
`patches.SequenceDiscriminator` or `MotionDiscriminator`. Sequences are [B, T, C].
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax import checks
from facejax.nets import blocks, facial, norms, patches, unet1d

POSE = 6  # pitch, yaw, roll and a translation


class Generator(nn.Module):
    """PoseGAN's generator.

    Attributes:
      encoder_widths: channels of the four convolutions on the speech features.
      unet: makes the U-net; see `unet1d.UNETS`.
      width: channels of the U-net's result and of the decoder.
      use_audio: False: the initial pose takes the place of the speech features (ablation).
      use_initial_pose: False: the net does not see it (ablation).
      dtype: of the computation; the result is float32.
    """

    encoder_widths: tuple[int, int, int, int] = facial.WIDTHS
    unet: Callable[..., nn.Module] = unet1d.UNet1d
    width: int = 256
    use_audio: bool = True
    use_initial_pose: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, audio: jax.Array, initial: jax.Array, more: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Makes poses: [B, T, 6], unbounded, in the normalised units of `initial`.

        Args:
          audio: [B, T, F] speech features, F at least 22; T, 256 in the paper, is a multiple of 32
            (2^n for a U-net of n levels, and of 4). Of a net that uses no audio, only T counts.
          initial: [B, 6] pose of the first frame, each component normalised: radians and
            millimetres differ by three orders.
          more: [B, T, M] what else the U-net is told of each frame, as noise, or who speaks; the
            paper has none.
          train: whether batch norm takes the batch's statistics and moves its running ones
            (collection "batch_stats", to be made mutable).

        Raises:
          ValueError: the sizes are not these, or the net is to use neither input.
        """
        sizes = checks.shapes(audio=(audio, "B T F"), initial=(initial, f"B {POSE}"))
        if not (self.use_audio or self.use_initial_pose):
            raise ValueError("a net without audio and without initial pose has no input")
        if self.use_audio:
            encoder = facial.AudioEncoder(
                self.encoder_widths,
                norm_first=True,
                activation=nn.relu,
                dtype=self.dtype,
                name="encoder",
            )
            x = encoder(audio, train=train)
        else:
            x = jnp.broadcast_to(initial[:, None], (sizes["B"], sizes["T"], POSE))
        if more is not None:
            checks.shapes(audio=(audio, "B T F"), more=(more, "B T M"))
            x = jnp.concatenate([x, more.astype(x.dtype)], axis=-1)
        x = self.unet(features=self.width, dtype=self.dtype, name="unet")(x, train=train)
        if self.use_initial_pose:
            x = blocks.append_vector(x, initial)
        for i in range(2):
            layer = blocks.ConvNorm(self.width, (3,), dtype=self.dtype, name=f"decode_{i}")
            x = layer(x, train=train)
        head = nn.Conv(POSE, (3,), padding=((1, 1),), kernel_init=blocks.uniform, name="pose")
        return head(x.astype(jnp.float32))


class MotionDiscriminator(nn.Module):
    """A one-dimensional patch net on the differences of a sequence, as in Ginosar et al. 2019.

    arXiv:1906.04160; widths double from layer to layer, batch norm on the two in the middle.

    Attributes:
      width: channels of the first layer.
      dtype: of the computation.
    """

    width: int = 64
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> patches.Scores:
        """[B, T, C] -> one scale: scores [B, ~T/4, 1] float32, features of the three layers."""
        x, features = jnp.diff(x, axis=1), []
        for i, stride in enumerate((2, 2, 1)):
            x = self._conv(self.width * 2**i, stride, i == 0, f"conv_{i}")(x)
            x = norms.BatchNorm(name=f"norm_{i}")(x, train=train) if i else x
            x = blocks.leaky_relu(x)
            features.append(x)
        score = self._conv(1, 1, True, "score")(x)
        return patches.Scores((score.astype(jnp.float32),), (tuple(features),))

    def _conv(self, features: int, stride: int, bias: bool, name: str) -> nn.Conv:
        return nn.Conv(
            features,
            (4,),
            stride,
            ((1, 1),),
            use_bias=bias,
            dtype=self.dtype,
            kernel_init=blocks.uniform,
            name=name,
        )
