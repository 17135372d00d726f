"""What a family of systems reads, and how it is judged: all that the mains need beside `System`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from facejax.system import PyTree


class Choice(NamedTuple):
    """What of a data folder is evaluated."""

    path: str
    split: str = "test"
    span: tuple[float, float] = (0.0, 1.0)
    clips: str = ""  # ids or glob patterns, separated by commas; empty: all
    reference_index: int = 0  # frame of the span
    most_clips: int = 0  # evenly spaced; 0: all
    most_frames: int = 0  # of each clip, evenly spaced; 0: all


class Result(NamedTuple):
    """The figures, ready for JSON, and the contact sheet, uint8 [H, W, 3]."""

    report: dict[str, Any]  # name -> {figure: number}, beside counts, and "by_clip"
    sheet: np.ndarray


class Judge(NamedTuple):
    """Chosen clips, ready to be made and measured again and again while a system trains."""

    given: dict[str, PyTree]  # of the clips' folder
    look: Callable[..., Result]  # (gen, stats, frozen, rows, put) -> result


class Workload(NamedTuple):
    """One family of systems.

    A source, returned by `open`, has the attributes config (the Data), plan (with epoch_end(epoch)
    -> steps), given (what the data adds to System.frozen, as {"morphable": model}; text in its
    dictionaries is frozen as numbers, `speakers.as_numbers`), load(step) -> batch of numpy arrays,
    and iterate(first, end, threads), which yields those of steps first, ..., end - 1.
    """

    Data: type  # a frozen dataclass: the config's section "data", with path, split, batch and span
    open: Callable[..., Any]  # (data, seed, rows of this host or None) -> source
    spec: Callable[..., PyTree]  # (data, given, rows) -> jax.ShapeDtypeStruct's of a batch
    judge: Callable[..., Judge]  # (data, choice, system) -> judge
    rank: Callable[[dict], float]  # report -> the figure that chooses the best checkpoint: larger
    summary: Callable[[dict], str]  # report -> its figures in one line
    keeps: tuple[str, ...] = ()  # what of `given`, beside the morphable model, a workdir keeps
    needs_model: bool = True  # False: the data may be without a morphable model
    splits: Callable[[str], Any] | None = None  # path -> names; None: those of a data folder
