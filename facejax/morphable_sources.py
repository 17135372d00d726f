"""Readers of other people's morphable-model files, each into the same plain arrays.

Basel Face Model 2009 (MATLAB), 2017 and 2019 (HDF5 in Statismo's layout), the Large Scale Facial
Model (MATLAB; as published, and as packed for HeadGAN), and the expression files that go with them.
The files are gated: a user must own them, and nothing of theirs is in this package.
"""

import io
import os
import struct
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import scipy.io

from facejax.errors import InputError
from facejax.files import read_bytes

MICROMETRES = 1e-3  # of BFM 2009 and the expression files made for it, in millimetres
# Files that say which of BFM 2009's 53490 vertices the expression files describe (53215 of them).
TRIM_FILES = ("BFM_exp_idx.mat", "model_info.mat")
GREY = 0.5


class Expression(NamedTuple):
    """An expression model in its file's own unit."""

    mean: np.ndarray  # [V, 3] added to the neutral mean
    basis: np.ndarray  # [E, V, 3] times the deviations
    faces: np.ndarray | None  # [F, 3]
    unit: float | None  # millimetres; None: not stated by the format


class Source(NamedTuple):
    """A morphable model in its file's own unit."""

    mean: np.ndarray  # [V, 3] neutral
    identity: np.ndarray  # [I, V, 3] times the deviations
    faces: np.ndarray  # [F, 3] from 0, in either orientation
    colors: np.ndarray  # [V, 3] in [0, 1]
    unit: float | None  # as in Expression
    expression: Expression | None  # on the same vertices


def read_bfm(path: str | os.PathLike, expression: str | os.PathLike | None) -> Source:
    """Returns a Basel Face Model: 2009 (`01_MorphableModel.mat`), 2017 or 2019 (.h5).

    Args:
      path: the model's file.
      expression: of 2009, the expression file (`read_expression`); none means no expressions. Of
        2017 and 2019 it replaces the expressions that the file has.
    """
    read_bytes(path)
    if h5py.is_hdf5(path):
        return _read_bfm_h5(path, expression)
    data = load_mat(path, ("shapeMU", "shapePC", "shapeEV", "texMU", "tl"), "BFM 2009")
    mean = _vertices(data["shapeMU"], path, "shapeMU")
    source = Source(
        mean=mean,
        identity=_basis(data["shapePC"], data["shapeEV"], path, "shapePC", len(mean)),
        faces=np.asarray(data["tl"], np.int64) - 1,
        colors=_vertices(data["texMU"], path, "texMU") / 255,
        unit=MICROMETRES,
        expression=None,
    )
    return source if expression is None else add_expression(source, expression)


def _read_bfm_h5(path: str | os.PathLike, expression: str | os.PathLike | None) -> Source:
    """BFM 2017 and 2019: millimetres; pcaVariance holds variances, cells are [3, F] from 0."""
    with h5py.File(path) as file:
        needed = [f"shape/model/{name}" for name in ("mean", "pcaBasis", "pcaVariance")]
        needed.append("shape/representer/cells")
        missing = [name for name in needed if name not in file]
        if missing:
            raise InputError(
                f"{path} has no {missing[0]}; due: BFM 2017 or 2019 (model2019_bfm.h5)"
            )
        mean, identity = _statismo(file["shape/model"], path)
        cells = np.asarray(file["shape/representer/cells"], np.int64)
        colors = np.full_like(mean, GREY)
        if "color/model/mean" in file:
            colors = _vertices(file["color/model/mean"][()], path, "color/model/mean")
        faces = cells.T if cells.shape[0] == 3 else cells
        source = Source(mean, identity, faces, colors, 1.0, None)
        if expression is not None:
            return add_expression(source, expression)
        if "expression/model" in file:
            own = Expression(*_statismo(file["expression/model"], path), None, 1.0)
            source = source._replace(expression=own)
    return source


