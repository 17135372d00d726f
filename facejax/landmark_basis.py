"""Principal components of frontal landmarks: expressions as 20 numbers.

Chen et al., ECCV 2020, sections 3.2 and A.2. Two ways to set a person's own face apart from what
it does, as `IDENTITIES` names them:

  "key"       the paper: an expression is a displacement from the person's most frontal frame, which
              is given to the net and added back.
  "template"  the published code: a person's frame with the mouth most shut is brought onto a
              template, and so are all others; the net is given the template.

A file is a .npz with mean [68 D], axes [K, 68 D] (orthonormal rows, largest variance first), D = 2
or 3, deviations [K] (of the coefficients, px), and template [68, 3], the mean face that identities
are exchanged for; px of a crop of 256 px in FAN's frame. The published layout, U_NAME.npy with
mean_NAME.npy beside it, is read too; its components are the columns of a square U, or the rows of
one that is not.
"""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facejax.errors import InputError
from facejax.files import atomic_path
from facejax.geometry.head_motion import LANDMARKS
from facejax.performance import Performance, key_frame, open_rate

COMPONENTS = 20
IDENTITIES = ("key", "template")
PUBLISHED = "U_"  # how the names of published bases begin


class LandmarkBasis(NamedTuple):
    """Landmarks of D coordinates are mean + coefficients @ axes."""

    mean: np.ndarray  # [68 D] px
    axes: np.ndarray  # [K, 68 D]
    deviations: np.ndarray  # [K] px
    template: np.ndarray  # [68, 3] px

    @property
    def dimensions(self) -> int:
        """D: 2 or 3."""
        return len(self.mean) // LANDMARKS

    def project(self, fronts: np.ndarray) -> np.ndarray:
        """Returns the coefficients [..., K] of fronts [..., 68, 3]."""
        return (self._flat(fronts) - self.mean) @ self.axes.T

    def displace(self, coefficients: np.ndarray) -> np.ndarray:
        """Returns the displacements [..., 68, 3] px that coefficients [..., K] stand for.

        A basis of two dimensions leaves depth alone.
        """
        moved = (coefficients @ self.axes).reshape(*coefficients.shape[:-1], LANDMARKS, -1)
        spare = [(0, 0)] * (moved.ndim - 1) + [(0, 3 - self.dimensions)]
        return np.pad(moved, spare).astype(np.float32)

    def _flat(self, fronts: np.ndarray) -> np.ndarray:
        return fronts[..., : self.dimensions].reshape(*fronts.shape[:-2], -1)


class Person(NamedTuple):
    """A face at rest, as Psi is told of it."""

    base: np.ndarray  # [68, 3] px: what displacements are added to
    reference: np.ndarray  # [K], the net's input


def person(basis: LandmarkBasis, seen: Performance, identity: str, name: str = "") -> Person:
    """Returns a person's face at rest.

    Args:
      basis: of `fit` or `load`.
      seen: frames of the person.
      identity: one of IDENTITIES.
      name: for messages.

    Raises:
      InputError: no frontal frame ("key"), no frame with a face.
    """
    if identity == "key":
        base = seen.fronts[key_frame(seen, name=name or "the reference")]
        return Person(base, basis.project(base))
    template = basis.template
    base = shut(seen) - template + mean_face(basis)
    return Person(base, basis.project(template))


def expressions(basis: LandmarkBasis, one: Person, fronts: np.ndarray) -> np.ndarray:
    """Returns what Psi is to say of a person's fronts [T, 68, 3]: float32 [T, K]."""
    shift = one.base - mean_face(basis)  # what of the base is not the basis's mean
    own = basis.project(fronts - shift)
    return np.asarray(own, np.float32)


def with_expressions(basis: LandmarkBasis, one: Person, coefficients: np.ndarray) -> np.ndarray:
    """Returns a person's fronts [T, 68, 3] with expressions [T, K]: the identity is added back."""
    return one.base + basis.displace(coefficients)


def shut(seen: Performance) -> np.ndarray:
    """Returns the front [68, 3] whose mouth is most shut, of those with a face."""
    return seen.fronts[np.argmin(np.where(seen.valid, open_rate(seen.fronts), np.inf))]


def mean_face(basis: LandmarkBasis) -> np.ndarray:
    """Returns the mean [68, 3] px; depth, where the basis has none, is the template's."""
    mean = basis.mean.reshape(LANDMARKS, -1)
    return np.concatenate([mean, basis.template[:, basis.dimensions :]], axis=1)


