"""Self-reenactment of held-out clips: make every frame from one reference, and measure.

Figures, over all frames: `l1` (0 to 255), `psnr` (dB, pooled MSE) and `psnr_frame` (mean of the
frames' own), of `model`, of its `warped` reference, and of `copy_reference`, which shows the same
reference frame throughout.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax import sheets
from facejax.data import batches, pipeline, records
from facejax.data.schedule import nearest_valid
from facejax.errors import InputError
from facejax.metrics import reconstruction
from facejax.panels import panels
from facejax.progress import progress
from facejax.system import PyTree, System
from facejax.workload import Choice, Judge, Result, Workload

SHOWN = 8  # clips on the contact sheet
KEPT = 32  # clips held in memory
COPY = "copy_reference"


class Task(NamedTuple):
    """One clip: make `targets` from the frame `reference`."""

    name: str
    shot: pipeline.Footage
    start: int  # first frame of the span: no frame before it is read
    reference: int
    targets: np.ndarray


class Tasks(Sequence):
    """The clips to evaluate, read when they are asked for; a few are kept.

    Args:
      choice: which clips and frames.
      data: size, frames and audio front end of the run.

    Raises:
      InputError: nothing to evaluate, or the reference lies outside a clip's span.
    """

    def __init__(self, choice: Choice, data: pipeline.Config):
        pipeline.check_span(choice.span)
        self._choice, self._data = choice, data
        self._clips = records.open_clips(choice.path, choice.split)
        ids = self._clips.ids
        self._numbers = _thin(pipeline.select(ids, choice.clips), choice.most_clips)
        for number in self._numbers:
            start, end = pipeline.frame_range(self._clips.lengths[number], choice.span)
            if not 0 <= choice.reference_index < end - start:
                raise InputError(
                    f"--reference-index is {choice.reference_index}; clip {ids[number]} has "
                    f"{end - start} frames in span {choice.span}: due 0 to {end - start - 1}"
                )
        self._task = functools.lru_cache(maxsize=KEPT)(self._read)
        if not any(len(task.targets) for task in self):
            raise InputError(f"{choice.path}, {choice.split}: no clip has two frames with a face")

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: Any) -> Any:
        return self._task(range(len(self))[index])

    @property
    def model(self) -> Any:
        """The data folder's morphable model."""
        return self._clips.model

    def _read(self, index: int) -> Task:
        clip, choice = self._clips[self._numbers[index]], self._choice
        start, end = pipeline.frame_range(len(clip.times), choice.span)
        valid = clip.valid[start:end]
        reference = start + nearest_valid(valid, choice.reference_index)
        targets = [start + int(k) for k in np.flatnonzero(valid) if start + k != reference]
        chosen = np.asarray(_thin(targets, choice.most_frames), np.int64)
        shot = pipeline.footage(clip, self._data)
        return Task(clip.clip_id, shot, start, reference, chosen)


def make_scorer(system: System) -> Callable:
    """Returns the compiled (gen, stats, frozen, inputs, target) -> (outputs, {name: errors})."""

    def score(gen: PyTree, stats: PyTree, frozen: PyTree, inputs: PyTree, target: jax.Array) -> Any:
        outputs = system.generate(gen, stats, frozen, inputs)
        still = jnp.broadcast_to(inputs["reference"], target.shape)
        shown = {"model": outputs["image"], COPY: still}
        if "warped" in outputs:
            shown["warped"] = outputs["warped"]
        return outputs, {k: reconstruction.frame_errors(v, target) for k, v in shown.items()}

    return jax.jit(score)


