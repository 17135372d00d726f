r"""Builds a morphable face model from footage, or imports one that you own.

    facejax model build CLIPS... --out model.npz --sheet model.png
    facejax model build --points face_mesh_points.npz --out model.npz
    facejax model import --bfm model2019_fullHead.h5 --landmarks landmarks.txt --out model.npz
    facejax model landmarks CLIPS... --out landmarks.npz

`build` takes folders that `facejax preprocess` made, one person per speaker id. `--points` takes an
npz of Face Mesh points instead (x, y px, z px nearer is smaller): `photos` [P, 468, 3] holds one
frame of each of P people, every other array [T, 468, 3] T frames of one more. The model that ships
with facejax was made from the real recordings' points by

    facejax model build --points $FACEJAX_DATA/real/face_mesh_points.npz \
        --identity 40 --expression 20 --out facejax/assets/face.npz

`landmarks` makes principal components of frontal landmarks, in which Rhythmic Head Motion speaks of
expressions (facejax/landmark_basis.py: the file).

Identities are learnt from 30 people or more; below, they are the smooth deformations of a Gaussian
process. Expressions are what the frames of each person have beyond their mean.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facejax import face_topology, landmark_model, morphable_files
from facejax.errors import InputError
from facejax.face_shapes import Population, procrustes
from facejax.files import check_parent, write_image
from facejax.geometry.morphable import MorphableModel
from facejax.model_sheet import model_sheet
from facejax.morphable_sources import load_npz
from facejax.shape_bases import (
    ENOUGH_PEOPLE,
    expression_basis,
    identity_basis,
    leave_one_out,
    perpendicular,
)

IDENTITY, SMOOTH_IDENTITY, EXPRESSION = 40, 60, 20  # components: from people, from a process
GREY = 0.5  # the points carry no colour
MOST_FRAMES = 400  # of one person; more are thinned evenly
TO_MODEL = np.array([1.0, -1.0, -1.0])  # image frame (y down, z away) to y up, z to the viewer


def build(
    people: Sequence[np.ndarray],
    identity: int | None = None,
    expression: int = EXPRESSION,
    faces: np.ndarray | None = None,
) -> MorphableModel:
    """Returns a model of the people's faces: 468 vertices, and the two pupils without triangles.

    Args:
      people: of each person [T, 468, 3] Face Mesh points in the image frame, any scale and pose.
      identity: components; None takes IDENTITY if there are ENOUGH_PEOPLE, else SMOOTH_IDENTITY.
      expression: components.
      faces: [F, 3] triangles; None makes them from the mean face.

    Raises:
      InputError: too few people or frames for so many components.
    """
    population = procrustes([person * TO_MODEL for person in people])
    basis, moves = _bases(population, identity, expression)
    mean = population.mean
    if faces is None:
        faces = face_topology.triangulate(mean)
    pupils = (face_topology.NUM_POINTS, face_topology.NUM_POINTS + 1)
    arrays: dict[str, Any] = {
        "mean": _with_pupils(mean).astype(np.float32),
        "identity_basis": _with_pupils(basis).astype(np.float32),
        "expression_basis": _with_pupils(moves).astype(np.float32),
        "faces": np.asarray(faces, np.int32),
        "colors": np.full((len(mean) + 2, 3), GREY, np.float32),
        "points": np.arange(len(mean), dtype=np.int32),
        "landmarks": np.array(face_topology.IBUG_68 + pupils, np.int32),
    }
    return MorphableModel(**arrays)


def _bases(
    population: Population, identity: int | None, expression: int
) -> tuple[np.ndarray, np.ndarray]:
    count = len(population.people)
    if identity is None:
        identity = IDENTITY if count >= ENOUGH_PEOPLE else SMOOTH_IDENTITY
    most = 2 * count - 1 if count >= ENOUGH_PEOPLE else 3 * face_topology.NUM_POINTS - expression
    if identity > most:
        raise InputError(
            f"{identity} identity components cannot be made of {count} people; due: at most "
            f"{most}; lower --identity"
        )
    try:
        moves = expression_basis(population, expression)
    except ValueError as error:
        raise InputError(
            f"too little footage for {expression} expression components: {error}; give more or "
            "longer clips, or lower --expression"
        ) from error
    basis = identity_basis(population.people, population.mean, identity)
    return perpendicular(basis, moves), moves


def _with_pupils(shapes: np.ndarray) -> np.ndarray:
    """Appends the right and the left pupil: the middle of each eye's contour, [..., 470, 3]."""
    eyes = (face_topology.RIGHT_EYE, face_topology.LEFT_EYE)
    pupils = [shapes[..., list(eye), :].mean(axis=-2, keepdims=True) for eye in eyes]
    return np.concatenate([shapes, *pupils], axis=-2)


def people_of_points(path: Path) -> list[np.ndarray]:
    """Returns the people of a points file, each [T, 468, 3] (see the top of this file).

    Raises:
      InputError: missing, no npz, or arrays of another shape.
    """
    arrays = load_npz(path, "Face Mesh points, arrays [T, 468, 3]")
    for name, array in arrays.items():
        if array.ndim != 3 or array.shape[1:] != (face_topology.NUM_POINTS, 3):
            raise InputError(f"`{name}` in {path} has shape {array.shape}; due: [T, 468, 3]")
    photos = [person[None] for person in arrays.pop("photos", [])]
    return _thinned([*photos, *arrays.values()], path)


