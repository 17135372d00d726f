"""Unprojection, held out: the mesh from every image alone, measured against the exact one.

Figures, means over all frames: `vertex_px`, distance of the vertices in space, in px of the image;
`vertex_percent`, the same over the distance of the outer eye corners; `plane_px`, their distance in
the image; `landmark_px`, that of the 68 landmarks in the image. Beside the `model`, two that look
at no picture but are told what a net must find: `mean_face`, the model's mean face, frontal, with
the true middle and size; and `mean_face_turned`, the mean face in the true head pose.
"""

from collections.abc import Callable
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from facejax import sheets
from facejax.data import batches, faces, pipeline
from facejax.geometry.position_map import position_map
from facejax.judging import SHOWN, Task, Tasks, evenly
from facejax.panels import as_bytes, face_as_bytes
from facejax.progress import progress
from facejax.system import PyTree, System
from facejax.systems.unprojection_inputs import layout_of, posed_vertices, scaled
from facejax.workload import Choice, Judge, Result, Workload

KINDS = ("model", "mean_face", "mean_face_turned")
OUTER_EYES = (36, 45)
PANEL = 192  # px
FOUND, DUE = (255, 60, 60), (60, 220, 60)  # colours of landmarks


def make_scorer(system: System) -> Callable:
    """Returns the compiled (gen, stats, frozen, batch) -> (outputs, {kind: {figure: [B]}})."""

    def score(gen: PyTree, stats: PyTree, frozen: PyTree, batch: PyTree) -> Any:
        outputs = system.generate(gen, stats, frozen, batch)
        model, size = frozen["morphable"], batch["image"].shape[1]
        truth = posed_vertices(frozen, batch["motion"], size)
        used = jnp.zeros(len(model.mean)).at[jnp.ravel(model.faces)].set(1.0)
        plain = {name: 0 * batch["motion"][name] for name in ("identity", "expression")}
        posed = posed_vertices(frozen, plain | {"pose": batch["motion"]["pose"]}, size)
        upright = batch["motion"]["pose"] * jnp.asarray([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]])
        frontal = posed_vertices(frozen, plain | {"pose": upright}, size)
        frontal = _placed(frontal, truth, used)
        made = dict(zip(KINDS, (outputs["vertices"], frontal, posed), strict=True))
        landmarks = jnp.asarray(model.landmarks)
        errors = {kind: _errors(v, truth, used, landmarks) for kind, v in made.items()}
        shown = outputs | {
            "true_landmarks": truth[:, landmarks],
            "map": scaled(outputs["position"], size),
            "true_map": scaled(position_map(truth, layout_of(frozen)), size),
        }
        return shown, errors

    return jax.jit(score)


def _placed(vertices: jax.Array, truth: jax.Array, used: jax.Array) -> jax.Array:
    """Vertices [B, V, 3] shifted and scaled to the middle and the size in the image of others."""
    weight = used[None, :, None] / jnp.sum(used)
    middles = [jnp.sum(weight * v, axis=1, keepdims=True) for v in (vertices, truth)]
    sizes = [
        jnp.sqrt(jnp.sum(weight * (v - m)[..., :2] ** 2, axis=(1, 2), keepdims=True))
        for v, m in zip((vertices, truth), middles, strict=True)
    ]
    return (vertices - middles[0]) * (sizes[1] / sizes[0]) + middles[1]


def _errors(
    vertices: jax.Array, truth: jax.Array, used: jax.Array, landmarks: jax.Array
) -> dict[str, jax.Array]:
    """The figures of each frame, [B], of vertices [B, V, 3] px."""
    share = (used / jnp.sum(used))[None]
    space = jnp.sum(share * jnp.linalg.norm(vertices - truth, axis=-1), axis=1)
    plane = jnp.linalg.norm((vertices - truth)[..., :2], axis=-1)
    corners = truth[:, landmarks[jnp.asarray(OUTER_EYES)]]
    eyes = jnp.linalg.norm(corners[:, 0] - corners[:, 1], axis=-1)
    return {
        "vertex_px": space,
        "vertex_percent": 100 * space / eyes,
        "plane_px": jnp.sum(share * plane, axis=1),
        "landmark_px": jnp.mean(plane[:, landmarks[:68]], axis=1),
    }