def reenact(
    score: Callable,
    tasks: Tasks,
    data: pipeline.Config,
    *,
    rows: int = 8,
    put: Callable[[PyTree], PyTree] = jax.device_put,
) -> Result:
    """Makes every target frame of every task and measures it.

    Args:
      score: of `make_scorer`, with weights filled in: (inputs, target) -> (outputs, errors).
      tasks: the clips.
      data: size, frames and id_source of the run.
      rows: frames made at a time.
      put: puts a batch on the devices.
    """
    errors: dict[str, dict[str, list]] = {}
    shown: list[dict[str, np.ndarray]] = []
    for task in progress(tasks, len(tasks), "evaluate"):
        if not len(task.targets):
            continue
        middle = task.targets[len(task.targets) // 2] if len(shown) < SHOWN else -1
        for first in range(0, len(task.targets), rows):
            targets = task.targets[first : first + rows]
            inputs, target = _batch(task, targets, rows, data)
            outputs, found = score(put(inputs), put(target))
            for name, values in jax.device_get(found).items():
                kept = reconstruction.FrameErrors(*(v[: len(targets)] for v in values))
                errors.setdefault(task.name, {}).setdefault(name, []).append(kept)
            if middle in targets:
                row = int(np.flatnonzero(targets == middle)[0])
                made = jax.device_get(outputs)
                shown.append(panels(inputs["reference"][0], made, row, target[row]))
    return Result(_report(errors), _sheet(shown))


def summary_line(report: dict[str, Any]) -> str:
    """Returns the figures of a report in one line."""
    names = [name for name in ("model", "warped", COPY) if name in report]
    figures = [f"{n}: L1 {report[n]['l1']:.2f} PSNR {report[n]['psnr']:.2f} dB" for n in names]
    return f"{report['clip_count']} clips, {report['frame_count']} frames. " + "; ".join(figures)


def _thin(items: Sequence, most: int) -> list:
    """Returns at most `most` of the items, evenly spaced (0: all)."""
    if not most or len(items) <= most:
        return list(items)
    return [items[k] for k in np.linspace(0, len(items) - 1, most).round().astype(int)]


def _batch(
    task: Task, targets: np.ndarray, rows: int, data: pipeline.Config
) -> tuple[dict[str, Any], np.ndarray]:
    """Returns the inputs, one reference for all, and the true frames; the last row fills up."""
    full = np.concatenate([targets, np.repeat(targets[-1:], rows - len(targets))])
    steps = np.arange(1 - data.frames, 1)
    windows = [np.maximum(int(t) + steps, task.start) for t in full]
    examples = [pipeline.example(task.shot, w, task.reference, data) for w in windows]
    batch = batches.stack(examples)
    inputs = {k: batch[k] for k in ("driving_motion", "audio")}
    inputs |= {
        k: jax.tree.map(lambda x: x[:1], batch[k]) for k in ("reference", "reference_motion")
    }
    return inputs, batch["target"]


def _report(errors: dict[str, dict[str, list]]) -> dict[str, Any]:
    by_clip = {
        name: {kind: reconstruction.summary(parts) for kind, parts in kinds.items()}
        for name, kinds in errors.items()
    }
    whole = {
        kind: reconstruction.summary([part for one in errors.values() for part in one[kind]])
        for kind in next(iter(errors.values()))
    }
    frames = sum(len(part.absolute) for one in errors.values() for part in one["model"])
    return {"clip_count": len(errors), "frame_count": frames} | whole | {"by_clip": by_clip}


def _sheet(rows: Sequence[dict[str, np.ndarray]]) -> np.ndarray:
    images = [image for row in rows for image in row.values()]
    labels = [label for row in rows for label in row]
    return sheets.grid(images, labels, columns=len(rows[0]))


def batch_spec(data: pipeline.Config, given: dict[str, PyTree], rows: int = 1) -> PyTree:
    """Returns the shapes of a batch of `rows` rows (`data.pipeline.Pipeline.load`)."""
    model = given["morphable"]
    size, frames = data.size, data.frames
    identity, expression = len(model.identity_basis), len(model.expression_basis)

    def leaf(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((rows, *shape), jnp.float32)

    def motion(*time: int) -> dict[str, jax.ShapeDtypeStruct]:
        return {
            "identity": leaf(*time, identity),
            "expression": leaf(*time, expression),
            "pose": leaf(*time, 6),
        }

    return {
        "reference": leaf(size, size, 3),
        "target": leaf(size, size, 3),
        "reference_motion": motion(),
        "driving_motion": motion(frames),
        "landmarks": leaf(70, 2),
        "audio": leaf(pipeline.AUDIO_SIZE),
    }


def judge(data: pipeline.Config, choice: Choice, system: System) -> Judge:
    """Returns the judge of the chosen clips; `rows` frames are made at a time.

    Raises:
      InputError: see `Tasks`.
    """
    data = dataclasses.replace(data, mask=False)  # what only a loss looks at
    tasks, compiled = Tasks(choice, data), make_scorer(system)

    def look(
        gen: PyTree,
        stats: PyTree,
        frozen: PyTree,
        rows: int = 8,
        put: Callable[[PyTree], PyTree] = jax.device_put,
    ) -> Result:
        score = functools.partial(compiled, gen, stats, frozen)
        return reenact(score, tasks, data, rows=rows, put=put)

    return Judge({"morphable": tasks.model}, look)


WORKLOAD = Workload(
    Data=pipeline.Config,
    open=pipeline.Pipeline,
    spec=batch_spec,
    judge=judge,
    rank=lambda report: report["model"]["psnr"],
    summary=summary_line,
)
