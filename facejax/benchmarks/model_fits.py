"""Fits of a linear face model: coefficients from points in space, and from points in images."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.linalg

from facejax.benchmarks import geometry_goals, per_frame
from facejax.benchmarks.cases import Setting
from facejax.benchmarks.compare import OURS, Contest, Row, Section
from facejax.benchmarks.fits import BATCHES, clouds
from facejax.benchmarks.timing import Contender, compiled
from facejax.geometry.coefficients import fit_coefficients, fit_coefficients_projected
from facejax.geometry.linear_basis import LinearBasis, linear_basis

BASES = ((5000, 157), (35709, 224), (53215, 350))  # points, coefficients
RADIUS = 60.0  # mm
RIDGE = 1e-3  # mm^2, times the number of points
THEIRS = "SciPy's error"
FEW = 4  # frames that a way of half a second a frame is timed on


def sections(setting: Setting) -> Iterator[Section]:
    """Yields the sections of face models."""
    bases = BASES[:1] if setting.quick else BASES
    yield Section(
        "coefficients", "coefficients of a face model from its points, fixed basis",
        (f"NumPy / {OURS}",),
        [
            Row(
                {"points": count, "coefficients": terms, "batch": batch},
                functools.partial(coefficients_contest, count, terms, batch),
                geometry_goals.coefficients(count, batch, setting.platform),
            )
            for count, terms in bases[:2]
            for batch in BATCHES
        ],
    )  # fmt: skip
    yield Section(
        "projected", "coefficients of a face model from image points, a camera a frame",
        (f"SciPy / {OURS}", THEIRS),
        [
            Row(
                {"points": count, "coefficients": terms, "batch": batch},
                functools.partial(projected_contest, count, terms, batch),
                geometry_goals.projected(count, batch, setting.platform),
            )
            for count, terms in bases
            for batch in BATCHES
        ],
    )  # fmt: skip


class Model(NamedTuple):
    """A linear model of smooth random fields."""

    mean: np.ndarray  # [N, 3] mm
    basis: np.ndarray  # [K, N, 3] mm, for coefficients of unit variance
    prepared: LinearBasis


@functools.lru_cache(maxsize=1)  # the largest takes a gigabyte
def model(count: int, terms: int) -> Model:
    """Returns a model of `count` points of a sphere: two sets of smooth fields.

    As with identity and expression, the fields of each set are perpendicular to each other but not
    to those of the other set. The kth has a root mean square of 1 / k mm along each axis.
    """
    rng = np.random.default_rng(0)
    unit = rng.normal(size=(count, 3))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    sets = []
    for size, detail in ((terms * 3 // 5, 3.0), (terms - terms * 3 // 5, 3.5)):
        phases = rng.uniform(0, 2 * np.pi, size)
        waves = np.sin(unit @ rng.normal(size=(3, size)) * detail + phases)
        fields = waves[:, None, :] * rng.normal(size=(1, 3, size))
        perpendicular = np.linalg.qr(fields.reshape(3 * count, size))[0].T
        perpendicular *= np.sqrt(3 * count) / np.arange(1, size + 1)[:, None]
        sets.append(perpendicular.reshape(size, count, 3))
    basis = np.ascontiguousarray(np.concatenate(sets), np.float32)
    mean = (RADIUS * unit).astype(np.float32)
    return Model(mean, basis, linear_basis(mean, basis))


def coefficients_contest(count: int, terms: int, batch: int) -> Contest:
    """Returns the contest for `terms` coefficients of faces of `count` points."""
    mean, basis, prepared = model(count, terms)
    ridge = RIDGE * count
    target = _shapes(mean, basis, batch)
    matrix = basis.reshape(terms, -1).astype(np.float64)
    normal = matrix @ matrix.T + ridge * np.eye(terms)
    solver = scipy.linalg.cho_solve(scipy.linalg.cho_factor(normal), matrix)  # [K, 3N]
    operator = solver.astype(np.float32)
    contenders = {
        OURS: compiled(fit_coefficients, prepared, target, np.float32(ridge), frames=batch),
        "NumPy": Contender(lambda: [operator @ (one - mean).ravel() for one in target], batch),
    }
    few = target[:FEW].astype(np.float64) - mean
    exact = few.reshape(len(few), -1) @ solver.T
    return Contest(contenders, _error(contenders[OURS], exact))


def projected_contest(count: int, terms: int, batch: int) -> Contest:
    """Returns the contest for the same, seen through a camera of each frame's own."""
    mean, basis, prepared = model(count, terms)
    ridge = RIDGE * count
    cameras = clouds(1, batch).rotation[:, :2] * 2
    points = _shapes(mean, basis, batch) @ cameras.transpose(0, 2, 1)
    shift = np.random.default_rng(2).normal(size=(batch, 2)) * 50
    affine = np.concatenate([cameras, shift[..., None]], axis=-1).astype(np.float32)
    image = (points + shift[:, None]).astype(np.float32)
    few = min(batch, FEW)
    offset = image[:few] - affine[:few, None, :, 3] - mean @ affine[:few, :, :3].transpose(0, 2, 1)

    def by_scipy(fields: np.ndarray, rest: np.ndarray) -> np.ndarray:
        frames = zip(affine[:few, :, :3].astype(rest.dtype), rest, strict=True)
        return np.stack([per_frame.projected_coefficients(fields, *one, ridge) for one in frames])

    inputs = prepared, affine, image, np.float32(ridge)
    contenders = {
        OURS: compiled(fit_coefficients_projected, *inputs, frames=batch),
        "SciPy": Contender(lambda: by_scipy(basis, offset), few),
    }
    linear = affine[:few, :, :3].astype(np.float64)
    rest = image[:few] - affine[:few, None, :, 3].astype(np.float64)
    exact = by_scipy(basis.astype(np.float64), rest - mean @ linear.transpose(0, 2, 1))
    theirs = _error(contenders["SciPy"], exact, THEIRS)
    return Contest(contenders, _error(contenders[OURS], exact) | theirs)


def _shapes(mean: np.ndarray, basis: np.ndarray, batch: int) -> np.ndarray:
    """Random faces of a model, a millimetre of noise on them, [B, N, 3] float32."""
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(batch, len(basis))).astype(np.float32)
    offset = (weights @ basis.reshape(len(basis), -1)).reshape(batch, *mean.shape)
    return (mean + offset + rng.normal(size=offset.shape)).astype(np.float32)


def _error(ours: Contender, exact: np.ndarray, name: str = "coefficient error") -> dict[str, float]:
    """The largest error of the first frames' coefficients over the largest coefficient."""
    found = np.asarray(ours.call(), np.float64)[: len(exact)]
    return {name: float(np.abs(found - exact).max() / np.abs(exact).max())}
