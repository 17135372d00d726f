"""Fits between point sets: the similarity and the affine camera."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from facejax.benchmarks import geometry_goals, per_frame
from facejax.benchmarks.cases import Setting
from facejax.benchmarks.compare import OURS, Contest, Row, Section
from facejax.benchmarks.timing import Contender, compiled
from facejax.geometry.camera import fit_affine
from facejax.geometry.similarity import fit_similarity

POINTS, BATCHES = (68, 5000, 53215), (1, 64)
VERSUS = f"NumPy / {OURS}"
FACE, DEPTH = 60.0, 800.0  # extent of a face and its distance, mm


def sections(setting: Setting) -> Iterator[Section]:
    """Yields the sections of fits."""
    points = POINTS[:2] if setting.quick else POINTS
    sets = [(count, batch) for count in points for batch in BATCHES]
    yield Section(
        "procrustes", "similarity between two point sets", (VERSUS, f"{OURS} / horn"),
        [
            Row(
                {"points": count, "batch": batch},
                functools.partial(procrustes_contest, count, batch),
                geometry_goals.procrustes(count, batch, setting.platform),
            )
            for count, batch in sets
        ],
    )  # fmt: skip
    yield Section(
        "affine", "affine camera of a point set", (VERSUS,),
        [
            Row(
                {"points": count, "batch": batch},
                functools.partial(affine_contest, count, batch),
                geometry_goals.affine(count),
            )
            for count, batch in sets
        ],
    )  # fmt: skip


class Clouds(NamedTuple):
    """Point sets and what became of them, float64."""

    source: np.ndarray  # [B, N, 3]
    rotation: np.ndarray  # [B, 3, 3]
    target: np.ndarray  # [B, N, 3]


def clouds(count: int, batch: int) -> Clouds:
    """Returns faces at DEPTH, and the same turned, scaled and shifted."""
    rng = np.random.default_rng(0)
    source = rng.normal(size=(batch, count, 3)) * FACE + [5, -20, DEPTH]
    rotation = np.linalg.qr(rng.normal(size=(batch, 3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))[:, None, None]
    scale = rng.uniform(0.5, 2, (batch, 1, 1))
    shift = rng.normal(size=(batch, 1, 3)) * 50
    return Clouds(source, rotation, scale * source @ rotation.transpose(0, 2, 1) + shift)


def procrustes_contest(count: int, batch: int) -> Contest:
    """Returns the contest for the similarity between clouds of `count` points."""
    exact = clouds(count, batch)
    source, target = exact.source.astype(np.float32), exact.target.astype(np.float32)
    contenders = {
        OURS: compiled(fit_similarity, source, target, frames=batch),
        "horn": compiled(
            functools.partial(fit_similarity, method="horn"), source, target, frames=batch
        ),
        "NumPy": Contender(
            lambda: [per_frame.procrustes(*pair) for pair in zip(source, target, strict=True)],
            batch,
        ),
    }
    found = np.asarray(contenders[OURS].call().rotation, np.float64)
    return Contest(contenders, {"rotation error": float(np.abs(found - exact.rotation).max())})


def affine_contest(count: int, batch: int) -> Contest:
    """Returns the contest for the affine camera of clouds of `count` points."""
    exact = clouds(count, batch)
    points, image = exact.source.astype(np.float32), exact.target.astype(np.float32)
    contenders = {
        OURS: compiled(fit_affine, points, image, frames=batch),
        "NumPy": Contender(
            lambda: [per_frame.affine_camera(*pair) for pair in zip(points, image, strict=True)],
            batch,
        ),
    }
    found = np.asarray(contenders[OURS].call(), np.float64)
    again = exact.source @ found[..., :3].transpose(0, 2, 1) + found[:, None, :, 3]
    return Contest(contenders, {"reprojection px": float(np.abs(again - exact.target).max())})
