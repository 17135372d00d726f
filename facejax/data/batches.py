"""Batches of numpy arrays: stacked from rows, flattened and back, made ahead through tf.data."""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from facejax.errors import InputError


def ahead(
    load: Callable[[int], dict[str, Any]], first: int, end: int, threads: int
) -> Iterator[dict[str, Any]]:
    """Yields load(first), ..., load(end - 1), in order, made ahead in parallel by tf.data.

    Args:
      load: step -> batch, a pure function, safe to call from several threads.
      first: the first step.
      end: after the last.
      threads: how many.

    Raises:
      InputError: as `load` raised it.
    """
    import tensorflow as tf

    failures: list[InputError] = []

    def read(step: np.ndarray) -> list[np.ndarray]:
        try:
            return [leaf for _, leaf in flatten(load(int(step)))]
        except InputError as error:
            failures.append(error)
            raise

    names = [(name, leaf.dtype) for name, leaf in flatten(load(first))]
    data = tf.data.Dataset.range(first, end)
    data = data.map(
        lambda step: tf.numpy_function(read, [step], [dtype for _, dtype in names]),
        num_parallel_calls=threads,
        deterministic=True,
    )
    try:
        for leaves in data.prefetch(2).as_numpy_iterator():
            yield unflatten([name for name, _ in names], leaves)
    except tf.errors.OpError:
        if failures:
            raise failures[0] from None
        raise


def keep_tensorflow_on_cpu() -> None:
    """Hides the GPUs from TensorFlow, which would take the memory that JAX needs."""
    import tensorflow as tf

    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:  # the caller has run TensorFlow before
        logging.warning("TensorFlow is already running: it may hold a part of the GPU's memory")


def stack(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Stacks rows (nested dicts of arrays) to a batch of float32."""
    first = rows[0]
    if isinstance(first, dict):
        return {name: stack([row[name] for row in rows]) for name in first}
    return np.stack(rows).astype(np.float32)


def flatten(batch: dict[str, Any], prefix: str = "") -> list[tuple[str, np.ndarray]]:
    """Returns the leaves of a nested dict as (name/name, array), in its order."""
    leaves: list[tuple[str, np.ndarray]] = []
    for name, value in batch.items():
        inner = isinstance(value, dict)
        leaves += flatten(value, f"{prefix}{name}/") if inner else [(prefix + name, value)]
    return leaves


def unflatten(names: Sequence[str], leaves: Sequence[np.ndarray]) -> dict[str, Any]:
    """The inverse of `flatten`."""
    batch: dict[str, Any] = {}
    for name, leaf in zip(names, leaves, strict=True):
        *path, last = name.split("/")
        functools.reduce(lambda inner, key: inner.setdefault(key, {}), path, batch)[last] = leaf
    return batch