def judge(data: faces.Config, choice: Choice, system: System) -> Judge:
    """Returns the judge of the chosen clips; `rows` frames are made at a time.

    Raises:
      InputError: see `judging.Tasks`.
    """
    tasks, compiled = Tasks(choice, lambda clip: clip), make_scorer(system)

    def look(
        gen: PyTree,
        stats: PyTree,
        frozen: PyTree,
        rows: int = 8,
        put: Callable[[PyTree], PyTree] = jax.device_put,
    ) -> Result:
        errors: dict[str, dict[str, dict[str, list]]] = {}
        shown: list[dict[str, np.ndarray]] = []
        for task in progress(tasks, len(tasks), "evaluate"):
            count = max(1, SHOWN // len(tasks)) if len(shown) < SHOWN else 0
            pictured = evenly(task.targets, count)
            for first in range(0, len(task.targets), rows):
                targets = task.targets[first : first + rows]
                full = np.concatenate([targets, np.repeat(targets[-1:], rows - len(targets))])
                batch = _batch(task, full, data.size)
                outputs, found = jax.device_get(compiled(gen, stats, frozen, put(batch)))
                _add(errors.setdefault(task.name, {}), found, len(targets))
                for row in np.flatnonzero(np.isin(targets, pictured)):
                    shown.append(panels(batch["image"][row], outputs, int(row)))
        return Result(_report(errors), _sheet(shown))

    return Judge({"morphable": tasks.model}, look)


def _batch(task: Task, targets: np.ndarray, size: int) -> dict[str, Any]:
    return batches.stack([faces.example(task.shot, int(k), size) for k in targets])


def _add(errors: dict[str, dict[str, list]], found: dict, count: int) -> None:
    for kind, figures in found.items():
        for name, values in figures.items():
            errors.setdefault(kind, {}).setdefault(name, []).extend(values[:count].tolist())


def _report(errors: dict[str, dict[str, dict[str, list]]]) -> dict[str, Any]:
    by_clip = {
        clip: {kind: {n: float(np.mean(v)) for n, v in f.items()} for kind, f in kinds.items()}
        for clip, kinds in errors.items()
    }
    clips = list(errors.values())
    mean = lambda parts: float(np.mean(np.concatenate(parts)))
    whole = {
        kind: {name: mean([clip[kind][name] for clip in clips]) for name in clips[0][kind]}
        for kind in KINDS
    }
    frames = sum(len(clip["model"]["vertex_px"]) for clip in clips)
    return {"clip_count": len(clips), "frame_count": frames} | whole | {"by_clip": by_clip}


def panels(image: np.ndarray, made: dict[str, np.ndarray], row: int) -> dict[str, np.ndarray]:
    """Returns one frame's pictures for the sheet, {label: uint8 [H, W, 3]}."""
    large = {
        "image": as_bytes(image),
        "position map": face_as_bytes(made["map"][row]),
        "true map": face_as_bytes(made["true_map"][row]),
    }
    large = {label: pipeline.resize(picture, PANEL) for label, picture in large.items()}
    drawn = large["image"].copy()
    for points, color in ((made["true_landmarks"][row], DUE), (made["landmarks"][row], FOUND)):
        for x, y in points[:68, :2] * PANEL / len(image):
            cv2.circle(drawn, (round(float(x)), round(float(y))), 2, color, -1, cv2.LINE_AA)
    return large | {"landmarks: red found, green true": drawn}


def _sheet(rows: list[dict[str, np.ndarray]]) -> np.ndarray:
    images = [image for row in rows for image in row.values()]
    return sheets.grid(images, [k for row in rows for k in row], columns=2 * len(rows[0]))


def summary_line(report: dict[str, Any]) -> str:
    """Returns the figures of a report in one line."""
    parts = [
        f"{kind}: {report[kind]['vertex_px']:.2f} px ({report[kind]['vertex_percent']:.1f} %), "
        f"landmarks {report[kind]['landmark_px']:.2f} px"
        for kind in KINDS
    ]
    return f"{report['clip_count']} clips, {report['frame_count']} frames. {'; '.join(parts)}"


WORKLOAD = Workload(
    Data=faces.Config,
    open=faces.Faces,
    spec=faces.batch_spec,
    judge=judge,
    rank=lambda report: -report["model"]["vertex_px"],
    summary=summary_line,
    keeps=("layout",),
)