def read_lsfm(path: str | os.PathLike, expression: str | os.PathLike | None) -> Source:
    """Returns a Large Scale Facial Model: `all_all_all.mat` and its siblings.

    Two layouts go by that name. As published: mean, components (unit eigenvectors), eigenvalues
    (variances), trilist; expressions come from another file or are none. As packed for HeadGAN: a
    struct `fmod` with mean, id_basis and exp_basis, already times the deviations, and no triangles:
    they come from the expression file (`exp_30.dat`).
    """
    data = load_mat(path, (), "LSFM")
    if "fmod" in data:
        return _read_fmod(_unpack(data["fmod"], data), path, expression)
    _require(data, ("mean", "components", "eigenvalues", "trilist"), path, "LSFM")
    mean = _vertices(data["mean"], path, "mean")
    deviations = np.sqrt(np.asarray(data["eigenvalues"], np.float64))
    identity = _basis(data["components"], deviations, path, "components", len(mean))
    faces = np.asarray(data["trilist"], np.int64)
    source = Source(mean, identity, faces, np.full_like(mean, GREY), None, None)
    return source if expression is None else add_expression(source, expression)


def _read_fmod(
    data: dict[str, Any], path: str | os.PathLike, expression: str | os.PathLike | None
) -> Source:
    _require(data, ("mean", "id_basis", "exp_basis"), path, "LSFM's fmod")
    mean = _vertices(data["mean"], path, "mean")
    identity, basis = (
        _basis(data[key], None, path, key, len(mean)) for key in ("id_basis", "exp_basis")
    )
    faces = data.get("trilist")
    if faces is None and expression is not None:
        faces = read_expression(expression).faces
    if faces is None:
        raise InputError(f"{path} has no triangles; give the expression file exp_30.dat too")
    own = Expression(np.zeros_like(mean), basis, None, None)
    return Source(mean, identity, np.asarray(faces, np.int64), np.full_like(mean, GREY), None, own)


def read_expression(path: str | os.PathLike) -> Expression:
    """Returns the expression model of a file, by its kind.

      - .bin: `Exp_Pca.bin`, with its deviations in `std_exp.txt` beside it; micrometres;
      - .mat: `Model_Expression.mat` (mu_exp, w_exp, sigma_exp); micrometres;
      - .dat: a serialised morphable model such as HeadGAN's `exp_30.dat`; LSFM's unit;
      - .npz: `basis` [E, V, 3] times the deviations; optionally `mean` [V, 3]; millimetres.

    Raises:
      InputError: the file is missing, of another kind, or not in its kind's layout.
    """
    readers = {".bin": _read_bin, ".mat": _read_mat, ".dat": _read_dat, ".npz": _read_npz}
    kind = Path(path).suffix.lower()
    if kind not in readers:
        raise InputError(f"{path} is no expression file; due: one of {', '.join(readers)}")
    read_bytes(path)
    return readers[kind](path)


def _read_bin(path: str | os.PathLike) -> Expression:
    """int32 E; float32 mean [3V]; float32 basis [E, 3V] of unit vectors."""
    data = np.fromfile(path, np.float32)
    count = int(data[:1].view(np.int32)[0])
    size = (len(data) - 1) // (count + 1) if count > 0 else 0
    if size <= 0 or size % 3 or 1 + size * (count + 1) != len(data):
        raise InputError(f"{path} is not in the layout of Exp_Pca.bin; give the original file")
    beside = Path(path).with_name("std_exp.txt")
    if not beside.exists():
        raise InputError(f"{path} needs std_exp.txt beside it ({beside}); put it there")
    try:
        deviations = np.loadtxt(beside).ravel()
    except ValueError:
        deviations = np.zeros(0)
    if deviations.size != count:
        raise InputError(f"{beside} has {deviations.size} numbers; due: {count}, as {path} has")
    basis = data[1 + size :].reshape(count, size) * deviations[:, None].astype(np.float32)
    mean = data[1 : 1 + size].astype(np.float64)
    return Expression(mean.reshape(-1, 3), basis.reshape(count, -1, 3), None, MICROMETRES)


