"""Held-out clips: which frames are made, the figures over all of them, the contact sheet.

What is made of a clip, and from what, is the workload's: see `measure`.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from facejax import sheets
from facejax.data import pipeline, records
from facejax.data.schedule import nearest_valid
from facejax.errors import InputError
from facejax.metrics import reconstruction
from facejax.progress import progress
from facejax.system import PyTree
from facejax.workload import Choice, Result

SHOWN = 8  # frames on the contact sheet, of as many clips
KEPT = 32  # clips held in memory
COPY = "copy_reference"


class Task(NamedTuple):
    """One clip: make `targets` from the frame `reference`."""

    name: str
    shot: Any  # of the clip, what `Tasks` was told to prepare
    start: int  # first frame of the span: no frame before it is read
    end: int  # of the span
    reference: int
    targets: np.ndarray


class Tasks(Sequence):
    """The clips to evaluate, read when they are asked for; a few are kept.

    Args:
      choice: which clips and frames.
      prepare: clip -> what its frames are made from.

    Raises:
      InputError: nothing to evaluate, or the reference lies outside a clip's span.
    """

    def __init__(self, choice: Choice, prepare: Callable[[records.Clip], Any]):
        pipeline.check_span(choice.span)
        self._choice, self._prepare = choice, prepare
        self._clips = records.open_clips(choice.path, choice.split)
        ids = self._clips.ids
        self._numbers = thin(pipeline.select(ids, choice.clips), choice.most_clips)
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
        chosen = np.asarray(thin(targets, choice.most_frames), np.int64)
        return Task(clip.clip_id, self._prepare(clip), start, end, reference, chosen)


def measure(
    score: Callable,
    tasks: Tasks,
    batch: Callable[[Task, np.ndarray], tuple[dict[str, Any], np.ndarray]],
    panels: Callable[..., dict[str, np.ndarray]],
    *,
    rows: int = 8,
    put: Callable[[PyTree], PyTree] = jax.device_put,
    pick: Callable[[Task, int], np.ndarray] | None = None,
) -> Result:
    """Makes every target frame of every task and measures it.

    Args:
      score: (inputs, target) -> (outputs, {name: reconstruction.FrameErrors}), one called "model".
      tasks: the clips.
      batch: (task, targets [rows]) -> (inputs, true frames [rows, S, S, 3]).
      panels: (inputs, outputs in numpy, row, true frame) -> {label: picture} of a sheet's row.
      rows: frames made at a time; the last ones are filled up with the last target.
      put: puts a batch on the devices.
      pick: (task, count) -> which targets the sheet shows; None: evenly spaced ones.
    """
    pick = pick or (lambda task, count: evenly(task.targets, count))
    errors: dict[str, dict[str, list]] = {}
    shown: list[dict[str, np.ndarray]] = []
    for task in progress(tasks, len(tasks), "evaluate"):
        if not len(task.targets):
            continue
        count = max(1, SHOWN // len(tasks)) if len(shown) < SHOWN else 0
        pictured = pick(task, count)
        for first in range(0, len(task.targets), rows):
            targets = task.targets[first : first + rows]
            full = np.concatenate([targets, np.repeat(targets[-1:], rows - len(targets))])
            inputs, target = batch(task, full)
            outputs, found = score(put(inputs), put(target))
            for name, values in jax.device_get(found).items():
                kept = reconstruction.FrameErrors(*(v[: len(targets)] for v in values))
                errors.setdefault(task.name, {}).setdefault(name, []).append(kept)
            for row in np.flatnonzero(np.isin(targets, pictured)):
                shown.append(panels(inputs, jax.device_get(outputs), int(row), target[row]))
    return Result(_report(errors), _sheet(shown))


def summary_line(report: dict[str, Any], kinds: Sequence[str] = ("model", "warped", COPY)) -> str:
    """Returns the figures of a report in one line: of those `kinds` that it has."""
    names = [name for name in kinds if name in report]
    figures = [f"{n}: L1 {report[n]['l1']:.2f} PSNR {report[n]['psnr']:.2f} dB" for n in names]
    return f"{report['clip_count']} clips, {report['frame_count']} frames. " + "; ".join(figures)


def figures_line(report: dict[str, Any], kinds: Sequence[str], formats: Mapping[str, str]) -> str:
    """Returns in one line those figures of those kinds that a report has.

    Args:
      report: of a judge: kind -> {figure: number}, clip_count and frame_count.
      kinds: of whom, in this order.
      formats: figure -> how it is told, as "{:.2f} mm", in this order.
    """
    parts = []
    for kind in kinds:
        if kind in report:
            told = [t.format(report[kind][n]) for n, t in formats.items() if n in report[kind]]
            parts.append(f"{kind}: {', '.join(told)}")
    return f"{report['clip_count']} clips, {report['frame_count']} frames. {'; '.join(parts)}"


def thin(items: Sequence, most: int) -> list:
    """Returns at most `most` of the items, evenly spaced (0: all)."""
    if not most or len(items) <= most:
        return list(items)
    return [items[k] for k in np.linspace(0, len(items) - 1, most).round().astype(int)]


def evenly(items: np.ndarray, count: int) -> np.ndarray:
    """Returns the middles of `count` equal parts."""
    return items[(2 * np.arange(count) + 1) * len(items) // (2 * max(count, 1))]


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
