"""Rendering to video, held out: every frame from its motion, measured against the true one.

Figures, over all frames: `l1` (0 to 255), `psnr` (dB, pooled MSE) and `psnr_frame` (mean of the
frames' own), of `model`, of the bare `render` that it is given, black beside the face, and of
`copy_reference`, which shows the span's reference frame throughout. `model_face`, `render_face` and
`copy_face` are the same where the render shows the face.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from facejax import speakers
from facejax.data import batches, pipeline, windows
from facejax.judging import COPY, Task, Tasks, evenly, measure, summary_line
from facejax.metrics.reconstruction import frame_errors
from facejax.panels import as_bytes
from facejax.system import PyTree, System
from facejax.workload import Choice, Judge, Result, Workload

KINDS = ("model", "render", COPY, "model_face", "render_face", "copy_face")
LEAST_PANEL = 128  # px: smaller pictures are enlarged
ERROR_GAIN = 3  # of the error map: a difference of 85 of 255 is white


def make_scorer(system: System) -> Callable:
    """Returns the compiled (gen, stats, frozen, inputs, target) -> (outputs, {name: errors})."""

    def score(gen: PyTree, stats: PyTree, frozen: PyTree, inputs: PyTree, target: jax.Array) -> Any:
        outputs = system.generate(gen, stats, frozen, inputs)
        still = jnp.broadcast_to(inputs["reference"], target.shape)
        face = jnp.any(outputs["render"] > -1, axis=-1, keepdims=True).astype(jnp.float32)
        shown = {"model": outputs["image"], "render": outputs["render"], "copy": still}
        errors = {f"{name}_face": frame_errors(x, target, face) for name, x in shown.items()}
        shown[COPY] = shown.pop("copy")
        return outputs, errors | {name: frame_errors(x, target) for name, x in shown.items()}

    return jax.jit(score)


def judge(data: windows.Config, choice: Choice, system: System) -> Judge:
    """Returns the judge of the chosen clips; `rows` frames are made at a time.

    Speakers whom the system does not know look as in the reference frame of their first clip.

    Raises:
      InputError: see `judging.Tasks`; or such a reference frame does not show the face.
    """
    tasks = Tasks(choice, functools.partial(windows.prepare, span=choice.span))
    known = jax.device_get(system.frozen["appearance"])
    ids = speakers.as_text(known["ids"])
    strangers: dict[str, tuple] = {}
    for task in tasks:
        if task.shot.speaker_id not in ids:
            strangers.setdefault(task.shot.speaker_id, (task.shot, np.array([task.reference])))
    looks = None
    if strangers:
        new = windows.appearances(list(strangers.values()), tasks.model, data.size)
        looks = {"corners": known["corners"]}
        names = ("albedo", "light", "reference", "identity")
        looks |= {name: np.concatenate([known[name], new[name]]) for name in names}
        ids = ids + list(strangers)
        looks["ids"] = speakers.as_numbers(np.asarray(ids))
    compiled = make_scorer(system)
    batch = functools.partial(_batch, data=data, ids=ids)

    def look(
        gen: PyTree,
        stats: PyTree,
        frozen: PyTree,
        rows: int = 8,
        put: Callable[[PyTree], PyTree] = jax.device_put,
    ) -> Result:
        if looks is not None:
            frozen = dict(frozen) | {"appearance": put(looks)}
        score = functools.partial(compiled, gen, stats, frozen)
        return measure(score, tasks, batch, panels, rows=rows, put=put, pick=_pick)

    return Judge({"morphable": tasks.model}, look)


def _batch(
    task: Task, targets: np.ndarray, data: windows.Config, ids: list[str]
) -> tuple[dict[str, Any], np.ndarray]:
    """Returns the inputs, with the reference frame beside them, and the true frames."""
    shot = task.shot
    frames = windows.window(targets, task.start, task.end, data.edges)
    speaker = np.asarray(ids.index(shot.speaker_id))
    rows = [{"motion": windows.motion(shot, f), "speaker": speaker} for f in frames]
    true = [pipeline.image_of(shot.frames[k], data.size) for k in targets]
    reference = pipeline.image_of(shot.frames[task.reference], data.size)
    return batches.stack(rows) | {"reference": reference[None]}, np.stack(true)


def _pick(task: Task, count: int) -> np.ndarray:
    """Returns evenly spaced targets; of several, the last gives way to a firmer blink."""
    chosen, blink = evenly(task.targets, count), task.shot.blink
    firmest = task.targets[np.argmax(blink[task.targets])]
    if count > 1 and blink[firmest] > blink[chosen].max():
        chosen[-1] = firmest
    return chosen


def panels(
    inputs: dict[str, Any], made: dict[str, np.ndarray], row: int, target: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns one frame's pictures for the sheet, {label: uint8 [H, W, 3]}."""
    attention = made["attention"][row]
    shade = 2 * attention / max(float(attention.max()), 1.0) - 1
    error = np.abs(made["image"][row] - target).mean(-1, keepdims=True)  # 0 to 2
    pictures = {
        "reference": inputs["reference"][0],
        "render": made["render"][row],
        "eye attention": np.repeat(shade, 3, -1),
        "result": made["image"][row],
        "truth": target,
        f"error x{ERROR_GAIN}": np.repeat(ERROR_GAIN * error - 1, 3, -1),
    }
    side = max(LEAST_PANEL, len(target))
    return {label: pipeline.resize(as_bytes(image), side) for label, image in pictures.items()}


WORKLOAD = Workload(
    Data=windows.Config,
    open=windows.Windows,
    spec=windows.batch_spec,
    judge=judge,
    rank=lambda report: report["model"]["psnr"],
    summary=functools.partial(summary_line, kinds=KINDS),
    keeps=("appearance",),
)
