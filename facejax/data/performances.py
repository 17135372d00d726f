"""Stretches of takes, in batches: what the sources of Psi and Phi have in common.

What a row of a batch holds is each source's own: one frame of `expressions.Expressions`, a
reference and what follows it of `head_motions.HeadMotions`.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from facejax.data import batches, pipeline, records, schedule
from facejax.data.takes import Config, Take, open_takes
from facejax.errors import InputError

LEAST_VALID = 0.9  # share of a stretch's frames that must show a face


class Performances:
    """The stretches of one split. Nothing in it moves: `load` is a pure function of the step.

    An epoch visits every stretch once, in random order; the incomplete last batch is dropped.

    Args:
      config: what to read.
      seed: of the order.
      rows: the rows of each batch that this host makes; None for all.

    Raises:
      InputError: nothing usable in the folder.
    """

    def __init__(self, config: Config, seed: int, rows: slice | None = None):
        batches.keep_tensorflow_on_cpu()
        self.config, self._rows, self._seed = config, rows or slice(None), seed
        takes = self._useful(open_takes(config))
        spans = [pipeline.frame_range(len(one.seen.motion), config.span) for one in takes]
        self.takes = [one.part(*span) for one, span in zip(takes, spans, strict=True)]
        self.plan = schedule.Schedule(
            self._stretches(), batch=config.batch, frames=self.length, windows=(1,), seed=seed
        )
        clips = records.open_clips(config.path, config.split)
        self.given: dict[str, Any] = {"morphable": clips.model} | self._given()

    @property
    def length(self) -> int:
        """Frames in a stretch."""
        raise NotImplementedError

    def _given(self) -> dict[str, Any]:
        raise NotImplementedError

    def _useful(self, takes: list[Take]) -> list[Take]:
        return takes

    def row(self, take: int, first: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Returns one row of a batch: the stretch of a take that begins at a frame."""
        raise NotImplementedError

    def _stretches(self) -> list[schedule.Part]:
        """Returns where stretches lie: those in which nearly all frames show a face."""
        parts, longest = [], 0
        for number, one in enumerate(self.takes):
            seen = np.concatenate([[0], np.cumsum(one.seen.valid)])
            longest = max(longest, len(one.seen.valid))
            for start in range(0, len(one.seen.valid) - self.length + 1, self.config.step):
                if seen[start + self.length] - seen[start] >= LEAST_VALID * self.length:
                    parts.append(schedule.Part(number, start, self.length))
        if not parts:
            raise InputError(
                f"{self.config.path}, split {self.config.split}: no clip has {self.length} frames "
                f"with a face at {self.config.fps:g} a second in span {self.config.span}; the "
                f"longest has {longest}; preprocess longer clips, or lower data.tau and data.frames"
            )
        return parts

    def load(self, step: int) -> dict[str, Any]:
        """Returns this host's rows of the batch of `step`, float32; see each source's `row`."""
        draw = self.plan.draw(step)
        numbers = np.arange(self.config.batch)[self._rows]
        made = []
        for row in numbers:
            rng = np.random.default_rng([self._seed, 2, step, int(row)])
            made.append(self.row(int(draw.clip[row]), int(draw.frames[row, 0]), rng))
        return batches.stack(made)

    def iterate(self, first: int, end: int, threads: int = 4) -> Iterator[dict[str, Any]]:
        """Yields the batches of steps first, ..., end - 1: `batches.ahead`."""
        return batches.ahead(self.load, first, end, threads)
