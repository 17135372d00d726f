"""Checkpoints behind one file: Orbax's V0 manager, asynchronous, atomic, exact.

A checkpoint is the `TrainState` and nothing else. The folder keeps the newest few and, when a
figure is given, the best by it. What a killed run left half-written is removed at the next start.
"""

import functools
import logging
import os
import pathlib
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as managers

from facejax.errors import InputError

PyTree = Any
PREEMPTED = 75  # exit status after SIGTERM: saved, run the same command to go on (EX_TEMPFAIL)
INTERRUPTED = 130  # exit status after Ctrl-C: saved likewise
_OS_ERROR = re.compile(r"os_error_code='(\d+)'")


class Checkpoints:
    """The checkpoints of one run.

    Args:
      folder: where they lie, one folder a step.
      keep: how many of the newest stay.
      best: name of a figure given to `save`, larger is better; the best by it stays as well.

    Raises:
      InputError: the folder cannot be made.
    """

    def __init__(self, folder: str | os.PathLike, keep: int = 2, best: str | None = None):
        self.folder = pathlib.Path(folder).absolute()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make {self.folder}: {error.strerror}") from error
        policies: list[managers.PreservationPolicy] = [managers.LatestN(keep)]
        if best is not None:
            rank = managers.BestN(
                get_metric_fn=lambda figures: figures[best],
                n=1,
                keep_checkpoints_without_metrics=False,
            )
            policies.append(rank)
        self._manager = ocp.CheckpointManager(
            self.folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=managers.AnyPreservationPolicy(policies),
                cleanup_tmp_directories=True,
            ),
        )

    def latest(self) -> int | None:
        """Returns the newest step saved, or None."""
        return self._manager.latest_step()

    def steps(self) -> list[int]:
        """Returns all steps kept, in order."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: PyTree, figures: dict[str, float] | None = None) -> None:
        """Starts saving; returns when the arrays are copied off the devices. A step is saved once.

        Raises:
          InputError: this save, or the one before, could not be written (disk full).
        """
        if step not in self._manager.all_steps():
            with _write_errors(self.folder):
                self._manager.save(step, args=ocp.args.StandardSave(state), metrics=figures)

    def wait(self) -> None:
        """Returns when everything is written."""
        with _write_errors(self.folder):
            self._manager.wait_until_finished()

    def reached_preemption(self, step: int) -> bool:
        """Whether all processes of the job should save at this step, for the scheduler ends it."""
        return jax.process_count() > 1 and self._manager.reached_preemption(step)

    def restore(self, target: PyTree, step: int | None = None) -> PyTree:
        """Returns a checkpoint in the structure, dtypes and shardings of `target`.

        Args:
          target: the state, or its `jax.ShapeDtypeStruct`s with shardings.
          step: which; None: the newest.

        Raises:
          InputError: there is none, or it is of another model; the first leaves that differ
            are named.
        """
        step = self._existing(step)
        _check_same(self.folder / str(step), self._saved(step), names(target))
        return self._manager.restore(step, args=ocp.args.StandardRestore(_abstract(target)))

    def restore_part(self, parts: dict[str, PyTree], step: int | None = None) -> dict[str, PyTree]:
        """As `restore`, for some branches of the state, named as {"ema": ..., "stats.gen": ...}."""
        step = self._existing(step)
        due = {
            f"{part}.{name}": x for part, tree in parts.items() for name, x in names(tree).items()
        }
        heads = tuple(f"{part}." for part in parts)
        saved = {name: x for name, x in self._saved(step).items() if name.startswith(heads)}
        _check_same(self.folder / str(step), saved, due)
        nested: dict[str, Any] = {}
        for part, tree in parts.items():
            *path, last = part.split(".")
            inner = functools.reduce(lambda d, key: d.setdefault(key, {}), path, nested)
            inner[last] = _abstract(tree)
        arguments = ocp.args.PyTreeRestore(
            nested,
            restore_args=ocp.checkpoint_utils.construct_restore_args(nested),
            partial_restore=True,
        )
        with ocp.CheckpointManager(self.folder) as manager:
            found = manager.restore(step, args=arguments)
        return {part: functools.reduce(lambda d, k: d[k], part.split("."), found) for part in parts}

    def close(self) -> None:
        """Waits, and ends the manager's threads."""
        self.wait()
        self._manager.close()

    def _existing(self, step: int | None) -> int:
        known = self.steps()
        if not known:
            raise InputError(
                f"{self.folder} has no checkpoint; train first, or give another folder"
            )
        if step is not None and step not in known:
            raise InputError(
                f"{self.folder} has no step {step}; it has: {', '.join(map(str, known))}"
            )
        return known[-1] if step is None else step

    def _saved(self, step: int) -> dict[str, str]:
        """Returns {leaf name: shape and dtype} of a checkpoint, without reading its arrays."""
        with ocp.CheckpointManager(
            self.folder, item_handlers=ocp.StandardCheckpointHandler()
        ) as manager:
            return names(manager.item_metadata(step).tree)


def names(tree: PyTree) -> dict[str, str]:
    """Returns {"params.gen.w": "float32 [2, 3]"} for every leaf; structs and dicts look alike."""

    def key(entry: Any) -> str:
        for field in ("key", "name", "idx"):
            if hasattr(entry, field):
                return str(getattr(entry, field))
        return str(entry)

    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {".".join(map(key, path)): f"{x.dtype} {list(x.shape)}" for path, x in leaves}


def _abstract(target: PyTree) -> PyTree:
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=getattr(x, "sharding", None)),
        target,
    )


def _check_same(folder: pathlib.Path, saved: dict[str, str], due: dict[str, str]) -> None:
    wrong = [
        f"{name} is {saved.get(name, 'missing')}, due {due.get(name, 'none')}"
        for name in sorted(saved.keys() | due.keys())
        if saved.get(name) != due.get(name)
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise InputError(
            f"checkpoint {folder} is of another model than the config: {'; '.join(wrong[:3])}"
            f"{more}; use its own config (config.json in its workdir), or another --workdir"
        )


@contextmanager
def _write_errors(folder: pathlib.Path) -> Iterator[None]:
    """Turns the system's refusal to write, which Orbax reports as text, into an InputError."""
    try:
        yield
    except (ValueError, OSError) as error:
        found = _OS_ERROR.search(str(error))
        code = int(found[1]) if found else getattr(error, "errno", None)
        if code is None:
            raise
        raise InputError(
            f"cannot write a checkpoint to {folder}: {os.strerror(code)}; the ones before it are "
            "whole: make room and run the same command to go on"
        ) from error


class StopRequest:
    """Notes SIGTERM and Ctrl-C, so that the loop can save before it ends; the next ends at once.

    Used as a context manager; `status` is 0, or the exit status to end with. Outside the main
    thread, where Python allows no handlers, it notes nothing; nor in a job of several processes,
    which must stop at one step: there `Checkpoints.reached_preemption` decides.
    """

    def __init__(self) -> None:
        self.status = 0
        self._signals = (signal.SIGTERM, signal.SIGINT) if jax.process_count() == 1 else ()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in self._signals:
            try:
                self._before[number] = signal.signal(number, self._note)
            except ValueError:
                logging.debug("not the main thread: signals are not noted")
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: Any) -> None:
        del frame
        self.status = PREEMPTED if number == signal.SIGTERM else INTERRUPTED
        self.__exit__()
