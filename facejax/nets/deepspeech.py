"""The acoustic net of DeepSpeech v0.1.0 (Mozilla, 2017), whose logits drive FACIAL and PoseGAN.

After Hannun et al. 2014, arXiv:1412.5567: three dense layers, a bidirectional LSTM (Hochreiter &
Schmidhuber 1997) and two dense layers on 26 cepstra with nine neighbours on either side, 50 times
a second. Labels are the space, a to z, the apostrophe and the blank of CTC. Weights come from the
published frozen graph (MPL-2.0), which is not part of this package; the nets of later releases
are others.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from facejax.checks import shapes

WIDTH = 2048
LABELS = 29
CEILING = 20.0  # of the rectified layers

# Where the graph keeps the LSTM.
_LSTM = {"fw": "forward", "bw": "backward"}
_KERNELS, _BIASES = ("kernel", "weights"), ("bias", "biases")  # from TensorFlow 1.2 on, and before


class DeepSpeech(nn.Module):
    """Attributes: width, of layers 1, 2 and 5 and of the LSTM a direction; labels."""

    width: int = WIDTH
    labels: int = LABELS

    @nn.compact
    def __call__(self, features: jax.Array, lengths: jax.Array | None = None) -> jax.Array:
        """Returns logits [B, T, labels], neither normalised nor in log probabilities.

        Args:
          features: [B, T, 494].
          lengths: int [B], rows that count in each utterance; None: all. What is beyond them
            changes nothing before, and gives logits of no meaning.
        """
        shapes(features=(features, "B T C"))
        if lengths is None:
            lengths = jnp.full(features.shape[0], features.shape[1])
        shapes(features=(features, "B T C"), lengths=(lengths, "B"))
        x = features
        for name, width in zip(("layer_1", "layer_2", "layer_3"), (1, 1, 2), strict=True):
            x = clipped_relu(nn.Dense(width * self.width, name=name)(x))
        forward = Lstm(self.width, name="forward")(x)
        backward = Lstm(self.width, name="backward")(reversed_in_time(x, lengths))
        x = jnp.concatenate([forward, reversed_in_time(backward, lengths)], axis=-1)
        x = clipped_relu(nn.Dense(self.width, name="layer_5")(x))
        return nn.Dense(self.labels, name="layer_6")(x)


class Lstm(nn.Module):
    """A layer of LSTM as TensorFlow's BasicLSTMCell: gates i, j, f, o, and 1 is added to f's bias.

    Attributes: width, of the hidden state.
    """

    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, T, C] -> [B, T, width], from a state of zeros."""
        init = nn.initializers.lecun_normal()
        kernel = self.param("kernel", init, (x.shape[-1], 4 * self.width))
        recurrent = self.param("recurrent", init, (self.width, 4 * self.width))
        bias = self.param("bias", nn.initializers.zeros_init(), (4 * self.width,))

        def step(state, from_input):
            cell, hidden = state
            i, j, f, o = jnp.split(from_input + hidden @ recurrent, 4, axis=-1)
            cell = cell * nn.sigmoid(f + 1) + nn.sigmoid(i) * jnp.tanh(j)
            hidden = jnp.tanh(cell) * nn.sigmoid(o)
            return (cell, hidden), hidden

        # What the input gives the gates does not wait for the state: one product for all times.
        from_input = x @ kernel + bias[None, None]
        zero = jnp.zeros((x.shape[0], self.width), from_input.dtype)
        _, hidden = jax.lax.scan(step, (zero, zero), from_input.swapaxes(0, 1))
        return hidden.swapaxes(0, 1)


def clipped_relu(x: jax.Array) -> jax.Array:
    """Returns x cut off below 0 and above 20."""
    return jnp.clip(x, 0, CEILING)


def reversed_in_time(x: jax.Array, lengths: jax.Array) -> jax.Array:
    """Returns x [B, T, C] with its first `lengths` [B] rows in reverse and the rest in place."""
    time = jnp.arange(x.shape[1])[None]
    index = jnp.where(time < lengths[:, None], lengths[:, None] - 1 - time, time)
    return jnp.take_along_axis(x, index[..., None], axis=1)


def from_graph(constants: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Returns the parameters of `DeepSpeech`, of any width, from the constants of a frozen graph.

    Raises:
      ValueError: a constant is missing or has another shape; the message names it.
    """
    inputs, width = _find(constants, ["h1"], (None, None)).shape
    labels = _find(constants, ["h6"], (width, None)).shape[1]
    dense = {1: (inputs, width), 2: (width, width), 3: (width, 2 * width), 5: (2 * width, width)}
    params: dict[str, Any] = {}
    for layer, (rows, columns) in (dense | {6: (width, labels)}).items():
        params[f"layer_{layer}"] = {
            "kernel": _find(constants, [f"h{layer}"], (rows, columns)),
            "bias": _find(constants, [f"b{layer}"], (columns,)),
        }
    for theirs, ours in _LSTM.items():
        cell = f"bidirectional_rnn/{theirs}/basic_lstm_cell"
        kernel = _find(constants, [f"{cell}/{name}" for name in _KERNELS], (3 * width, 4 * width))
        bias = _find(constants, [f"{cell}/{name}" for name in _BIASES], (4 * width,))
        params[ours] = {
            "kernel": kernel[: 2 * width],  # its rows: the input's, then the hidden state's
            "recurrent": kernel[2 * width :],
            "bias": bias,
        }
    return params


def _find(
    constants: Mapping[str, np.ndarray], names: Sequence[str], due: tuple[int | None, ...]
) -> np.ndarray:
    """Returns the constant under one of `names`, after checking its shape; None is any size."""
    for name in names:
        if name in constants:
            value = np.asarray(constants[name], np.float32)
            fits = [size in (n, None) for n, size in zip(value.shape, due, strict=False)]
            if value.ndim != len(due) or not all(fits):
                raise ValueError(f"has {name!r} of shape {value.shape}; due: {due}")
            return value
    raise ValueError(f"has no constant {names[0]!r} (it has {len(constants)} others)")
