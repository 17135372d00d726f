"""DeepSpeech v0.1.0 from the user's file: cepstra in, logits out."""

import functools
import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax import graph_weights
from facejax.audio.mfcc import INPUTS, Stats, net_input
from facejax.checks import shapes
from facejax.errors import InputError
from facejax.nets import deepspeech as nets

FILE = "output_graph.pb of DeepSpeech v0.1.0"
SOURCE = (
    "unpack it from deepspeech-0.1.0-models.tar.gz of "
    "https://github.com/mozilla/DeepSpeech/releases/tag/v0.1.0"
)
BUCKET = 256  # rows: lengths are rounded up to it, so that few programs are compiled


class Model(NamedTuple):
    """A net with its weights."""

    net: nets.DeepSpeech
    params: dict[str, Any]


def load(path: str | os.PathLike) -> Model:
    """Returns the net in a frozen graph, of the published width or of one trained at another.

    Raises:
      InputError: no such file, or not a graph of DeepSpeech v0.1.0.
    """
    constants = graph_weights.read(path)
    try:
        params = nets.from_graph(constants)
        inputs, width = params["layer_1"]["kernel"].shape
        labels = len(params["layer_6"]["bias"])
        if (inputs, labels) != (INPUTS, nets.LABELS):
            raise ValueError(
                f"maps {inputs} numbers to {labels}; due: {INPUTS} to {nets.LABELS} (English)"
            )
    except ValueError as error:
        raise InputError(
            f"{path} is not {FILE}: it {error}; later releases do not fit; {SOURCE}"
        ) from error
    # Copied, for the arrays so far are views of the file, which may be overwritten in place.
    return Model(nets.DeepSpeech(width, labels), jax.tree.map(jnp.array, params))


def logits(model: Model, cepstra: np.ndarray, stats: Stats | None = None) -> np.ndarray:
    """Returns logits float32 [T, 29] for the `cepstra` [T, 26] of a whole utterance.

    The net hears the utterance in both directions, so that it cannot work on a stream. It takes
    about 8 MB of memory a second of sound.

    Args:
      model: from `load`.
      cepstra: from `mfcc`, at 50 Hz.
      stats: as in `net_input`.
    """
    shapes(cepstra=(cepstra, "T 26"))
    rows = len(cepstra)
    if not rows:
        return np.zeros((0, model.net.labels), np.float32)
    features = np.pad(net_input(cepstra, stats), ((0, -rows % BUCKET), (0, 0)))
    return np.asarray(_forward(model.net, model.params, features, np.int32(rows)))[:rows]


@functools.partial(jax.jit, static_argnums=0)
def _forward(net: nets.DeepSpeech, params, features: jax.Array, rows: jax.Array) -> jax.Array:
    return net.apply({"params": params}, features[None], rows[None])[0]
