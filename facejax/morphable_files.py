"""Morphable models on disk: one npz contract, and importers for models that a user owns.

The npz holds the fields of `MorphableModel` under their own names: mean [V, 3] and bases [K, V, 3]
in millimetres, faces [F, 3], colors [V, 3], points [N], landmarks [70] (indices from 0).
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facejax import morphable_sources as sources
from facejax.errors import InputError
from facejax.files import atomic_path, read_bytes
from facejax.geometry.morphable import MorphableModel

READY_MADE = Path(__file__).parent / "assets" / "face.npz"
# Outer-eye-corner distance that decides the unit of files which do not state one, millimetres.
EYE_DISTANCE = 90.0
# Identity components of an LSFM file that HeadGAN uses.
LSFM_COMPONENTS = 157

_SHAPES = {
    "mean": "V 3",
    "identity_basis": "I V 3",
    "expression_basis": "E V 3",
    "faces": "F 3",
    "colors": "V 3",
    "points": "N",
    "landmarks": "70",
}
_INDICES = ("faces", "points", "landmarks")
_EYES = ((36, 42), (42, 48))  # landmarks around the right and the left eye
_OUTER_EYES = (36, 45)

Landmarks = str | os.PathLike | Sequence[int] | np.ndarray


def save_model(path: str | os.PathLike, model: MorphableModel) -> None:
    """Writes a model to an npz file, whole or not at all.

    Raises:
      InputError: the place cannot be written, or the model breaks the contract.
    """
    model = _checked(model, "the model")
    with atomic_path(path) as partial, open(partial, "wb") as file:
        np.savez(file, **model._asdict())


def load_model(path: str | os.PathLike) -> MorphableModel:
    """Returns the model of an npz file, as float32 and int32 numpy arrays.

    Args:
      path: the file, or "ready-made" for the model that comes with facejax.

    Raises:
      InputError: the file is missing, not an npz, lacks a key, or an array has a wrong shape.
    """
    if str(path) == "ready-made":
        path = READY_MADE
        if not path.exists():
            raise InputError(
                f"the ready-made face model is missing ({path}); install facejax again, "
                "or build a model from your own footage: facejax model build"
            )
    arrays = sources.load_npz(path, "a morphable model that facejax wrote")
    missing = [key for key in MorphableModel._fields if key not in arrays]
    if missing:
        raise InputError(
            f"{path} has no `{missing[0]}`; due: a morphable model that facejax wrote "
            f"(with {', '.join(MorphableModel._fields)})"
        )
    return _checked(MorphableModel(*(arrays[key] for key in MorphableModel._fields)), path)


def import_bfm(
    path: str | os.PathLike, *, expression: str | os.PathLike | None = None, landmarks: Landmarks
) -> MorphableModel:
    """Returns a Basel Face Model: 2009 (`01_MorphableModel.mat`), 2017 or 2019 (`.h5`).

    The mean face is the shape model's mean plus the expression model's, as these models define it.

    Args:
      path: the model's file.
      expression: for 2009, `Exp_Pca.bin` (with `std_exp.txt` beside it) or `Model_Expression.mat`;
        with `BFM_exp_idx.mat` or `model_info.mat` beside it, as they describe 53215 of the 53490
        vertices: the model is then trimmed to those. None leaves 2009 without expressions; 2017
        and 2019 have their own.
      landmarks: as in `read_landmarks`, of the (trimmed) model's vertices.

    Raises:
      InputError: a file is missing or not in its layout; the landmarks are not given or wrong.
    """
    return _assemble(sources.read_bfm(path, expression), landmarks, path)


def import_lsfm(
    path: str | os.PathLike,
    *,
    expression: str | os.PathLike | None = None,
    landmarks: Landmarks,
    components: int = LSFM_COMPONENTS,
) -> MorphableModel:
    """Returns a Large Scale Facial Model (`all_all_all.mat` or a sibling).

    LSFM states no unit: the power of ten is taken that brings the outer eye corners of the mean
    face closest to 90 mm apart.

    Args:
      path: the model's file, as published or as packed for HeadGAN (a struct `fmod`).
      expression: `exp_30.dat` (needed by the packed form, for its triangles), or any file that
        `import_bfm` takes, on the same 53215 vertices.
      landmarks: as in `read_landmarks`.
      components: identity components to keep.

    Raises:
      InputError: a file is missing or not in its layout; the landmarks are not given or wrong.
    """
    source = sources.read_lsfm(path, expression)
    return _assemble(source._replace(identity=source.identity[:components]), landmarks, path)


def read_landmarks(landmarks: Landmarks, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (landmarks int32 [70], points int32 [N]) of a model's vertices.

    Args:
      landmarks: 68 vertex indices (from 0) in iBUG order, or 70 with the right and left pupil, as
        a sequence; a text file of them; an npz file with them as `landmarks`, and optionally
        `points`, the vertices that a dense detector observes; or a JSON list of
        {"coordinates": [x, y, z]} in the model's frame and file unit, each standing for the
        nearest vertex. Pupils that are not given are the vertices nearest to the middle of the
        eyes; points that are not given are the 68 landmarks.
      mean: [V, 3] mean face, in the same unit as the coordinates.

    Raises:
      InputError: nothing is given, or not 68 or 70 vertices of this model.
    """
    points = None
    if landmarks is None:
        raise InputError(
            "no landmarks are given; give a text file of the 68 iBUG landmarks' vertex indices "
            "(from 0) on this mesh"
        )
    indices = landmarks
    if isinstance(landmarks, (str, os.PathLike)):
        indices, points = _read_landmark_file(Path(landmarks), mean)
    name = landmarks if isinstance(landmarks, (str, os.PathLike)) else "landmarks"
    indices = _vertex_indices(indices, len(mean), name)
    if len(indices) not in (68, 70):
        raise InputError(f"{name} has {len(indices)} indices; due: 68 (iBUG order), or 70")
    if len(indices) == 68:
        middles = [mean[indices[slice(*eye)]].mean(axis=0) for eye in _EYES]
        indices = np.concatenate([indices, _nearest(mean, np.stack(middles))])
    if points is None:
        return indices, indices[:68]
    return indices, _vertex_indices(points, len(mean), f"points in {name}")


