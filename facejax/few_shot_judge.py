"""Landmark-driven generation, held out: frames after the reference video, from K of its frames.

Figures, over all frames: `l1` (0 to 255), `psnr` (dB, pooled MSE) and `psnr_frame` (mean of the
frames' own), of `model`, of its `warped` matched reference, of `copy_matched`, which shows that
reference as it is, and of `copy_reference`, which shows the key frame throughout. Where the
projected face is: `warped_projection` and `projection`, against the frame cropped to it.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from facejax.data import batches, few_shot, pipeline, records, shots
from facejax.errors import InputError
from facejax.geometry.head_motion import frontal_landmarks
from facejax.judging import COPY, Task, Tasks, measure, summary_line, thin
from facejax.metrics.reconstruction import frame_errors
from facejax.panels import as_bytes, face_as_bytes, flow_as_bytes
from facejax.system import PyTree, System
from facejax.workload import Choice, Judge, Result, Workload

KINDS = ("model", "warped", "copy_matched", COPY)
LEAST_PANEL = 96  # px: smaller pictures are enlarged
SHOWN_REFERENCES = 4


class FewShotTasks(Tasks):
    """The clips to evaluate; targets are the frames after the reference video.

    Args:
      choice: which clips and frames.
      data: of the run.

    Raises:
      InputError: no clip goes on after its reference video, or see `judging.Tasks`.
    """

    def __init__(self, choice: Choice, data: shots.Config):
        self._data, self._most = data, choice.most_frames
        model = records.open_clips(choice.path, choice.split).model
        canonical = np.asarray(frontal_landmarks(model, data.size))
        prepare = functools.partial(shots.prepare, config=data, canonical=canonical)
        try:
            super().__init__(choice._replace(most_frames=0), prepare)
        except InputError as error:
            if "no clip has two frames" not in str(error):
                raise
            raise InputError(
                f"{choice.path}, {choice.split}: no clip goes on after the {data.tau} frames of "
                "its reference video; lower data.tau of the run, or evaluate longer clips"
            ) from None

    def _read(self, index: int) -> Task:
        task = super()._read(index)
        stop = shots.reference_end(task.start, task.end, self._data)
        shot = task.shot
        later = [int(k) for k in task.targets if k >= stop and shot.valid[k]]
        targets = np.asarray(thin(later, self._most), np.int64)
        return task._replace(targets=targets, reference=shot.key)


def evenly_spaced(frames: np.ndarray, count: int) -> np.ndarray:
    """Returns `count` of the frames from the first to the last, repeated if there are fewer."""
    return frames[np.linspace(0, len(frames) - 1, count).round().astype(int)]


def batch_of(
    task: Task, targets: np.ndarray, data: shots.Config, references: int | None = None
) -> tuple[dict[str, Any], np.ndarray]:
    """Returns the inputs of `System.generate`, one set of references for all, and the true frames.

    Args:
      task: the clip.
      targets: frame numbers.
      data: of the run.
      references: K; None: the run's. One is the key frame, several are evenly spaced.
    """
    shot, count = task.shot, references or data.references
    chosen = evenly_spaced(shot.references, count) if count > 1 else np.array([shot.key])
    given = batches.stack([shots.reference_part(shot, chosen, data.size)])
    del given["reference_motion"]  # what only a loss looks at
    due = batches.stack([shots.target_part(shot, int(k), data.size) for k in targets])
    matched = [int(np.argmin(shots.costs(shot, chosen, int(k), data))) for k in targets]
    inputs = given | {"landmarks": due["landmarks"], "head": due["head"]}
    return inputs | {"matched": np.asarray(matched, np.float32)}, due["target"]


def make_scorer(system: System) -> Callable:
    """Returns the compiled (gen, stats, frozen, inputs, target) -> (outputs, {name: errors})."""

    def score(gen: PyTree, stats: PyTree, frozen: PyTree, inputs: PyTree, target: jax.Array) -> Any:
        outputs = system.generate(gen, stats, frozen, inputs)
        still = jnp.broadcast_to(inputs["key_frame"]["image"], target.shape)
        shown = {"model": outputs["image"], COPY: still}
        if "warped" in outputs:
            shown |= {"warped": outputs["warped"], "copy_matched": outputs["matched"]}
        errors = {name: frame_errors(image, target) for name, image in shown.items()}
        if "projection" in outputs:
            face = jnp.any(outputs["projection"] > -1, axis=-1, keepdims=True).astype(jnp.float32)
            for name in ("projection", "warped_projection"):
                errors[name] = frame_errors(outputs[name], target, face)
        return outputs, errors

    return jax.jit(score)


def judge(data: shots.Config, choice: Choice, system: System) -> Judge:
    """Returns the judge of the chosen clips; `rows` frames are made at a time.

    Raises:
      InputError: see `FewShotTasks`.
    """
    tasks, compiled = FewShotTasks(choice, data), make_scorer(system)

    def look(
        gen: PyTree,
        stats: PyTree,
        frozen: PyTree,
        rows: int = 8,
        put: Callable[[PyTree], PyTree] = jax.device_put,
    ) -> Result:
        score = functools.partial(compiled, gen, stats, frozen)
        batch = functools.partial(batch_of, data=data)
        return measure(score, tasks, batch, panels, rows=rows, put=put)

    return Judge({"morphable": tasks.model}, look)


def panels(
    inputs: dict[str, Any], made: dict[str, np.ndarray], row: int, target: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns one frame's pictures for the sheet, {label: uint8 [H, W, 3]}.

    References, projection, what is warped of both, result and truth, as in the paper's figures.
    """
    pictures = {"references": _tile(as_bytes(inputs["references"][0][:SHOWN_REFERENCES]))}
    columns: dict[str, tuple[str, Callable]] = {
        "landmarks": ("sketch", lambda x: face_as_bytes(np.repeat(x, 3, -1))),
        "matched": ("matched", as_bytes),
        "flow": ("flow", flow_as_bytes),
        "warped": ("warped", as_bytes),
        "projection": ("projection", as_bytes),
        "warped projection": ("warped_projection", as_bytes),
        "result": ("image", as_bytes),
    }
    pictures |= {label: draw(made[k][row]) for label, (k, draw) in columns.items() if k in made}
    pictures["truth"] = as_bytes(target)
    side = max(LEAST_PANEL, len(target))
    return {label: pipeline.resize(image, side) for label, image in pictures.items()}


def _tile(images: np.ndarray) -> np.ndarray:
    """One picture, or four in a square."""
    if len(images) < SHOWN_REFERENCES:
        return images[0]
    return np.concatenate([np.concatenate(images[k : k + 2], axis=1) for k in (0, 2)])


WORKLOAD = Workload(
    Data=shots.Config,
    open=few_shot.FewShots,
    spec=few_shot.batch_spec,
    judge=judge,
    rank=lambda report: report["model"]["psnr"],
    summary=functools.partial(summary_line, kinds=KINDS),
)
