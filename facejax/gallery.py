"""Pictures of what the geometry does, and the photometric fit that proves its gradients.

  facejax gallery --out out/gallery

Written: gallery.png (of one synthetic head: triangle numbers, depth, normals, coordinates,
coverage, shaded), photometric.png (start, fit, truth and their difference, for each view) and
photometric.json (how far the start and the fit are from the true parameters).

  facejax gallery --projection VIDEO --out out/gallery

Of a video: projection.png, its face taken from the most frontal of the first frames and moved to
the head motion of later ones, beside these; and projection.json, how near it comes.
"""

import argparse
import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np

from facejax import photometric_example, projection_report, sheets
from facejax.data.synthetic import render
from facejax.errors import InputError
from facejax.files import atomic_path, write_image
from facejax.geometry.face_image import face_colors
from facejax.geometry.rasterize import fragments, interpolate, rasterize
from facejax.geometry.shade import vertex_normals
from facejax.geometry.silhouette import silhouette_coverage

SIZE = 256  # px
PERSON, POSE = 12, (0.05, 0.6, -0.05, 0.0, 4.0, 1500.0)  # seed; radians and millimetres
GOLDEN = 0.6180339887  # turns: neighbours in number are far apart in hue
ZOOM = 8  # of the cut-out around the nose that shows single pixels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    add = parser.add_argument
    add("--out", default="out/gallery", metavar="DIR", help="default: out/gallery")
    add("--steps", type=int, default=400, help="of the photometric fit; 0 leaves it out")
    projection_report.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Draws, fits, and says how near the fit came."""
    if args.steps < 0:
        raise InputError(f"--steps is {args.steps}; due: 0 or more")
    out = pathlib.Path(args.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        text = f"cannot make the folder {out}: {error.strerror}; choose another"
        raise InputError(text) from None
    if args.projection:
        return _projection(args, out)
    write_image(out / "gallery.png", gallery())
    sys.stdout.write(f"{out / 'gallery.png'}\n")
    if args.steps:
        report, sheet = photometric_example.run(args.steps)
        write_image(out / "photometric.png", sheet)
        _write_report(out / "photometric.json", report)
        for name in ("start", "fitted"):
            figures = ", ".join(f"{key} {value:.3g}" for key, value in report[name].items())
            sys.stdout.write(f"{name}: {figures}\n")
        sys.stdout.write(f"{out / 'photometric.png'} {out / 'photometric.json'}\n")
    return 0


def _projection(args: argparse.Namespace, out: pathlib.Path) -> int:
    """Projects the face of a video, and says how near that comes to it."""
    made = projection_report.project_video(args)
    report = projection_report.figures(made, args.reference)
    title = projection_report.summary_line(report)
    write_image(out / "projection.png", projection_report.sheet(made, args.reference, title))
    _write_report(out / "projection.json", report)
    sys.stdout.write(f"{title}\n{out / 'projection.png'} {out / 'projection.json'}\n")
    return 0


def _write_report(path: pathlib.Path, report: dict) -> None:
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(report, indent=1) + "\n")


def gallery() -> np.ndarray:
    """Returns the sheet of one head, uint8 [H, W, 3]."""
    stage, person = render.stage(), render.person(np.random.default_rng(PERSON))
    moment = render.Moment(jnp.zeros(len(stage.model.expression_basis)), jnp.asarray(POSE))
    screen = render.scene_vertices(stage, person, moment, SIZE)
    number = rasterize(screen, stage.topology, SIZE, SIZE)
    seen = fragments(screen, stage.topology, number)
    upright = screen * jnp.array([[1.0, -1.0, -1.0]])
    place = face_colors(jnp.concatenate([stage.place, person.hair, person.body]))
    vertex = jnp.concatenate([vertex_normals(upright, stage.topology), place], axis=-1)
    carried = np.asarray(interpolate(vertex, stage.topology, seen))
    mask = np.asarray(seen.mask)
    coverage = np.asarray(silhouette_coverage(screen, stage.topology, seen))
    shaded = render.draw(stage, person, jax.tree.map(lambda x: x[None], moment), SIZE)[0][0]
    nose = np.argwhere(np.asarray(seen.depth) == np.asarray(seen.depth)[mask].min())[0]
    pictures = {
        "triangle": _hues(np.asarray(number)),
        "depth": _near_is_bright(np.asarray(seen.depth), mask),
        "normal": _bytes(np.where(mask[..., None], (carried[..., :3] + 1) / 2, 1)),
        "coordinates": _bytes(np.where(mask[..., None], carried[..., 3:], 1)),
        "coverage": _bytes(np.repeat(coverage[..., None], 3, axis=-1)),
        "shaded": np.asarray(shaded),
    }
    images = list(pictures.values()) + [_zoomed(image, nose) for image in pictures.values()]
    labels = list(pictures) + [f"{name}, x{ZOOM}" for name in pictures]
    return sheets.grid(images, labels, columns=len(pictures))


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _hues(number: np.ndarray) -> np.ndarray:
    """A colour for each triangle, white where there is none."""
    turn = (number[..., None] * GOLDEN + np.array([0, 1 / 3, 2 / 3])) * 2 * np.pi
    return _bytes(np.where(number[..., None] < 0, 1, 0.55 + 0.4 * np.cos(turn)))


def _near_is_bright(depth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    near, far = depth[mask].min(), depth[mask].max()
    share = np.where(mask, 0.15 + 0.75 * (far - depth) / (far - near), 1)
    return _bytes(np.repeat(share[..., None], 3, axis=-1))


def _zoomed(image: np.ndarray, centre: np.ndarray) -> np.ndarray:
    reach = SIZE // ZOOM // 2
    row, column = np.clip(centre + np.array([0, reach // 2]), reach, SIZE - reach)
    cut = image[row - reach : row + reach, column - reach : column + reach]
    return cut.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
