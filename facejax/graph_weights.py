"""Reads the weights of a frozen TensorFlow graph (.pb) without TensorFlow.

Such a file is one protobuf message, a GraphDef: nodes with a name, an operation and attributes. A
weight is the tensor in the attribute "value" of a node whose operation is Const. On the wire a
message is a run of fields, each a key (number and kind), then a value of that kind; messages lie
in one another as runs of bytes. The file is mapped, not read: arrays are views of it.
"""

import math
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from facejax.errors import InputError

# Kinds of values on the wire. Kinds 3 and 4 are long out of use, 6 and 7 do not exist.
VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5

# Field numbers of the messages.
GRAPH_NODE = 1
NODE_NAME, NODE_OP, NODE_ATTR = 1, 2, 5
ENTRY_KEY, ENTRY_VALUE = 1, 2  # of a map, such as a node's attributes
ATTR_TENSOR = 8
TENSOR_DTYPE, TENSOR_SHAPE, TENSOR_CONTENT = 1, 2, 4
SHAPE_DIM, DIM_SIZE = 2, 1
# A tensor's element type -> NumPy's, and the field of values that are listed one by one.
FLOATS: dict[int, tuple[np.dtype, int]] = {1: (np.dtype("<f4"), 5), 2: (np.dtype("<f8"), 6)}

Value = int | memoryview


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Returns the constants of floating point in a frozen graph, by name.

    Raises:
      InputError: no such file, cut short, or not a graph.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no weights file {path}; check the path")
    try:
        if path.stat().st_size == 0:
            raise ValueError("it is empty")
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        if data[:2] == b"\x1f\x8b":
            raise ValueError("it is packed; unpack it with `tar -xzf`")
        return dict(_constants(data))
    except ValueError as error:
        raise InputError(
            f"{path} is not a frozen graph that can be read ({error}); due: a whole .pb file"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def _constants(graph: memoryview) -> Iterator[tuple[str, np.ndarray]]:
    nodes = 0
    for number, node in message_fields(graph):
        if number != GRAPH_NODE:
            continue
        name, op, tensor = _node(bytes_of(node))
        nodes += bool(name and op)
        array = None if op != "Const" or tensor is None else _array(tensor, name)
        if array is not None:
            yield name, array
    if not nodes:
        raise ValueError("it has no nodes")


def _node(node: memoryview) -> tuple[str, str, memoryview | None]:
    """Returns a node's name, its operation, and the tensor in its attribute "value"."""
    name = op = ""
    tensor = None
    for number, value in message_fields(node):
        if number == NODE_NAME:
            name = str(bytes_of(value), "utf-8")
        elif number == NODE_OP:
            op = str(bytes_of(value), "utf-8")
        elif number == NODE_ATTR:
            entry = dict(message_fields(bytes_of(value)))
            if entry.get(ENTRY_KEY) == b"value":
                tensor = dict(message_fields(bytes_of(entry.get(ENTRY_VALUE)))).get(ATTR_TENSOR)
    return name, op, None if tensor is None else bytes_of(tensor)


def _array(tensor: memoryview, name: str) -> np.ndarray | None:
    """Returns a tensor's values, or None where they are not floating-point numbers."""
    fields = list(message_fields(tensor))
    code = dict(fields).get(TENSOR_DTYPE)
    if not isinstance(code, int) or code not in FLOATS:
        return None
    dtype, listed = FLOATS[code]
    shape = tuple(n for number, value in fields if number == TENSOR_SHAPE for n in _shape(value))
    content = [bytes_of(value) for number, value in fields if number == TENSOR_CONTENT]
    if content:
        values = np.frombuffer(content[-1], dtype)
    else:
        parts = [bytes_of(value) for number, value in fields if number == listed]
        values = np.frombuffer(b"".join(parts), dtype)
        if 0 < len(values) < math.prod(shape):  # the last one stands for all that follow
            values = np.append(values, np.full(math.prod(shape) - len(values), values[-1]))
    if len(values) != math.prod(shape):
        raise ValueError(f"constant {name!r} has {len(values)} values for the shape {shape}")
    return values.reshape(shape)


def _shape(message: Value) -> Iterator[int]:
    for number, dim in message_fields(bytes_of(message)):
        if number == SHAPE_DIM:
            size = dict(message_fields(bytes_of(dim))).get(DIM_SIZE, 0)
            if not isinstance(size, int) or size >= 1 << 40:  # -1, unknown, is a huge number here
                raise ValueError("a constant has no fixed shape")
            yield size


def message_fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Yields (number, value) of every field in a message; numbers repeat."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        kind = key & 7
        if kind == VARINT:
            value, at = varint(message, at)
            yield key >> 3, value
            continue
        if kind == BYTES:
            size, at = varint(message, at)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            size = 8 if kind == EIGHT_BYTES else 4
        else:
            raise ValueError("it is no protobuf message")
        if at + size > len(message):
            raise ValueError("it is cut short, or no protobuf message")
        yield key >> 3, message[at : at + size]
        at += size


def varint(message: memoryview, at: int) -> tuple[int, int]:
    """Returns the number at `at`, seven bits a byte with the lowest first, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("it is cut short, or no protobuf message")
        byte = message[at]
        number |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return number, at
    raise ValueError("it is no protobuf message")


def bytes_of(value: Value | None) -> memoryview:
    """Returns a field that is a run of bytes; raises ValueError where it is a number or missing."""
    if not isinstance(value, memoryview):
        raise ValueError("it is a protobuf message of another kind")
    return value
