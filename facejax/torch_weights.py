"""Reads the tensors of a weights file without torch: .pth (both formats), npz, safetensors.

A .pth is a pickle, and a plain pickle can run anything. The reader here knows only the handful of
names that a dictionary of tensors needs and refuses every other, so that a file can give numbers
and nothing else.
"""

import collections
import json
import math
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from facejax.errors import InputError

# torch's legacy (before 1.6) format opens with these two pickled numbers.
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}
_SAFETENSORS_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": ml_dtypes.bfloat16,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}


class _RefusedName(pickle.UnpicklingError):
    """The file names something other than tensors."""


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Returns the named tensors of a weights file.

    A dictionary inside a dictionary (such as {"state_dict": {...}, "epoch": 3}) is flattened with
    dots, "state_dict.conv.weight"; what is not a tensor is left out.

    Args:
      path: .pth, .pt or .tar as `torch.save` writes them (zip or legacy), .npz, or .safetensors;
        told apart by their first bytes.

    Raises:
      InputError: no such file, cut short, of no known format, or a pickle that asks for more than
        tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no weights file {path}; check the path")
    try:
        with path.open("rb") as file:
            state = _reader(file)(file)
    except _RefusedName as error:
        raise InputError(
            f"{path} holds more than tensors ({error}), which is not read for safety; save the "
            "model's state_dict() alone and give that file"
        ) from error
    except (
        *(pickle.UnpicklingError, zipfile.BadZipFile, struct.error, EOFError, KeyError),
        *(ValueError, IndexError, TypeError, AttributeError, OverflowError, MemoryError),
        *(NotImplementedError, RuntimeError),
    ) as error:
        raise InputError(
            f"{path} is not a weights file that can be read ({error}); due: a whole .pth, .npz or "
            ".safetensors file; download it again"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return dict(_flatten(state))


def _reader(file: BinaryIO) -> Callable[[BinaryIO], Any]:
    """Tells the format from the file's first bytes, and returns its reader."""
    head = file.read(16)
    file.seek(0)
    if head.startswith(b"PK"):
        with zipfile.ZipFile(file) as archive:
            is_npz = all(name.endswith(".npy") for name in archive.namelist())
        file.seek(0)
        return _read_npz if is_npz else _read_zip
    if head.startswith(b"\x80"):
        return _read_legacy
    if len(head) > 8 and head[8:9] == b"{":
        return _read_safetensors
    raise ValueError(f"its first bytes are {head[:8]!r}")


def _flatten(tree: Any, prefix: str = ""):
    """Yields (dotted name, array) for every array in nested dictionaries."""
    for name, value in tree.items() if isinstance(tree, Mapping) else ():
        if isinstance(value, np.ndarray):
            yield f"{prefix}{name}", value
        else:
            yield from _flatten(value, f"{prefix}{name}.")


class _Rebuild:
    """A function of torch that a pickle may call; without attributes that it could set."""

    __slots__ = ()

    def __call__(self, storage, offset, size, stride, *_):
        """Returns a tensor, as torch._utils._rebuild_tensor_v2 does."""
        return _Tensor(storage, offset, tuple(size), tuple(stride))


class _RebuildParameter:
    """As `_Rebuild`, for a tensor marked as a parameter."""

    __slots__ = ()

    def __call__(self, tensor, *_):
        """Returns the tensor."""
        return tensor


class _Tensor:
    """A view into a storage that may not be read yet."""

    __slots__ = ("offset", "size", "storage", "stride")

    def __init__(self, storage, offset: int, size: tuple, stride: tuple):
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    def array(self, storages: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns a copy of the view, after checking that it lies inside the storage."""
        key, dtype = self.storage
        data = storages[key]
        if data.dtype != dtype:
            raise ValueError(f"storage {key} is used as two types")
        if len(self.size) != len(self.stride) or min((*self.size, *self.stride, self.offset, 0)):
            raise ValueError("a tensor has an impossible shape")
        last = self.offset + sum((n - 1) * s for n, s in zip(self.size, self.stride, strict=True))
        if math.prod(self.size) and last >= data.size:
            raise ValueError(f"a tensor of shape {self.size} reaches past its data")
        strides = [s * dtype.itemsize for s in self.stride]
        if not math.prod(self.size):
            return np.zeros(self.size, dtype)
        view = np.lib.stride_tricks.as_strided(data[self.offset :], self.size, strides)
        return np.array(view)


class _Unpickler(pickle.Unpickler):
    """Knows the names of a dictionary of tensors, and no other."""

    def __init__(self, file, storages: dict[str, tuple[np.dtype, int]]):
        super().__init__(file, encoding="utf-8")
        self.storages = storages  # key -> dtype, number of elements; filled while reading

    def find_class(self, module: str, name: str) -> Any:
        """Returns the object for a global name in the pickle."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Rebuild()
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _RebuildParameter()
        if module == "torch" and name in _DTYPES:
            return name
        if (module, name) == ("torch", "Size"):
            return tuple
        raise _RefusedName(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> tuple[str, np.dtype]:
        """Returns (key, dtype) for the storage that a persistent id names."""
        kind, storage_type, key, _, numel = pid[:5]
        if kind != "storage" or (len(pid) > 5 and pid[5] is not None):
            raise ValueError(f"a reference of an unknown kind, {kind!r}")
        dtype = np.dtype(_DTYPES[storage_type])
        self.storages[str(key)] = dtype, int(numel)
        return str(key), dtype


def _resolve(tree: Any, storages: Mapping[str, np.ndarray]) -> Any:
    """Replaces the tensors in nested dictionaries by arrays."""
    if isinstance(tree, Mapping):
        return {name: _resolve(value, storages) for name, value in tree.items()}
    return tree.array(storages) if isinstance(tree, _Tensor) else tree


def _read_zip(file: BinaryIO) -> Any:
    """From torch 1.6 on: a zip with NAME/data.pkl and one raw file a storage, NAME/data/KEY."""
    with zipfile.ZipFile(file) as archive:
        (main,) = [n for n in archive.namelist() if n.rsplit("/", 1)[-1] == "data.pkl"]
        folder = main.removesuffix("data.pkl")
        order = "little"
        if f"{folder}byteorder" in archive.namelist():
            order = archive.read(f"{folder}byteorder").decode()
        if order != "little":
            raise ValueError(f"its numbers are {order}-endian; due: little-endian")
        table: dict[str, tuple[np.dtype, int]] = {}
        with archive.open(main) as pickled:
            tree = _Unpickler(pickled, table).load()
        storages = {}
        for key, (dtype, numel) in table.items():
            raw = archive.read(f"{folder}data/{key}")
            storages[key] = np.frombuffer(raw, dtype, numel)
        return _resolve(tree, storages)


def _read_legacy(file: BinaryIO) -> Any:
    """Before torch 1.6: magic, protocol, system, tree and keys pickled, then the raw storages."""
    table: dict[str, tuple[np.dtype, int]] = {}
    magic, protocol, system, tree, keys = (_Unpickler(file, table).load() for _ in range(5))
    if magic != LEGACY_MAGIC or protocol != LEGACY_PROTOCOL:
        raise ValueError("it is a pickle, but not one of torch's")
    if not system["little_endian"]:
        raise ValueError("its numbers are big-endian; due: little-endian")
    storages = {}
    for key in keys:
        dtype, numel = table[key]
        (count,) = struct.unpack("<q", file.read(8))
        if count != numel:
            raise ValueError(f"storage {key} has {count} elements; due: {numel}")
        storages[key] = np.frombuffer(file.read(numel * dtype.itemsize), dtype, numel)
    return _resolve(tree, storages)


def _read_npz(file: BinaryIO) -> dict[str, np.ndarray]:
    """A zip of .npy arrays; objects are refused."""
    with np.load(file, allow_pickle=False) as archive:
        return dict(archive)


def _read_safetensors(file: BinaryIO) -> dict[str, np.ndarray]:
    """A length, a JSON table of names, types, shapes and byte ranges, then the raw data."""
    (length,) = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(length))
    data = file.read()
    state = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, stop = entry["data_offsets"]
        dtype = np.dtype(_SAFETENSORS_DTYPES[entry["dtype"]])
        state[name] = np.frombuffer(data[start:stop], dtype).reshape(entry["shape"])
    return state