def people_of_clips(folders: Sequence[Path], split: str) -> list[np.ndarray]:
    """Returns the people of preprocessed clips, each [T, 468, 3]: the valid frames of one speaker.

    Raises:
      InputError: a folder holds no clips, or clips of another mesh.
    """
    from facejax.data.records import open_clips

    speakers: dict[str, list[np.ndarray]] = {}
    for folder in folders:
        clips = open_clips(folder, split)
        for k in range(len(clips)):
            clip = clips[k]
            if clip.points.shape[1] != face_topology.NUM_POINTS:
                raise InputError(
                    f"{folder} has {clip.points.shape[1]} points a frame; due: the "
                    f"{face_topology.NUM_POINTS} of Face Mesh (footage from facejax preprocess)"
                )
            speakers.setdefault(clip.speaker_id, []).append(clip.points[clip.valid])
    people = [np.concatenate(parts) for parts in speakers.values()]
    return _thinned(people, " ".join(map(str, folders)))


def _thinned(people: Sequence[np.ndarray], source: object) -> list[np.ndarray]:
    people = [person[:: -(-len(person) // MOST_FRAMES)] for person in people if len(person)]
    if not people:
        raise InputError(f"{source} holds no face; give footage with faces")
    return people


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares `facejax model build`, `import` and `landmarks`."""
    kinds = "build|import|landmarks"
    actions = parser.add_subparsers(dest="action", required=True, metavar=kinds)
    make = actions.add_parser("build", help="from preprocessed clips or a file of points")
    make.add_argument("folders", nargs="*", type=Path, metavar="CLIPS", help="preprocessed folders")
    make.add_argument("--points", type=Path, metavar="NPZ", help="Face Mesh points instead")
    make.add_argument("--split", default="train", help="of the clips (default: train)")
    identity = (
        f"components (default: {IDENTITY}; of under {ENOUGH_PEOPLE} people {SMOOTH_IDENTITY})"
    )
    make.add_argument("--identity", type=_positive, metavar="I", help=identity)
    make.add_argument(
        "--expression",
        type=_positive,
        default=EXPRESSION,
        metavar="E",
        help=f"components (default: {EXPRESSION})",
    )
    make.add_argument("--leave-one-out", action="store_true", help="measure it too (minutes)")
    bring = actions.add_parser("import", help="from a BFM or LSFM file that you own")
    kind = bring.add_mutually_exclusive_group(required=True)
    kind.add_argument("--bfm", type=Path, metavar="PATH", help="Basel Face Model 2009, 2017, 2019")
    kind.add_argument("--lsfm", type=Path, metavar="PATH", help="Large Scale Facial Model")
    bring.add_argument("--expressions", type=Path, metavar="PATH", help="its expression file")
    bring.add_argument(
        "--landmarks",
        type=Path,
        required=True,
        metavar="FILE",
        help="vertex indices (from 0) of the 68 iBUG landmarks: text, npz or JSON",
    )
    landmark_model.add_arguments(actions)
    for action in (make, bring):
        action.add_argument("--out", type=Path, required=True, metavar="NPZ", help="the model")
        action.add_argument("--sheet", type=Path, metavar="PNG", help="a picture of the model")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def run(args: argparse.Namespace) -> int:
    """Builds or imports a model, and says what is in it."""
    for path in (args.out, args.sheet):
        if path is not None:
            check_parent(path)
    if args.action == "landmarks":
        return landmark_model.run(args)
    model = _built(args) if args.action == "build" else _imported(args)
    morphable_files.save_model(args.out, model)
    sys.stdout.write(
        f"{args.out}: {len(model.mean)} vertices, {len(model.faces)} triangles, "
        f"{len(model.identity_basis)} identity and {len(model.expression_basis)} expression "
        "components\n"
    )
    if args.sheet is not None:
        write_image(args.sheet, model_sheet(model))
        sys.stdout.write(f"{args.sheet}\n")
    return 0


def _built(args: argparse.Namespace) -> MorphableModel:
    if bool(args.folders) == bool(args.points):
        raise InputError("give folders of preprocessed clips, or --points FILE (one of the two)")
    if args.points:
        people, faces = people_of_points(args.points), None
    else:  # the ready-made triangles, so that all models of Face Mesh points share one mesh
        people = people_of_clips(args.folders, args.split)
        faces = np.asarray(morphable_files.load_model("ready-made").faces)
    model = build(people, args.identity, args.expression, faces)
    sys.stdout.write(f"{len(people)} people, {sum(map(len, people))} frames\n")
    if args.leave_one_out:
        if len(people) < 2:
            raise InputError("--leave-one-out needs two people; 1 came")

        def both(population: Population) -> np.ndarray:
            return np.concatenate(_bases(population, args.identity, args.expression))

        rest = 100 * leave_one_out([person * TO_MODEL for person in people], both)
        sys.stdout.write(
            "leave one out: RMS residual over outer-eye distance "
            f"mean {rest.mean():.2f} %, worst {rest.max():.2f} %\n"
        )
    return model


def _imported(args: argparse.Namespace) -> MorphableModel:
    landmarks = str(args.landmarks)
    if args.bfm:
        return morphable_files.import_bfm(
            args.bfm, expression=args.expressions, landmarks=landmarks
        )
    return morphable_files.import_lsfm(args.lsfm, expression=args.expressions, landmarks=landmarks)
