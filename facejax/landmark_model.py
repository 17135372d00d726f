"""`facejax model landmarks`: the basis of expressions that Rhythmic Head Motion's Psi speaks in."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from facejax import landmark_basis, performance, sheets
from facejax.data import records, takes
from facejax.errors import InputError
from facejax.files import write_image
from facejax.geometry.landmarks import draw_landmarks
from facejax.landmark_basis import COMPONENTS, LandmarkBasis
from facejax.runs import check_model

SHOWN = 5  # components on the sheet
STRENGTHS = (-3, 0, 3)  # deviations at which each is shown
SIDE = 128  # px of a picture


def build(
    folders: Sequence[Path], split: str, components: int = COMPONENTS, dimensions: int = 3
) -> LandmarkBasis:
    """Returns the basis of the clips of some data folders; sound is not needed.

    Raises:
      InputError: no clips, folders of different face models, or see `landmark_basis.fit`.
    """
    seen, first = [], None
    for folder in folders:
        clips = records.open_clips(folder, split)
        if first is None:
            first, canonical = clips, performance.canonical_face(clips.model)
        check_model(first.model, clips.model, folders[0], folder)
        for number in range(len(clips)):
            clip = clips[number]
            if clip.valid.any():
                seen.append(takes.seen_in(clip, canonical))
    if not seen:
        raise InputError(f"{' '.join(map(str, folders))}: no clip shows a face")
    return landmark_basis.fit(seen, canonical, components, dimensions)


def sheet(basis: LandmarkBasis) -> np.ndarray:
    """Returns a picture of the first components, at STRENGTHS deviations, uint8 [H, W, 3]."""
    images, labels = [], []
    mean = landmark_basis.mean_face(basis)
    middle = performance.SIDE / 2
    zoom = 0.8 * middle / np.abs(mean[:, :2] - mean[:, :2].mean(0)).max()
    for number in range(min(SHOWN, len(basis.axes))):
        for strength in STRENGTHS:
            own = np.zeros(len(basis.axes))
            own[number] = strength * basis.deviations[number]
            face = mean + basis.displace(own)
            points = (face[:, :2] - mean[:, :2].mean(0)) * zoom + middle
            points = jnp.asarray(points * (SIDE / performance.SIDE), jnp.float32)
            images.append(np.asarray(255 * draw_landmarks(points, SIDE, SIDE)).astype(np.uint8))
            labels.append(f"{number + 1}: {strength:+d} deviations" if strength else "mean")
    return sheets.grid(images, labels, columns=len(STRENGTHS))


def add_arguments(actions: Any) -> None:
    """Declares the command among those of `facejax model`."""
    make = actions.add_parser("landmarks", help="principal components of frontal landmarks")
    make.add_argument("folders", nargs="+", type=Path, metavar="CLIPS", help="data folders")
    make.add_argument("--split", default="train", help="of the clips (default: train)")
    text = f"(default: {COMPONENTS})"
    make.add_argument("--components", type=int, default=COMPONENTS, metavar="K", help=text)
    make.add_argument(
        "--dimensions", type=int, choices=(2, 3), default=3, help="with depth or not (default: 3)"
    )
    make.add_argument("--out", type=Path, required=True, metavar="NPZ", help="the basis")
    make.add_argument("--sheet", type=Path, metavar="PNG", help="a picture of its components")


def run(args: argparse.Namespace) -> int:
    """Makes and writes a basis, and says how much of the motion it holds."""
    basis = build(args.folders, args.split, args.components, args.dimensions)
    landmark_basis.save(args.out, basis)
    first = ", ".join(f"{value:.2f}" for value in basis.deviations[:SHOWN])
    sys.stdout.write(
        f"{args.out}: {len(basis.axes)} components of 68 landmarks in {basis.dimensions} "
        f"dimensions; deviations {first} ... px of {performance.SIDE:.0f}\n"
    )
    if args.sheet is not None:
        write_image(args.sheet, sheet(basis))
        sys.stdout.write(f"{args.sheet}\n")
    return 0
