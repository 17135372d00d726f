"""A trained run, read from its workdir: what evaluation and animation start from.

A workdir holds config.json, model.npz (the morphable model, if the data has one; beside it whatever
else the data gave), checkpoints/<step>/, params.txt, metrics.jsonl, TensorBoard events, samples/
and, when the run is complete, DONE.
"""

import functools
import os
import pathlib
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import SingleDeviceSharding
from ml_collections import ConfigDict

from facejax import settings, speakers
from facejax.checkpoints import Checkpoints
from facejax.errors import InputError
from facejax.files import atomic_path
from facejax.geometry.morphable import MorphableModel
from facejax.morphable_files import load_model, save_model
from facejax.system import PyTree, System
from facejax.systems import SYSTEMS
from facejax.workloads import workload_of

CONFIG = "config.json"
MODEL = "model.npz"
CHECKPOINTS = "checkpoints"
# What only training needs: a run is used without these files.
_LOSS_ONLY = {"vgg": "", "parsing": "", "lambda_vgg": 0.0, "initial": ""}


class Run(NamedTuple):
    """A generator with its weights. `generate(inputs)` is compiled; inputs as `System.generate`."""

    config: ConfigDict
    system: System
    gen: PyTree  # the average's parameters
    stats: PyTree  # {"gen": ...}
    step: int
    generate: Callable[[PyTree], dict[str, jax.Array]]


def make_system(config: ConfigDict, given: dict[str, PyTree]) -> System:
    """Returns the config's system, with what its data gives among what is frozen.

    Text in there, as a speaker's id, becomes numbers (`speakers.as_text` reads them).
    """
    system = SYSTEMS[config.system].make(settings.model_config(config))
    return system._replace(frozen=dict(system.frozen) | jax.tree.map(speakers.as_numbers, given))


def batch_spec(config: ConfigDict, given: dict[str, PyTree], rows: int = 1) -> PyTree:
    """Returns the shapes of a batch of `rows` rows."""
    return workload_of(config.system).spec(settings.section(config, "data"), given, rows)


def write_given(workdir: pathlib.Path, given: dict[str, PyTree]) -> None:
    """Writes what the data gives: a morphable model, if any, and a .npz of each dictionary."""
    if "morphable" in given:
        save_model(workdir / MODEL, given["morphable"])
    for name in given.keys() - {"morphable"}:
        with atomic_path(workdir / f"{name}.npz") as partial, open(partial, "wb") as file:
            np.savez(file, **given[name])


def read_given(
    workdir: pathlib.Path, keeps: tuple[str, ...], needs_model: bool = True
) -> dict[str, PyTree]:
    """Returns what `write_given` wrote.

    Args:
      workdir: of the run.
      keeps: the names of the dictionaries beside the morphable model.
      needs_model: False: a morphable model may be missing.

    Raises:
      InputError: a file is missing or damaged.
    """
    given: dict[str, PyTree] = {}
    if needs_model or (workdir / MODEL).is_file():
        given["morphable"] = load_model(workdir / MODEL)
    for name in keeps:
        path = workdir / f"{name}.npz"
        try:
            with np.load(path, allow_pickle=False) as arrays:
                given[name] = {key: arrays[key] for key in arrays.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} cannot be read ({error}); train anew or restore it") from None
    return given


def load(workdir: str | os.PathLike, step: int | None = None) -> Run:
    """Returns the run of a workdir at a step (None: the newest checkpoint).

    Raises:
      InputError: it is no workdir, has no such checkpoint, or the parts do not fit together.
    """
    workdir = pathlib.Path(workdir)
    if not workdir.is_dir():
        raise InputError(
            f"no workdir {workdir}; train one first: facejax train --workdir {workdir}"
        )
    config = settings.read_config(workdir / CONFIG)
    with config.unlocked():
        config.model.update({k: v for k, v in _LOSS_ONLY.items() if k in config.model})
    workload = workload_of(config.system)
    given = read_given(workdir, workload.keeps, workload.needs_model)
    system = make_system(config, given)
    system = system._replace(frozen=jax.device_put(system.frozen))
    init = functools.partial(jax.eval_shape, system.init, jax.random.key(0), system.frozen)
    params, stats = init(batch_spec(config, given))
    folder = workdir / CHECKPOINTS
    if not folder.is_dir():
        raise InputError(f"{workdir} has no checkpoint yet; let its training run longer")
    store = Checkpoints(folder)
    step = store.latest() if step is None else step
    here = SingleDeviceSharding(jax.devices()[0])  # wherever the run was trained
    parts = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here),
        {"ema": params["gen"], "stats.gen": stats["gen"]},
    )
    found = store.restore_part(parts, step)
    store.close()
    gen, stats = found["ema"], {"gen": found["stats.gen"]}
    compiled = jax.jit(system.generate)
    generate = lambda inputs: compiled(gen, stats, system.frozen, inputs)
    return Run(config, system, gen, stats, int(step or 0), generate)


def check_model(
    ours: MorphableModel, data: MorphableModel, workdir: object, folder: object
) -> None:
    """Raises an InputError unless a run and a data folder speak of the same morphable model."""
    pairs = zip(ours, data, strict=True)
    if not all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in pairs):
        raise InputError(
            f"the clips in {folder} are fitted with another face model than the run in {workdir}; "
            f"preprocess them with --model {workdir}/{MODEL}, or train anew in another --workdir"
        )


def check_kept(
    ours: dict[str, np.ndarray], data: dict[str, np.ndarray], file: object, folder: object
) -> None:
    """Raises an InputError unless what a run keeps in `file` is what the data folder gives."""

    def alike(a: np.ndarray, b: np.ndarray) -> bool:
        if a.shape != b.shape or a.dtype.kind != b.dtype.kind:
            return False
        # Not bit for bit: the run may have begun on another machine.
        return np.array_equal(a, b) if a.dtype.kind == "U" else np.allclose(a, b, 1e-3, 1e-3)

    other = [name for name in sorted(ours.keys() | data.keys()) if name not in ours.keys() & data]
    other += [name for name in sorted(ours.keys() & data) if not alike(ours[name], data[name])]
    if other:
        raise InputError(
            f"{folder} gives other {', '.join(other)} than the run so far has in {file}; go on "
            "with the data that it began with, or train in another --workdir"
        )


def use_compile_cache() -> None:
    """Keeps compiled programs in the user's cache, so that the next start is quick.

    Left alone when JAX_COMPILATION_CACHE_DIR says where. Only the user may write there: who writes
    to that folder can run code in this process.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    base = os.environ.get("FACEJAX_CACHE")
    if not base:
        base = os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "facejax")
    folder = pathlib.Path(base).expanduser() / "programs"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return  # no cache, no harm
    jax.config.update("jax_compilation_cache_dir", str(folder))
