"""Trains a system from a config.

  facejax train --config configs/headgan_small.py --config.data.path=DIR --workdir W

Any key of the config is set as --config.train.steps=2000. Given again, the same command goes on
where the run stopped. SIGTERM and Ctrl-C save first; the exit status is then 75 or 130. W holds
config.json, model.npz, params.txt, metrics.jsonl, TensorBoard events, samples/, checkpoints/, and
DONE at the end.
"""

import argparse
import functools
import logging
import os
import pathlib
import time
from typing import Any

import jax
from ml_collections import ConfigDict

from facejax import reporting, runs, settings, sharding
from facejax.checkpoints import PREEMPTED, Checkpoints, StopRequest
from facejax.files import atomic_path
from facejax.preparation import BEST, Setup, first_state, set_up
from facejax.progress import progress
from facejax.system import PyTree, TrainState

EVENTS = ("log", "eval", "sample", "checkpoint")


def train(config: ConfigDict, workdir: str | os.PathLike) -> TrainState:
    """Trains, or goes on training, and returns the state.

    Args:
      config: see `settings.default_config`.
      workdir: where everything is written; made if missing.

    Raises:
      InputError: a fault in the config, the data or an earlier checkpoint; or a loss that is no
        longer finite.
    """
    return _train(config, pathlib.Path(workdir))[0]


def _train(config: ConfigDict, workdir: pathlib.Path) -> tuple[TrainState, int]:
    """As `train`; also returns the exit status, not 0 when a signal ended the run early."""
    setup = set_up(config, workdir)
    best = BEST if setup.check.held_out else None
    store = Checkpoints(workdir / runs.CHECKPOINTS, setup.options.keep, best)
    state = first_state(config, setup, store)
    start = int(jax.device_get(state.step))
    if start >= setup.total:
        logging.info("%s is complete: step %d of %d", workdir, start, setup.total)
        return state, 0
    reporter = reporting.Reporter(workdir, start)
    try:
        state, status = _loop(setup, store, reporter, state, start)
    finally:
        reporter.close()
        store.close()
    if not status and jax.process_index() == 0:
        with atomic_path(workdir / "DONE") as partial:
            partial.write_text(f"{setup.total}\n")
    return state, status


def _loop(
    setup: Setup, store: Checkpoints, reporter: reporting.Reporter, state: TrainState, start: int
) -> tuple[TrainState, int]:
    """Runs the steps that are left; a state is found finite before it is saved."""
    total = setup.total
    batches = sharding.prefetch(
        setup.source.iterate(start, total, setup.options.threads), setup.mesh
    )
    terms = reporting.Terms(start)
    step, status = None, 0
    with StopRequest() as stop:
        for done, batch in enumerate(progress(batches, total - start, "train"), start + 1):
            if step is None:
                step = _compile(setup, reporter, start, state, batch)
                terms.restart_clock()
            with jax.transfer_guard("disallow"):  # a stray numpy argument would be copied each step
                state, now = step(state, setup.system.frozen, batch, setup.key)
            terms.add(now)
            status = PREEMPTED if store.reached_preemption(done) else stop.status
            due = {name: _due(setup, name, done) for name in EVENTS}
            if any(due.values()) or status:
                _report(setup, reporter, done, terms.flush(store.latest(), setup.workdir))
                figures = None if status else _look(setup, reporter, done, state, due)
                if due["checkpoint"] or status:
                    store.save(done, state, figures)
                terms.restart_clock()
            if status:
                logging.info("stopped at step %d of %d; the same command goes on", done, total)
                break
    return state, status


def _due(setup: Setup, name: str, done: int) -> bool:
    """Whether an event falls on this step: every so often, and at the end; never when it is 0."""
    every, ending = getattr(setup.options, f"{name}_every"), done == setup.total
    return (ending or done % every == 0) if every else ending and name == "checkpoint"


def _compile(
    setup: Setup, reporter: reporting.Reporter, start: int, state: TrainState, batch: PyTree
) -> Any:
    """Returns the compiled step, and reports what that took and what a step costs."""
    began = time.perf_counter()
    step = setup.step.lower(state, setup.system.frozen, batch, setup.key).compile()
    figures = {"compile_seconds": time.perf_counter() - began}
    cost = step.cost_analysis() or {}
    if "flops" in cost:
        figures["step_gigaflop"] = cost["flops"] / 1e9  # on each device
    reporter.figures(start, figures)
    logging.info("compiled in %.1f s", figures["compile_seconds"])
    return step


def _report(setup: Setup, reporter: reporting.Reporter, done: int, terms: dict[str, float]) -> None:
    """Writes the mean terms since the last report, the speed and the memory."""
    images = getattr(setup.source.config, "images", setup.source.config.batch)  # of a step
    figures = terms | {"images_per_second": terms["steps_per_second"] * images}
    memory = setup.mesh.local_devices[0].memory_stats() or {}
    if "peak_bytes_in_use" in memory:
        figures["peak_gigabytes"] = memory["peak_bytes_in_use"] / 1e9
    reporter.figures(done, figures)
    reporting.log_line(done, setup.total, figures)


def _look(
    setup: Setup, reporter: reporting.Reporter, done: int, state: TrainState, due: dict[str, bool]
) -> dict[str, float] | None:
    """Makes the sheet and the held-out figures that are due; returns the one that ranks."""
    check = setup.check
    if not (due["sample"] or (due["eval"] and check.held_out)):
        return None
    put = functools.partial(sharding.replicate, mesh=setup.mesh)
    report, sheet = check.judge.look(state.ema, state.stats, setup.system.frozen, put=put)
    if due["sample"]:
        reporter.sheet(done, sheet)
    if not check.held_out:
        return None
    kinds = {k: v for k, v in report.items() if isinstance(v, dict) and k != "by_clip"}
    figures = {f"eval/{k}/{name}": x for k, v in kinds.items() for name, x in v.items()}
    reporter.figures(done, figures)
    logging.info("held out: %s", setup.workload.summary(report))
    return {BEST: setup.workload.rank(report)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments; the rest are overrides of the config."""
    parser.add_argument("--config", required=True, metavar="FILE[:ARG]", help="configs/headgan.py")
    parser.add_argument("--workdir", required=True, metavar="DIR", help="where the run is written")
    parser.add_argument(
        "--distributed", action="store_true", help="connect to the other processes of the job"
    )
    parser.set_defaults(overrides=[])


def run(args: argparse.Namespace) -> int:
    """Trains; returns 0, or the exit status of a run that a signal ended."""
    config = settings.load_config(args.config, args.overrides)
    sharding.start(args.distributed)
    if jax.process_index():
        logging.getLogger().setLevel(logging.WARNING)  # the first process speaks for all
    runs.use_compile_cache()
    return _train(config, pathlib.Path(args.workdir))[1]
