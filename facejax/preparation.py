"""From a config to a run that is ready to step: data, system, mesh, state, held-out clips."""

import functools
import logging
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from facejax import pretrained, reporting, runs, settings, sharding
from facejax import step as steps
from facejax.checkpoints import Checkpoints
from facejax.data import records
from facejax.errors import InputError
from facejax.files import write_errors
from facejax.morphable_files import load_model
from facejax.optimisers import make_optimisers
from facejax.system import PyTree, System, TrainState
from facejax.workload import Choice, Judge, Workload
from facejax.workloads import workload_of

BEST = "rank"  # name of the held-out figure that chooses the checkpoint that stays
SHOWN = 8  # of the training's clips, where none are held out


class Check(NamedTuple):
    """What is looked at while training: clips, and whether training keeps off them."""

    judge: Judge
    held_out: bool


class Setup(NamedTuple):
    """All that a run needs and does not change."""

    options: settings.Train
    workdir: pathlib.Path
    total: int  # steps
    workload: Workload
    source: Any  # see `Workload`
    mesh: jax.sharding.Mesh
    system: System  # what is frozen lies on the devices
    key: jax.Array  # folded with the step by the step
    init: Callable[[], TrainState]
    step: Any  # compiled for the mesh when it is first called or lowered
    check: Check


def set_up(config: ConfigDict, workdir: pathlib.Path) -> Setup:
    """Returns the run of a config, checked in the order in which the checks cost time.

    Raises:
      InputError: a fault in the config, the data or the workdir.
    """
    options, optim = settings.section(config, "train"), settings.section(config, "optim")
    data = settings.section(config, "data")
    settings.section(config, "eval")
    if not data.path:
        raise InputError("data.path is empty; set it: --config.data.path=DIR")
    mesh = sharding.make_mesh()
    rows = sharding.host_rows(data.batch, mesh, optim.accumulate)
    workload = workload_of(config.system)
    source = workload.open(data, config.seed, rows)
    total = options.steps or source.plan.epoch_end(options.epochs)
    system = runs.make_system(config, source.given)
    system = system._replace(frozen=sharding.replicate(system.frozen, mesh))
    _open_workdir(config, workdir, source.given)
    optimisers = make_optimisers(optim, total, source.plan.epoch_end)
    choices = {"ema_decay": optim.ema, "dis_every": optim.dis_every, "accumulate": optim.accumulate}
    step = steps.make_step(system, *optimisers, **choices)
    init = functools.partial(_init, config, source.given, system, optimisers)
    return Setup(
        options=options,
        workdir=workdir,
        total=total,
        workload=workload,
        source=source,
        mesh=mesh,
        system=system,
        key=sharding.replicate(jax.random.key(config.seed), mesh),
        init=init,
        step=sharding.compile_step(step, mesh),
        check=_check(config, workload, system),
    )


def first_state(config: ConfigDict, setup: Setup, store: Checkpoints) -> TrainState:
    """Returns the workdir's newest checkpoint, else that of config.resume, else a fresh state.

    A fresh state has the generator of config.pretrained, where that is set.

    Raises:
      InputError: a checkpoint is of another model, or config.resume or config.pretrained has none.
    """
    everywhere = sharding.replicated(setup.mesh)
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere),
        jax.eval_shape(setup.init),
    )
    if jax.process_index() == 0:
        reporting.write_overview(setup.workdir / "params.txt", target.params)
    if store.latest() is not None:
        logging.info("resuming %s from step %d", setup.workdir, store.latest())
        return store.restore(target)
    if config.resume:
        folder = pathlib.Path(config.resume) / runs.CHECKPOINTS
        if not folder.is_dir():
            raise InputError(f"resume is {config.resume}, which has no {runs.CHECKPOINTS}/ in it")
        other = Checkpoints(folder)
        logging.info("starting from step %s of %s", other.latest(), config.resume)
        return other.restore(target)
    fresh = sharding.replicate(setup.init(), setup.mesh)
    if config.get("pretrained"):
        logging.info("beginning with the generator of %s", config.pretrained)
        return pretrained.begin(config, setup.source.given, fresh)
    return fresh


def _open_workdir(config: ConfigDict, workdir: pathlib.Path, given: dict[str, PyTree]) -> None:
    """Writes config.json and what the data gives, or holds them against those of the run so far."""
    try:
        with write_errors(workdir):
            workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the workdir {workdir}: {error.strerror}") from error
    _check_given(workdir, given, config.data.path)
    if (workdir / runs.CONFIG).is_file():
        changes = settings.differences(settings.read_config(workdir / runs.CONFIG), config)
        if changes:
            logging.warning("the config is another than before: %s", "; ".join(changes))
    if jax.process_index() == 0:
        runs.write_given(workdir, given)
        settings.write_config(workdir / runs.CONFIG, config)


def _check_given(workdir: pathlib.Path, given: dict[str, PyTree], folder: str) -> None:
    """Holds what the data gives against what the run has kept of it."""
    for name, new in given.items():
        path = workdir / f"{name}.npz" if name != "morphable" else workdir / runs.MODEL
        if path.is_file() and name == "morphable":
            runs.check_model(load_model(path), new, workdir, folder)
        elif path.is_file():
            kept = runs.read_given(workdir, (name,), needs_model=False)[name]
            runs.check_kept(kept, new, path, folder)


def _init(
    config: ConfigDict, given: dict[str, PyTree], system: System, optimisers: tuple[Any, Any]
) -> TrainState:
    """Returns the state before the first step; only the batch's shapes matter."""
    spec = runs.batch_spec(config, given, config.data.batch)
    batch = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), spec)
    key = jax.random.fold_in(jax.random.key(config.seed), 1)
    return steps.init_state(system, *optimisers, key=key, batch=batch)


def _check(config: ConfigDict, workload: Workload, system: System) -> Check:
    """Opens the held-out clips; where there are none, a few of the training's, for the sheets."""
    options, data = settings.section(config, "eval"), settings.section(config, "data")
    split = "validation" if options.split == "auto" else options.split
    splits = workload.splits or records.splits
    held_out = options.split != "auto" or split in splits(data.path)
    if held_out:
        choice = Choice(data.path, split, options.span, options.clips)
        choice = choice._replace(most_clips=options.most_clips, most_frames=options.most_frames)
    else:
        logging.info("no validation split: no held-out figures while training (see eval.split)")
        choice = Choice(data.path, data.split, data.span, data.clips)
        choice = choice._replace(most_clips=SHOWN, most_frames=1)
    return Check(workload.judge(data, choice, system), held_out)
