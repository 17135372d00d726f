"""Reads the variables of a TensorFlow checkpoint without TensorFlow.

A checkpoint NAME (format V2) is NAME.index, a sorted table of names with the type, shape and place
of each variable, and NAME.data-00000-of-00001, their bytes one after another. The table is
LevelDB's: a footer of 48 bytes names the block that names the blocks; a block is a run of entries,
each a key that shares its beginning with the one before, and a value, here a protobuf message.
"""

import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from facejax import torch_weights
from facejax.errors import InputError
from facejax.graph_weights import bytes_of, message_fields, varint

FOOTER, MAGIC = 48, 0xDB4775248B80FB57
# Field numbers of the messages.
ENTRY_DTYPE, ENTRY_SHAPE, ENTRY_SHARD, ENTRY_OFFSET, ENTRY_SIZE = 1, 2, 3, 4, 5
SHAPE_DIM, DIM_SIZE = 2, 1
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}  # TensorFlow's numbers; others are left out


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Returns the variables of a checkpoint by name; or the arrays of an .npz of the same names.

    Args:
      path: NAME, or either of its files, or a .npz.

    Raises:
      InputError: a file is missing, cut short, or not of such a checkpoint.
    """
    path = Path(path)
    if path.suffix == ".npz":
        return torch_weights.read(path)
    name = str(path).removesuffix(".index").split(".data-")[0]
    index, data = Path(f"{name}.index"), Path(f"{name}.data-00000-of-00001")
    for file in (index, data):
        if not file.is_file():
            raise InputError(
                f"no weights file {file}; due: a TensorFlow checkpoint, {Path(name).name}.index "
                f"beside {data.name}, or an .npz of its variables"
            )
    try:
        return dict(_variables(index.read_bytes(), data.read_bytes()))
    except ValueError as error:
        raise InputError(f"{name} is no TensorFlow checkpoint that can be read: {error}") from error


def _variables(index: bytes, data: bytes) -> Iterator[tuple[str, np.ndarray]]:
    if len(index) < FOOTER or struct.unpack("<Q", index[-8:])[0] != MAGIC:
        raise ValueError("its index does not end as one")
    footer = memoryview(index)[-FOOTER:]
    _, at = _handle(footer, 0)
    top, _ = _handle(footer, at)
    for _, place in _entries(index, top):
        for key, value in _entries(index, _handle(memoryview(place), 0)[0]):
            if key:  # the empty one heads the table
                array = _array(memoryview(value), data, key)
                if array is not None:
                    yield key.decode(), array


def _handle(message: memoryview, at: int) -> tuple[tuple[int, int], int]:
    """Returns (offset, size) of a block, and where it ends in the message."""
    offset, at = varint(message, at)
    size, at = varint(message, at)
    return (offset, size), at


def _entries(index: bytes, place: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    """Yields the keys and values of a block."""
    offset, size = place
    block = memoryview(index)[offset : offset + size]
    if len(block) < size or size < 4 or offset + size >= len(index):
        raise ValueError("its index is cut short")
    if index[offset + size]:
        raise ValueError("its index is packed")
    (restarts,) = struct.unpack("<I", block[-4:])
    end, at, key = size - 4 * (restarts + 1), 0, b""
    if end < 0:
        raise ValueError("its index is damaged")
    while at < end:
        shared, at = varint(block, at)
        fresh, at = varint(block, at)
        length, at = varint(block, at)
        key = key[:shared] + bytes(block[at : at + fresh])
        at += fresh
        yield key, bytes(block[at : at + length])
        at += length


def _array(entry: memoryview, data: bytes, key: bytes) -> np.ndarray | None:
    """Returns a variable, or None where it holds something else than numbers."""
    found = dict(message_fields(entry))
    kind = DTYPES.get(found.get(ENTRY_DTYPE, 0))  # type: ignore[arg-type]
    if kind is None:
        return None
    if found.get(ENTRY_SHARD, 0):
        raise ValueError("it lies in several data files; due: one")
    shape = tuple(
        int(dict(message_fields(bytes_of(dim))).get(DIM_SIZE, 0))
        for number, dim in message_fields(bytes_of(found.get(ENTRY_SHAPE, memoryview(b""))))
        if number == SHAPE_DIM
    )
    offset, size = (int(found.get(field, 0)) for field in (ENTRY_OFFSET, ENTRY_SIZE))
    dtype = np.dtype(kind)
    if size != math.prod(shape) * dtype.itemsize or offset + size > len(data):
        raise ValueError(f"its data are not those of its index at {key.decode()!r}")
    return np.frombuffer(data, dtype, math.prod(shape), offset).reshape(shape)
