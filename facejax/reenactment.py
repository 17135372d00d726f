"""Self-reenactment of held-out clips: make every frame from one reference, and measure.

Figures, over all frames: `l1` (0 to 255), `psnr` (dB, pooled MSE) and `psnr_frame` (mean of the
frames' own), of `model`, of its `warped` reference, and of `copy_reference`, which shows the same
reference frame throughout.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from facejax.data import batches, pipeline
from facejax.judging import COPY, Task, Tasks, measure, summary_line
from facejax.metrics import reconstruction
from facejax.panels import panels
from facejax.system import PyTree, System
from facejax.workload import Choice, Judge, Result, Workload


def open_tasks(choice: Choice, data: pipeline.Config) -> Tasks:
    """Returns the clips to evaluate, prepared with the size and the audio front end of a run.

    Raises:
      InputError: see `judging.Tasks`.
    """
    return Tasks(choice, functools.partial(pipeline.footage, config=data))


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
      data: frames and id_source of the run.
      rows: frames made at a time.
      put: puts a batch on the devices.
    """

    def shown(inputs: dict, made: dict, row: int, target: np.ndarray) -> dict[str, np.ndarray]:
        return panels(inputs["reference"][0], made, row, target)

    batch = functools.partial(_batch, data=data)
    return measure(score, tasks, batch, shown, rows=rows, put=put)


def _batch(
    task: Task, targets: np.ndarray, data: pipeline.Config
) -> tuple[dict[str, Any], np.ndarray]:
    """Returns the inputs, one reference for all, and the true frames."""
    steps = np.arange(1 - data.frames, 1)
    windows = [np.maximum(int(t) + steps, task.start) for t in targets]
    examples = [pipeline.example(task.shot, w, task.reference, data) for w in windows]
    batch = batches.stack(examples)
    inputs = {k: batch[k] for k in ("driving_motion", "audio")}
    inputs |= {
        k: jax.tree.map(lambda x: x[:1], batch[k]) for k in ("reference", "reference_motion")
    }
    return inputs, batch["target"]


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
      InputError: see `judging.Tasks`.
    """
    data = dataclasses.replace(data, mask=False)  # what only a loss looks at
    tasks, compiled = open_tasks(choice, data), make_scorer(system)

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