def _read_landmark_file(path: Path, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    data = read_bytes(path)
    try:
        if path.suffix.lower() == ".npz":
            arrays = sources.load_npz(path, "an npz with `landmarks`")
            return arrays["landmarks"], arrays.get("points")
        if path.suffix.lower() == ".json":
            places = [entry["coordinates"] for entry in json.loads(data)]
            return _nearest(mean, np.asarray(places, np.float64).reshape(-1, 3)), None
        return np.array(data.decode().replace(",", " ").split(), np.float64), None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} holds no landmarks; due: 68 vertex indices as text, an npz with `landmarks`, "
            "or a JSON list of coordinates"
        ) from error


def _nearest(mean: np.ndarray, places: np.ndarray) -> np.ndarray:
    """int32 [N]: the vertices of [V, 3] nearest to places [N, 3]."""
    distances = [np.sum((mean - place) ** 2, axis=-1) for place in places]
    return np.array([np.argmin(distance) for distance in distances], np.int32)


def _vertex_indices(indices: object, vertices: int, name: object) -> np.ndarray:
    indices = np.asarray(indices).ravel()
    whole = np.issubdtype(indices.dtype, np.number) and np.all(indices == np.floor(indices))
    if not whole or not np.all((indices >= 0) & (indices < vertices)):
        raise InputError(
            f"{name} has indices that are no vertices; due: whole numbers from 0 to {vertices - 1}"
        )
    return indices.astype(np.int32)


def _assemble(source: sources.Source, landmarks: Landmarks, path: object) -> MorphableModel:
    """The model of a source: in millimetres, triangles turned outwards, landmarks found."""
    indices, points = read_landmarks(landmarks, source.mean)
    unit = source.unit
    if unit is None:
        right, left = source.mean[indices[list(_OUTER_EYES)]]
        distance = max(float(np.linalg.norm(right - left)), np.finfo(np.float64).tiny)
        unit = float(10 ** np.round(np.log10(EYE_DISTANCE / distance)))
    mean, basis = source.mean * unit, np.zeros((0, *source.mean.shape), np.float32)
    if source.expression is not None:
        expression = source.expression
        other = unit if expression.unit is None else expression.unit
        mean, basis = mean + expression.mean * other, expression.basis * np.float32(other)
    arrays: dict[str, Any] = {
        "mean": mean,
        "identity_basis": source.identity * np.float32(unit),
        "expression_basis": basis,
        "faces": _outward(source.mean, source.faces, path),
        "colors": np.clip(source.colors, 0, 1),
        "points": points,
        "landmarks": indices,
    }
    return _checked(MorphableModel(**arrays), path)


def _outward(mean: np.ndarray, faces: np.ndarray, path: object) -> np.ndarray:
    """Faces with all orientations reversed if most of the surface faces the middle of the head."""
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.min() < 0 or faces.max() >= len(mean):
        raise InputError(f"{path}: the triangles are not triples of its {len(mean)} vertices")
    a, b, c = (mean[faces[:, i]] for i in range(3))
    outside = np.sum(np.cross(b - a, c - a) * ((a + b + c) / 3 - mean.mean(axis=0)))
    return faces if outside >= 0 else faces[:, ::-1]


def _checked(model: MorphableModel, path: object) -> MorphableModel:
    """The model as float32 and int32 numpy arrays, or InputError where it breaks the contract."""
    sizes: dict[str, int] = {}
    arrays: dict[str, Any] = {}
    for key, axes in _SHAPES.items():
        array = np.asarray(getattr(model, key))
        letters = axes.split()
        if len(letters) != array.ndim or not all(
            size == (int(letter) if letter.isdigit() else sizes.setdefault(letter, size))
            for letter, size in zip(letters, array.shape, strict=True)
        ):
            known = ", ".join(f"{letter} = {size}" for letter, size in sizes.items())
            raise InputError(f"`{key}` in {path} has shape {array.shape}; due: [{axes}] ({known})")
        if key in _INDICES:
            indices = array.ravel()
            arrays[key] = _vertex_indices(indices, sizes["V"], f"`{key}` in {path}")
            arrays[key] = arrays[key].reshape(array.shape)
        else:
            arrays[key] = np.ascontiguousarray(array, np.float32)
            if not np.all(np.isfinite(arrays[key])):
                raise InputError(f"`{key}` in {path} has values that are not finite")
    return MorphableModel(**arrays)
