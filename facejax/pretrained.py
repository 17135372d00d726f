"""Beginning with the generator of another run, as to fine-tune a general model on one person.

Unlike `config.resume`, which goes on where the other run stopped: here the step, the schedule, both
optimisers and the discriminator begin anew.
"""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from facejax import runs, settings
from facejax.checkpoints import Checkpoints
from facejax.errors import InputError
from facejax.morphable_files import load_model
from facejax.system import PyTree, TrainState
from facejax.systems import SYSTEMS

COEFFICIENTS = ("sequences", "shapes")  # workloads whose nets hold coefficients of one face model
HEARD = ("speech", "audio")  # keys of the section "data": the same weights hear nothing else


def begin(config: ConfigDict, given: dict[str, PyTree], fresh: TrainState) -> TrainState:
    """Returns `fresh` with the averaged generator, and its statistics, of config.pretrained.

    Args:
      config: of the new run.
      given: what its data gives.
      fresh: its state before the first step.

    Raises:
      InputError: that workdir has no checkpoint; or its run is of another system, of other sizes,
        of another face model, or hears other features.
    """
    workdir = pathlib.Path(config.pretrained)
    folder = workdir / runs.CHECKPOINTS
    if not folder.is_dir():
        raise InputError(
            f"pretrained is {workdir}, which has no {runs.CHECKPOINTS}/ in it; give the workdir of "
            "the run to begin with: --config.pretrained=DIR"
        )
    _check(config, settings.read_config(workdir / runs.CONFIG), workdir)
    needed = SYSTEMS[config.system].workload in COEFFICIENTS
    if needed and (workdir / runs.MODEL).is_file() and "morphable" in given:
        ours = load_model(workdir / runs.MODEL)
        runs.check_model(ours, given["morphable"], workdir, config.data.path)
    store = Checkpoints(folder)
    found = store.restore_part({"ema": fresh.params["gen"], "stats.gen": fresh.stats["gen"]})
    store.close()
    return dataclasses.replace(
        fresh,
        params=fresh.params | {"gen": found["ema"]},
        stats=fresh.stats | {"gen": found["stats.gen"]},
        ema=jax.tree.map(jnp.copy, found["ema"]),  # a copy: both are donated to the step
    )


def _check(config: ConfigDict, other: ConfigDict, workdir: pathlib.Path) -> None:
    """Refuses a run whose weights would mean something else here."""
    if other.system != config.system:
        raise InputError(f"pretrained is {workdir}, a run of {other.system}; due: {config.system}")
    for key in HEARD:
        theirs, ours = other.data.get(key), config.data.get(key)
        if theirs != ours:
            raise InputError(
                f"the run in {workdir} hears {key} {theirs!r}, this one {ours!r}; "
                f"set --config.data.{key}={theirs}"
            )
