"""The two learners of Rhythmic Head Motion that hear: expression (Psi) and head motion (Phi).

Chen et al., ECCV 2020, sections 3.2, 3.3, A.1 and A.2. The layers' numbers are not in its text but
in the authors' published code. Sound is raw; any rate will do, as sizes follow from the input.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from facejax import checks
from facejax.nets import norms

WINDOW = 7  # chunks, each the sound of a frame, with which a frame is heard: 3 on either side
SLOPE = 0.3  # of every leaky ReLU
EXPRESSION_WIDTHS = (64, 64, 128, 128, 256, 256, 512)
KERNEL = 21  # of Psi's convolutions, whose stride is 2
SPREAD = 1e-8  # added to variances under a root: its gradient at 0 is infinite
normal = nn.initializers.normal(0.02)


def _activate(x: jax.Array) -> jax.Array:
    return nn.leaky_relu(x, SLOPE)


class ExpressionNet(nn.Module):
    """Psi: the sound around one frame and a reference face -> landmark components.

    Attributes:
      widths: channels of the convolutions, each of which halves the sound.
      hidden: numbers of each of the two vectors that are joined.
      dropout: share left out after each convolution and of the reference.
      dtype: of the computation.
    """

    widths: tuple[int, ...] = EXPRESSION_WIDTHS
    hidden: int = 256
    dropout: float = 0.2
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, audio: jax.Array, reference: jax.Array, *, train: bool) -> jax.Array:
        """[B, n], [B, K] -> [B, K] float32.

        In training batch norm moves its statistics ("batch_stats") and a "dropout" key is due.

        Raises:
          ValueError: too few samples for so many convolutions.
        """
        sizes = checks.shapes(audio=(audio, "B n"), reference=(reference, "B K"))
        left = sizes["n"]
        for _ in self.widths:
            left = (left - KERNEL) // 2 + 1
        if left < 1:
            raise ValueError(
                f"audio has shape {audio.shape}; due: more samples, or fewer widths than "
                f"{len(self.widths)}"
            )
        drop = nn.Dropout(self.dropout, deterministic=not train)
        x = audio[..., None].astype(self.dtype)
        for i, width in enumerate(self.widths):
            x = nn.Conv(
                width, (KERNEL,), 2, "VALID", dtype=self.dtype, kernel_init=normal, name=f"conv_{i}"
            )(x)
            x = drop(_activate(norms.BatchNorm(name=f"norm_{i}")(x, train=train)))
        heard = _activate(self._dense("hear", self.hidden)(x.reshape(len(x), -1)))
        known = drop(_activate(self._dense("know", self.hidden)(reference.astype(self.dtype))))
        joined = jnp.concatenate([heard, known], axis=-1)
        return self._dense("tell", sizes["K"])(joined).astype(jnp.float32)

    def _dense(self, name: str, width: int) -> nn.Dense:
        return nn.Dense(width, dtype=self.dtype, kernel_init=normal, name=name)


class SoundNet(nn.Module):
    """The audio encoder of Phi: raw chunks -> one vector a frame.

    A frame's window of 7 chunks is seen as an image, one row a chunk, by two 3x3 convolutions
    without padding. Neighbours share rows, so the convolutions run once over all chunks and each
    frame takes its three rows of the result: the same numbers for a third of the work.

    Attributes:
      widths: channels of the two convolutions.
      width: of the first convolution in time.
      features: of the second, A: numbers a frame.
      dropout: share left out after the first convolution in time.
      dtype: of the computation.
    """

    widths: tuple[int, int] = (8, 16)
    width: int = 512
    features: int = 256
    dropout: float = 0.1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, chunks: jax.Array, *, train: bool) -> jax.Array:
        """[B, T + 6, n] -> [B, T, features]; row t + 3 is frame t's own chunk."""
        frames = checks.shapes(chunks=(chunks, "B C n"))["C"] - WINDOW + 1
        x = chunks[..., None].astype(self.dtype)
        for i, width in enumerate(self.widths):
            conv = nn.Conv(width, (3, 3), padding="VALID", dtype=self.dtype, name=f"image_{i}")
            x = conv(x)
            x = nn.relu(x) if i == 0 else x
        left = x.shape[1] - frames + 1  # rows of a window that two convolutions leave
        rows = [x[:, k : k + frames].reshape(len(x), frames, -1) for k in range(left)]
        x = jnp.concatenate(rows, axis=-1)
        for i, width in enumerate((self.width, self.features)):
            x = nn.Conv(width, (3,), padding=1, dtype=self.dtype, name=f"time_{i}")(x)
            x = _activate(norms.BatchNorm(name=f"norm_{i}")(x, train=train))
            if i == 0:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return x