def fit(
    performances: Sequence[Performance],
    template: np.ndarray,
    components: int = COMPONENTS,
    dimensions: int = 3,
) -> LandmarkBasis:
    """Returns the basis of the fronts of many people.

    Each clip's identity is taken away first: its frame with the mouth most shut counts as the
    template.

    Args:
      performances: of one clip each; only frames with a face count.
      template: [68, 3] px.
      components: K.
      dimensions: D.

    Raises:
      InputError: fewer frames than components, or more components than coordinates.
    """
    if dimensions not in (2, 3) or not 1 <= components <= LANDMARKS * dimensions:
        raise InputError(
            f"{components} components of {dimensions} dimensions: due are 2 or 3 dimensions and 1 "
            f"to {LANDMARKS} x dimensions components"
        )
    seen = [one for one in performances if one.valid.any()]
    rows = [one.fronts[one.valid] - shut(one) + template for one in seen]
    frames = sum(map(len, rows))
    if frames <= components:
        raise InputError(
            f"{frames} frames with a face are too few for {components} components; give more "
            "footage, or lower --components"
        )
    flat = np.concatenate(rows)[..., :dimensions].reshape(frames, -1).astype(np.float64)
    mean = flat.mean(0)
    variance, axes = np.linalg.eigh((flat - mean).T @ (flat - mean) / frames)
    order = np.argsort(variance)[::-1][:components]
    axes = axes.T[order]
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]  # one of two signs
    deviations = np.sqrt(np.maximum(variance[order], 0))
    return LandmarkBasis(*(np.asarray(x, np.float32) for x in (mean, axes, deviations, template)))


def save(path: str | os.PathLike, basis: LandmarkBasis) -> None:
    """Writes a basis as .npz, whole or not at all."""
    with atomic_path(path) as partial, open(partial, "wb") as file:
        np.savez(file, **basis._asdict())


def load(path: str | os.PathLike, template: np.ndarray | None = None) -> LandmarkBasis:
    """Returns the basis of a file.

    Args:
      path: a .npz of `save`, or the published U_NAME.npy with mean_NAME.npy beside it.
      template: [68, 3], for published files, which have none: they are brought to its size and
        place. None: they are left as they are, in units of their own, with a depth of 0.

    Raises:
      InputError: missing, or in another layout.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no file {path}; make it: facejax model landmarks CLIPS --out {path}")
    try:
        arrays = _published(path) if path.suffix == ".npy" else dict(np.load(path))
        mean, axes = (np.asarray(arrays[name], np.float32) for name in ("mean", "axes"))
        deviations = np.asarray(arrays.get("deviations", np.ones(len(axes))), np.float32)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} is no landmark basis ({' '.join(str(error).split())}); due: a file of facejax "
            "model landmarks, or U_NAME.npy with mean_NAME.npy beside it"
        ) from None
    if mean.shape not in ((2 * LANDMARKS,), (3 * LANDMARKS,)) or axes.shape[1:] != mean.shape:
        raise InputError(
            f"{path} has mean {list(mean.shape)} and axes {list(axes.shape)}; due: [68 D] and "
            "[K, 68 D], D = 2 or 3"
        )
    flat = mean.reshape(LANDMARKS, -1)
    if "template" in arrays:
        template = arrays["template"]
    elif template is None:
        template = np.pad(flat, ((0, 0), (0, 3 - flat.shape[1])))
    else:
        due, own = template[:, : flat.shape[1]], flat - flat.mean(0)
        scale = np.linalg.norm(due - due.mean(0)) / np.linalg.norm(own)
        mean = (scale * own + due.mean(0)).reshape(-1).astype(np.float32)
    return LandmarkBasis(mean, axes, deviations, np.asarray(template, np.float32))


def _published(path: Path) -> dict[str, np.ndarray]:
    if not path.name.startswith(PUBLISHED):
        raise ValueError("its name does not begin with U_")
    axes = np.load(path, allow_pickle=False)
    beside = path.with_name("mean_" + path.name.removeprefix(PUBLISHED))
    mean = np.load(beside, allow_pickle=False).reshape(-1)
    square = axes.ndim == 2 and axes.shape[0] == axes.shape[1]
    return {"mean": mean, "axes": axes.T[:COMPONENTS] if square else axes}
