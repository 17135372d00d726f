"""Held-out faces: make the shape of every frame from its speech and its head's pose, and measure.

PGFace's own task: the true pose is given. Beside the `model`: the `mean_face`, the speaker's mean
shape throughout; and the `nearest_neighbour`, the expression of the speaker's training frame whose
window of speech is nearest, on the speaker's identity. Figures: vertices, mouth and eyes, mean
distances in mm (`metrics.vertices`), where there is a face model; the absolute errors of the
coefficients; and the correlation of the mouth's opening with the true one, the mean over the clips.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from facejax import held_out_speech as held_out
from facejax import plots, shape_motion, sheets, speakers
from facejax.data import records, sequences
from facejax.held_out_speech import Stretch
from facejax.judging import figures_line, thin
from facejax.metrics import attributes
from facejax.metrics.vertices import vertex_errors
from facejax.progress import progress
from facejax.system import PyTree, System
from facejax.workload import Choice, Judge, Result, Workload

SHOWN = 4  # clips on the sheet
PLOTTED = 400  # frames of each
BASELINES = ("mean_face", "nearest_neighbour")
OPENING = "mouth_opening_correlation"
SHORT = {  # figure -> its name and unit in a line
    "vertices": "vertices {:.3f} mm",
    "mouth": "mouth {:.2f} mm",
    "eyes": "eyes {:.2f} mm",
    OPENING: "opening r {:.2f}",
    "identity": "identity {:.3f}",
    "expression": "expression {:.4f}",
}

Shape = tuple[np.ndarray, np.ndarray]  # identity [T, I], expression [T, E]


def judge(data: sequences.Config, choice: Choice, system: System) -> Judge:
    """Returns the judge of the chosen clips.

    Raises:
      InputError: see `held_out_speech.open_stretches`.
    """
    table, model = (jax.device_get(system.frozen.get(name)) for name in ("speakers", "morphable"))
    stretches = held_out.open_stretches(data, choice, table)
    compiled = jax.jit(system.generate)
    known = functools.cache(lambda: held_out.training_frames(data, choice.path, table))

    def look(
        gen: PyTree,
        stats: PyTree,
        frozen: PyTree,
        rows: int = 8,
        put: Callable[[PyTree], PyTree] = jax.device_put,
    ) -> Result:
        del rows  # shape_motion.CHUNK
        pictured = {one.name for one in thin(stretches, SHOWN)}
        make = functools.partial(compiled, gen, stats, frozen)
        by_clip: dict[str, dict[str, dict[str, np.ndarray]]] = {}
        shown: list[np.ndarray] = []
        for stretch in progress(stretches, None, "evaluate"):
            pose = sequences.padded(speakers.normalised(stretch.truth.pose, table, stretch.speaker))
            made = shape_motion.shapes(make, stretch.rows, pose, stretch.speaker, put)
            shapes = {"model": made} | _baselines(stretch, table, known())
            by_clip[stretch.name] = {k: _errors(stretch, v, model) for k, v in shapes.items()}
            if stretch.name in pictured:
                shown.append(_plot(stretch, shapes, model))
        return Result(_report(by_clip), sheets.grid(shown, columns=1))

    given = {} if model is None else {"morphable": _model(choice)}
    return Judge(given, look)


def _model(choice: Choice) -> Any:
    return records.open_clips(choice.path, choice.split).model


def _baselines(stretch: Stretch, table: PyTree, known: dict) -> dict[str, Shape]:
    row, frames = stretch.speaker, len(stretch.valid)
    identity, mean = (
        np.broadcast_to(table[name][row], (frames, table[name].shape[1]))
        for name in ("identity", "expression_mean")
    )
    found = {"mean_face": (identity, mean)}
    if row in known:
        near = held_out.nearest_neighbour(stretch, known[row])
        found["nearest_neighbour"] = (identity, near.expression)
    return found


def _errors(stretch: Stretch, shape: Shape, model: Any) -> dict[str, np.ndarray]:
    """Returns {figure: [frames with a face]}, and the correlation as one number."""
    identity, expression = shape
    wrong = identity - stretch.identity, expression - stretch.truth.expression
    found = {"expression": np.abs(wrong[1]).mean(1)}
    if wrong[0].shape[1]:
        found["identity"] = np.abs(wrong[0]).mean(1)
    if model is not None:
        found |= vertex_errors(*wrong, model)
    found = {name: values[stretch.valid] for name, values in found.items()}
    if model is not None:
        openings = (_opening(stretch, one, model) for one in (expression, stretch.truth.expression))
        one, other = (opening[stretch.valid] for opening in openings)
        found[OPENING] = np.asarray([attributes.correlation(one, other)])
    return found


def _opening(stretch: Stretch, expression: np.ndarray, model: Any) -> np.ndarray:
    return attributes.mouth_opening(expression, stretch.identity, model)


def _report(by_clip: dict[str, dict[str, dict[str, np.ndarray]]]) -> dict[str, Any]:
    mean = lambda parts: float(np.mean(np.concatenate(parts), dtype=np.float64))
    each = {
        clip: {kind: {k: mean([v]) for k, v in one.items()} for kind, one in kinds.items()}
        for clip, kinds in by_clip.items()
    }
    whole = {}
    for kind in ("model", *BASELINES):
        clips = [kinds[kind] for kinds in by_clip.values() if kind in kinds]
        if len(clips) == len(by_clip):  # a figure over fewer clips could not be compared
            whole[kind] = {name: mean([one[name] for one in clips]) for name in clips[0]}
    frames = sum(len(kinds["model"]["expression"]) for kinds in by_clip.values())
    return {"clip_count": len(by_clip), "frame_count": frames} | whole | {"by_clip": each}


def _plot(stretch: Stretch, shapes: dict[str, Shape], model: Any) -> np.ndarray:
    """Returns a clip's mouth, or its first expression without a face model."""
    curves = {"true": stretch.truth.expression, "generated": shapes["model"][1]}
    curves["mean"] = shapes["mean_face"][1]
    if model is None:
        title, lines = "expression 1", {label: one[:PLOTTED, 0] for label, one in curves.items()}
    else:
        title = "opening, mm"
        lines = {k: _opening(stretch, one, model)[:PLOTTED] for k, one in curves.items()}
    lines["true"] = np.where(stretch.valid[:PLOTTED], lines["true"], np.nan)
    return plots.lines(lines, title=f"{stretch.name} {title}", fps=stretch.fps, size=(140, 840))


def rank(report: dict[str, Any]) -> float:
    """Returns the figure that chooses the best checkpoint: larger is better."""
    return -report["model"].get("vertices", report["model"]["expression"])


WORKLOAD = Workload(
    Data=sequences.Config,
    open=sequences.Sequences,
    spec=sequences.batch_spec,
    judge=judge,
    rank=rank,
    summary=functools.partial(figures_line, kinds=("model", *BASELINES), formats=SHORT),
    keeps=("speakers",),
    needs_model=False,
    splits=sequences.splits,
)