class HabitNet(nn.Module):
    """Phi's f: how someone moves while sounding so -> the weights of a linear layer.

    Attributes:
      widths: of motion's two layers; the sound's features stand beside the second.
      width: of the convolutions in time.
      hidden: of the last layer but one.
      dropout: share left out after each convolution.
      dtype: of the computation.
    """

    widths: tuple[int, int] = (128, 256)
    width: int = 512
    hidden: int = 256
    dropout: float = 0.1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, motion: jax.Array, heard: jax.Array, *, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """[B, t, M], [B, t, A] -> weights [B, A, M] and biases [B, M]; t at least 13."""
        sizes = checks.shapes(motion=(motion, "B t M"), heard=(heard, "B t A"))
        if sizes["t"] < 13:
            raise ValueError(f"motion has shape {motion.shape}; due: [B t M] with t at least 13")
        x = self._dense("move_0", self.widths[0])(motion.astype(self.dtype))
        x = _activate(norms.BatchNorm(name="move_norm")(x, train=train))
        x = jnp.concatenate([self._dense("move_1", self.widths[1])(x), heard], axis=-1)
        for i in range(2):
            x = nn.Conv(self.width, (5,), 2, "VALID", dtype=self.dtype, name=f"time_{i}")(x)
            x = _activate(norms.BatchNorm(name=f"norm_{i}")(x, train=train))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = jnp.mean(x, axis=1)
        made = self._dense("weights", (sizes["A"] + 1) * sizes["M"])(x)
        weights = made[:, : -sizes["M"]].reshape(-1, sizes["A"], sizes["M"])
        return weights, made[:, -sizes["M"] :]

    def _dense(self, name: str, width: int) -> nn.Dense:
        return nn.Dense(width, dtype=self.dtype, name=name)


class HeadMotionNet(nn.Module):
    """Phi: reference motion and its sound, and the sound to come -> the motion to come.

    Attributes:
      sound: the audio encoder of both sounds.
      habit: f.
    """

    sound: SoundNet
    habit: HabitNet

    def __call__(
        self, known_motion: jax.Array, known_chunks: jax.Array, chunks: jax.Array, *, train: bool
    ) -> jax.Array:
        """[B, t, 6], [B, t + 6, n], [B, T + 6, n] -> [B, T, 6] float32, normalised."""
        weights, biases = self.habits(known_motion, known_chunks, train=train)
        return self.extrapolate(weights, biases, chunks, train=train)

    def habits(
        self, known_motion: jax.Array, known_chunks: jax.Array, *, train: bool
    ) -> tuple[jax.Array, jax.Array]:
        """Returns what f makes of the reference: weights [B, A, 6], biases [B, 6]."""
        heard = self.sound(known_chunks, train=train)
        return self.habit(known_motion, heard, train=train)

    def extrapolate(
        self, weights: jax.Array, biases: jax.Array, chunks: jax.Array, *, train: bool
    ) -> jax.Array:
        """Returns the motion [B, T, 6] of a sound [B, T + 6, n]."""
        heard = self.sound(chunks, train=train)
        made = jnp.einsum("bta,bam->btm", heard, weights) + biases[:, None]
        return made.astype(jnp.float32)


class MotionStatistics(NamedTuple):
    """What the discriminator sees of sequences: numbers over time, [B, M] each."""

    mean: jax.Array
    deviation: jax.Array


def statistics(motion: jax.Array) -> MotionStatistics:
    """Returns mean and (unbiased) standard deviation over time of [B, T, M], T at least 2."""
    mean = jnp.mean(motion, axis=1)
    square = jnp.sum(jnp.square(motion - mean[:, None]), axis=1) / (motion.shape[1] - 1)
    return MotionStatistics(mean, jnp.sqrt(square + SPREAD))


class MotionDiscriminator(nn.Module):
    """Phi's discriminator: a score of a sequence's mean and standard deviation, one linear layer.

    Attributes:
      differences: whether it sees those of the first differences too (published code).
    """

    differences: bool = False

    @nn.compact
    def __call__(self, motion: jax.Array) -> jax.Array:
        """[B, T, M] -> logits [B]."""
        checks.shapes(motion=(motion, "B T M"))
        seen = [*statistics(motion)]
        if self.differences:
            seen += [*statistics(jnp.diff(motion, axis=1))]
        return nn.Dense(1, name="score")(jnp.concatenate(seen, axis=-1))[:, 0]