def _read_mat(path: str | os.PathLike) -> Expression:
    data = load_mat(path, ("mu_exp", "w_exp", "sigma_exp"), "Model_Expression.mat")
    mean = _vertices(data["mu_exp"], path, "mu_exp")
    basis = _basis(data["w_exp"], data["sigma_exp"], path, "w_exp", len(mean))
    return Expression(mean, basis, None, MICROMETRES)


def _read_npz(path: str | os.PathLike) -> Expression:
    data = load_npz(path, "an expression model")
    basis = data.get("basis", np.zeros(0))
    if basis.ndim != 3 or basis.shape[-1] != 3:
        raise InputError(f"{path} has no array `basis` of shape [E, V, 3]; add it")
    mean = _vertices(data.get("mean", np.zeros(basis.shape[1:])), path, "mean")
    if len(mean) != basis.shape[1]:
        raise InputError(f"`mean` in {path} has {len(mean)} vertices; due: {basis.shape[1]}")
    return Expression(mean, basis.astype(np.float32), None, 1.0)


def _read_dat(path: str | os.PathLike) -> Expression:
    """A FlatBuffers table: 1 mean mesh (0 points, 1 triangles), 2 components (0 points, 1 scale).

    The mean mesh is a whole face, so nothing is added to the neutral mean.
    """
    try:
        buffer = _FlatBuffer(Path(path).read_bytes())
        root = buffer.follow(0)
        mesh = buffer.follow(buffer.field(root, 1))
        points = buffer.vector(buffer.field(mesh, 0), "<f4").reshape(-1, 3)
        faces = buffer.vector(buffer.field(mesh, 1), "<u4").reshape(-1, 3)
        parts = [np.zeros((0, *points.shape), np.float32)]
        for part in buffer.tables(buffer.field(root, 2)):
            scale = struct.unpack_from("<f", buffer.data, buffer.field(part, 1))[0]
            vector = buffer.vector(buffer.field(part, 0), "<f4")
            parts.append(scale * vector.reshape(1, *points.shape))
    except (struct.error, ValueError) as error:
        raise InputError(f"{path} is not a serialised morphable model like exp_30.dat") from error
    basis = np.concatenate(parts)
    return Expression(np.zeros_like(points, np.float64), basis, faces.astype(np.int64), None)


class _FlatBuffer:
    """As much of the FlatBuffers wire format as `_read_dat` needs (flatbuffers.dev/internals)."""

    def __init__(self, data: bytes):
        self.data = data

    def follow(self, at: int) -> int:
        """The place that the offset at `at` points to."""
        return at + struct.unpack_from("<I", self.data, at)[0]

    def field(self, table: int, number: int) -> int:
        """The place of a table's field. Raises ValueError when it is absent."""
        vtable = table - struct.unpack_from("<i", self.data, table)[0]
        size = struct.unpack_from("<H", self.data, vtable)[0]
        slot = 4 + 2 * number
        offset = struct.unpack_from("<H", self.data, vtable + slot)[0] if slot < size else 0
        if not offset:
            raise ValueError(f"field {number} is absent")
        return table + offset

    def vector(self, at: int, kind: str) -> np.ndarray:
        """The vector of scalars whose offset is at `at`."""
        start = self.follow(at)
        count = struct.unpack_from("<I", self.data, start)[0]
        return np.frombuffer(self.data, kind, count, start + 4)

    def tables(self, at: int) -> list[int]:
        """The places of the tables in the vector whose offset is at `at`."""
        start = self.follow(at)
        count = struct.unpack_from("<I", self.data, start)[0]
        return [self.follow(start + 4 + 4 * i) for i in range(count)]


def add_expression(source: Source, path: str | os.PathLike) -> Source:
    """Returns `source` with a file's expressions, trimmed to the vertices that those describe."""
    expression = read_expression(path)
    if len(expression.mean) != len(source.mean):
        source = _trim(source, len(expression.mean), Path(path))
    return source._replace(expression=expression)


