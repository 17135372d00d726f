"""What a run writes for people: metrics.jsonl, TensorBoard, log lines, sample sheets."""

import json
import logging
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from facejax.errors import InputError
from facejax.files import atomic_path, write_errors, write_image

METRICS = "metrics.jsonl"


class Reporter:
    """Writes figures and pictures of one run, on the first process only.

    Args:
      workdir: of the run.
      step: where it starts; lines of later steps, left by a killed run, are dropped.
    """

    def __init__(self, workdir: pathlib.Path, step: int):
        self._workdir, self._active = workdir, jax.process_index() == 0
        if not self._active:
            return
        from clu import metric_writers  # loads TensorFlow

        _trim(workdir / METRICS, step)
        self._board = metric_writers.SummaryWriter(str(workdir))

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """Writes scalars of a step to metrics.jsonl and TensorBoard."""
        if not self._active:
            return
        line = {"step": step} | {name: float(value) for name, value in values.items()}
        path = self._workdir / METRICS
        with write_errors(path), open(path, "a") as file:
            file.write(json.dumps(line) + "\n")
        self._board.write_scalars(step, dict(values))

    def sheet(self, step: int, sheet: np.ndarray) -> None:
        """Writes a contact sheet, uint8 [H, W, 3], to samples/ and TensorBoard."""
        if not self._active:
            return
        folder = self._workdir / "samples"
        folder.mkdir(exist_ok=True)
        write_image(folder / f"{step:08d}.png", sheet)
        self._board.write_images(step, {"samples": sheet[None]})

    def close(self) -> None:
        """Writes what is still in memory."""
        if self._active:
            self._board.flush()
            self._board.close()


class Terms:
    """Collects the terms of each step on the device, and reads them all at once.

    Reading waits for the device; a loop that read every step would leave it idle.
    """

    def __init__(self, step: int):
        self._first, self._kept = step, []  # type: ignore[var-annotated]
        self._began = time.perf_counter()

    def restart_clock(self) -> None:
        """Leaves out of the speed what was done since the last flush (evaluation, saving)."""
        self._began = time.perf_counter()

    def add(self, terms: Mapping[str, jax.Array]) -> None:
        """Keeps one step's terms."""
        self._kept.append(terms)

    def flush(self, saved: int | None, workdir: Any) -> dict[str, float]:
        """Returns the mean of each term since the last flush, and "steps_per_second".

        Args:
          saved: the newest checkpoint's step, for the message.
          workdir: for the message.

        Raises:
          InputError: a term was not finite; its name and step, and what to do.
        """
        kept, first = jax.device_get(self._kept), self._first
        for number, terms in enumerate(kept):
            wrong = [name for name, value in terms.items() if not np.isfinite(value)]
            if wrong:
                parts = [name for name in wrong if name.split("/")[-1] not in ("loss", "grad_norm")]
                name = (parts or wrong)[0]
                good = f"step {saved} is kept in {workdir}" if saved else "none was saved yet"
                raise InputError(
                    f"{name} is {terms[name]} at step {first + number + 1}: stopped. Last good "
                    f"checkpoint: {good}. Lower optim.gen_lr and optim.dis_lr, or set optim.clip=1"
                )
        if not kept:
            return {}
        seconds = time.perf_counter() - self._began
        self.restart_clock()
        self._first, self._kept = first + len(kept), []
        means = {name: float(np.mean([terms[name] for terms in kept])) for name in kept[0]}
        return means | {"steps_per_second": len(kept) / seconds}


def log_line(step: int, total: int, values: Mapping[str, float]) -> None:
    """Logs the losses of a step in one line."""
    shown = {name: value for name, value in values.items() if not name.endswith("grad_norm")}
    logging.info(
        "step %d of %d: %s", step, total, ", ".join(f"{k} {v:.4g}" for k, v in shown.items())
    )


def write_overview(path: pathlib.Path, params: Mapping[str, Any]) -> None:
    """Writes a table of every parameter of every net: shape, size, and the sums."""
    from clu import parameter_overview

    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), dict(params))
    parts = []
    for name, tree in shapes.items():
        table = parameter_overview.get_parameter_overview(tree, include_stats=False)
        parts.append(f"{name}\n{table}\n")
    with atomic_path(path) as partial:
        partial.write_text("\n".join(parts))


def _trim(path: pathlib.Path, step: int) -> None:
    """Drops the lines of steps after `step`, and one cut short by a kill."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError):
            continue
    with atomic_path(path) as partial:
        partial.write_text("".join(f"{line}\n" for line in kept))
