"""Held-out speech: make the attributes of whole stretches from their sound alone, and measure.

Nothing of a stretch but its sound is seen: the first state is 0, later ones are the net's own.
Beside the `model`, two that need no training: `person_mean` is the speaker's average face at rest
throughout, `nearest_neighbour` the face of the speaker's training frame whose window of speech is
nearest. Figures: `metrics.attributes.frame_errors`, over all frames with a face, and the
correlation of the mouth's opening with the true one, the mean over the clips.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from facejax import held_out_speech as held_out
from facejax import plots, rollout, sheets
from facejax.data import records, sequences
from facejax.held_out_speech import Stretch
from facejax.judging import figures_line
from facejax.metrics import attributes as metrics
from facejax.progress import progress
from facejax.system import PyTree, System
from facejax.workload import Choice, Judge, Result, Workload

SHOWN = 4  # clips on the sheet
PLOTTED = 400  # frames of each
BASELINES = ("person_mean", "nearest_neighbour")
SHORT = {  # figure -> its name and unit in a line
    "expression": "expression {:.4f}",
    "mouth": "mouth {:.2f} mm",
    "mouth_opening_correlation": "opening r {:.2f}",
    "pose_degrees": "pose {:.2f} deg",
    "pose_mm": "{:.1f} mm",
    "blink": "blink {:.2f}",
}


class _Judged:
    """The stretches, and what does not change while a system trains: the baselines."""

    def __init__(self, data: sequences.Config, choice: Choice, frozen: PyTree):
        table = jax.device_get(frozen["speakers"])
        model = frozen.get("morphable")
        self.table, self.model = table, None if model is None else jax.device_get(model)
        self.stretches = held_out.open_stretches(data, choice, table)
        self._data, self._path = data, choice.path

    @functools.cached_property
    def baselines(self) -> list[dict[str, metrics.Face]]:
        """Of every stretch; `nearest_neighbour` only where the folder has training frames."""
        known = held_out.training_frames(self._data, self._path, self.table)
        found = []
        for stretch in progress(self.stretches, len(self.stretches), "baselines"):
            faces = {"person_mean": held_out.person_mean(stretch, self.table)}
            if stretch.speaker in known:
                own = known[stretch.speaker]
                faces["nearest_neighbour"] = held_out.nearest_neighbour(stretch, own)
            found.append(faces)
        return found

    def errors(self, stretch: Stretch, face: metrics.Face) -> dict[str, np.ndarray]:
        """Returns {figure: [frames with a face]}, and the correlation as one number."""
        errors = metrics.frame_errors(face, stretch.truth, self.model)
        kept = {name: values[stretch.valid] for name, values in errors.items()}
        if self.model is not None:
            one, other = (self.opening(stretch, f)[stretch.valid] for f in (face, stretch.truth))
            kept["mouth_opening_correlation"] = np.asarray([metrics.correlation(one, other)])
        return kept

    def opening(self, stretch: Stretch, face: metrics.Face) -> np.ndarray:
        """Returns the mouth's opening, [T] mm; of data with a face model."""
        assert self.model is not None
        return metrics.mouth_opening(face.expression, stretch.identity, self.model)


def judge(data: sequences.Config, choice: Choice, system: System) -> Judge:
    """Returns the judge of the chosen clips.

    Raises:
      InputError: see `held_out_speech.open_stretches`.
    """
    judged = _Judged(data, choice, system.frozen)
    compiled = rollout.make_roll(system.generate, data.frames)

    def look(
        gen: PyTree,
        stats: PyTree,
        frozen: PyTree,
        rows: int = 8,
        put: Callable[[PyTree], PyTree] = jax.device_put,
    ) -> Result:
        del rows  # one clip at a time: each window needs the one before
        roll = rollout.fill(compiled, gen, stats, frozen)
        errors: dict[str, dict[str, dict]] = {}
        shown = []
        for number, stretch in enumerate(progress(judged.stretches, None, "evaluate")):
            state = np.zeros(sequences.FACE + stretch.truth.expression.shape[1], np.float32)
            made = rollout.attributes(roll, stretch.rows, state, data.frames, put)
            faces = {"model": held_out.face_of(made, judged.table, stretch.speaker)}
            faces |= judged.baselines[number]
            errors[stretch.name] = {k: judged.errors(stretch, face) for k, face in faces.items()}
            if number < SHOWN:
                shown.append(_plots(judged, stretch, faces))
        return Result(_report(errors), _sheet(shown))

    given = {} if judged.model is None else {"morphable": _model(choice)}
    return Judge(given, look)


def _model(choice: Choice) -> Any:
    return records.open_clips(choice.path, choice.split).model


def _report(errors: dict[str, dict[str, dict]]) -> dict[str, Any]:
    """{clip: {kind: {figure: [n]}}} -> the report."""
    mean = lambda parts: float(np.mean(np.concatenate(parts), dtype=np.float64))
    by_clip = {
        clip: {kind: {k: mean([v]) for k, v in one.items()} for kind, one in kinds.items()}
        for clip, kinds in errors.items()
    }
    whole = {}
    for kind in ("model", *BASELINES):
        clips = [kinds[kind] for kinds in errors.values() if kind in kinds]
        if len(clips) == len(errors):  # a figure over fewer clips could not be compared
            whole[kind] = {name: mean([one[name] for one in clips]) for name in clips[0]}
    frames = sum(len(kinds["model"]["blink"]) for kinds in errors.values())
    return {"clip_count": len(errors), "frame_count": frames} | whole | {"by_clip": by_clip}


def _plots(judged: _Judged, stretch: Stretch, faces: dict[str, metrics.Face]) -> list[np.ndarray]:
    """Returns the plots of one clip: true, generated, and the speaker's mean."""
    curves = {"true": stretch.truth, "generated": faces["model"], "mean": faces["person_mean"]}

    def plot(title: str, read: Callable[[metrics.Face], np.ndarray]) -> np.ndarray:
        lines = {label: read(face)[:PLOTTED] for label, face in curves.items()}
        lines["true"] = np.where(stretch.valid[:PLOTTED], lines["true"], np.nan)
        return plots.lines(lines, title=title, fps=stretch.fps)

    if judged.model is None:
        rows = [plot("expression 1", lambda face: face.expression[:, 0])]
    else:
        rows = [plot("opening, mm", lambda face: judged.opening(stretch, face))]
    for column, name in enumerate(("pitch", "yaw", "roll")):
        rows.append(plot(f"{name}, deg", lambda face, c=column: np.rad2deg(face.pose[:, c])))  # type: ignore[misc]
    rows.append(plot("blink", lambda face: face.blink))
    return [sheets.grid(rows, columns=1, title=stretch.name)]


def _sheet(shown: Sequence[list[np.ndarray]]) -> np.ndarray:
    return sheets.grid([image for column in shown for image in column], columns=len(shown))


def rank(report: dict[str, Any]) -> float:
    """Returns the figure that chooses the best checkpoint: larger is better."""
    return -report["model"].get("mouth", report["model"]["expression"])


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