def _trim(source: Source, count: int, path: Path) -> Source:
    """Keeps the `count` vertices that a trimIndex file beside `path` lists (from 1)."""
    for name in TRIM_FILES:
        beside = path.with_name(name)
        if beside.exists():
            index = load_mat(beside, ("trimIndex",), "a vertex list")["trimIndex"]
            index = np.asarray(index, np.int64).ravel() - 1
            break
    else:
        raise InputError(
            f"{path} describes {count} vertices, the model has {len(source.mean)}; "
            f"put {TRIM_FILES[0]} (its trimIndex tells which) beside it"
        )
    if len(index) != count or index.min() < 0 or index.max() >= len(source.mean):
        raise InputError(f"{beside} lists {len(index)} vertices; due: {count}, as {path} has")
    new = np.full(len(source.mean), -1)
    new[index] = np.arange(count)
    faces = new[source.faces]
    return source._replace(
        mean=source.mean[index],
        identity=source.identity[:, index],
        faces=faces[(faces >= 0).all(axis=1)],
        colors=source.colors[index],
    )


def load_mat(path: str | os.PathLike, keys: tuple[str, ...], what: str) -> dict[str, Any]:
    """Returns a MATLAB file's variables, after checking that `keys` are among them."""
    read_bytes(path)
    try:
        data = scipy.io.loadmat(path)
    except NotImplementedError as error:
        raise InputError(f"{path} is a MATLAB 7.3 file; save it again with -v7") from error
    except (ValueError, TypeError, OSError, scipy.io.matlab.MatReadError) as error:
        raise InputError(f"{path} is not a MATLAB file; due: {what}") from error
    _require(data, keys, path, what)
    return data


def load_npz(path: str | os.PathLike, what: str) -> dict[str, Any]:
    """Returns an npz file's arrays. `what` says, in the refusal, which file was due."""
    data = io.BytesIO(read_bytes(path))
    try:
        file = np.load(data, allow_pickle=False)
        return {key: file[key] for key in file.files}  # an .npy file is an array: no `files`
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, AttributeError) as error:
        raise InputError(f"{path} is not an npz file; due: {what}") from error


def _require(data: dict, keys: tuple[str, ...], path: Any, what: str) -> None:
    missing = [key for key in keys if key not in data]
    if missing:
        found = ", ".join(sorted(key for key in data if not key.startswith("__"))) or "nothing"
        raise InputError(f"{path} has no `{missing[0]}`, only {found}; due: {what}")


def _unpack(array: np.ndarray, outer: dict) -> dict[str, Any]:
    """The fields of a 1 x 1 MATLAB struct, and the file's other variables."""
    return {**outer, **{name: array[name].flat[0] for name in array.dtype.names or ()}}


def _vertices(array: Any, path: Any, name: str) -> np.ndarray:
    """[V, 3] float64 from 3V numbers in any shape, x y z interleaved."""
    array = np.asarray(array, np.float64).ravel()
    if array.size == 0 or array.size % 3:
        raise InputError(f"`{name}` in {path} has {array.size} numbers; due: 3 a vertex")
    return array.reshape(-1, 3)


def _basis(array: Any, deviations: Any, path: Any, name: str, vertices: int) -> np.ndarray:
    """[K, V, 3] float32 from [3V, K] unit vectors and their K deviations (none: already scaled)."""
    array = np.asarray(array, np.float32)
    if array.ndim != 2 or array.shape[0] != 3 * vertices:
        raise InputError(f"`{name}` in {path} has shape {array.shape}; due: [{3 * vertices}, K]")
    if deviations is not None:
        deviations = np.asarray(deviations, np.float32).ravel()
        if deviations.size != array.shape[1]:
            raise InputError(
                f"`{name}` in {path} has {array.shape[1]} columns but {deviations.size} deviations"
            )
        array = array * deviations
    return np.ascontiguousarray(array.T).reshape(-1, vertices, 3)


def _statismo(group: Any, path: Any) -> tuple[np.ndarray, np.ndarray]:
    """(mean [V, 3], basis [K, V, 3]) of a Statismo model group; pcaVariance holds variances."""
    mean = _vertices(group["mean"][()], path, f"{group.name}/mean")
    deviations = np.sqrt(np.asarray(group["pcaVariance"], np.float64))
    return mean, _basis(group["pcaBasis"], deviations, path, f"{group.name}/pcaBasis", len(mean))
