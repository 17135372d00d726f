"""K references and their targets: what Rhythmic Head Motion's generator reads of a data folder.

Of each clip's reference video (`shots`) K frames are drawn as references; the target is one of the
frames that follow. An epoch visits every target once; order and draws follow from (seed, step)
alone. Several targets of a clip may share its references, whose features are then made once for all
of them.
"""

import functools
import logging
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from facejax.data import batches, pipeline, records, schedule
from facejax.data.shots import (
    Config,
    Shot,
    costs,
    prepare,
    reference_end,
    reference_part,
    target_part,
)
from facejax.errors import InputError
from facejax.geometry.head_motion import LANDMARKS, frontal_landmarks
from facejax.system import PyTree


class FewShots:
    """The batches of one split. Nothing in it moves: `load` is a pure function of the step.

    Args:
      config: what to read.
      seed: of the order and of the references.
      rows: the rows of each batch that this host makes; None for all.

    Raises:
      InputError: nothing usable in the folder.
    """

    def __init__(self, config: Config, seed: int, rows: slice | None = None):
        batches.keep_tensorflow_on_cpu()
        self.config, self._seed, self._rows = config, seed, rows or slice(None)
        self._clips = records.open_clips(config.path, config.split)
        self._numbers = pipeline.select(self._clips.ids, config.clips)
        lengths = [self._clips.lengths[k] for k in self._numbers]
        ranges = [pipeline.frame_range(length, config.span) for length in lengths]
        self._targets = [_target_range(first, end, config) for first, end in ranges]
        parts = schedule.cut(self._targets, 1, 1)
        short = sum(first >= end for first, end in self._targets)
        if not parts:
            longest = max(end - first for first, end in ranges)
            raise InputError(
                f"{config.path}, split {config.split}: no clip goes on after the {config.tau} "
                f"frames of its reference video; the longest has {longest} frames in span "
                f"{config.span}; lower data.tau or preprocess longer clips"
            )
        if short:
            logging.warning(
                "%d of %d clips do not go on after their reference video: not trained on",
                short,
                len(self._numbers),
            )
        self.plan = schedule.Schedule(parts, batch=config.batch, frames=1, windows=(1,), seed=seed)
        self._canonical = np.asarray(frontal_landmarks(self._clips.model, config.size))
        self._shot = functools.lru_cache(maxsize=config.cache)(self._read)

    def _read(self, place: int) -> Shot:
        return prepare(self._clips[self._numbers[place]], self.config, self._canonical)

    @property
    def given(self) -> dict[str, Any]:
        """What the folder adds to `System.frozen`: its morphable model."""
        return {"morphable": self._clips.model}

    def load(self, step: int) -> dict[str, Any]:
        """Returns this host's rows of the batch of `step`, float32: see `systems.rhythmic`.

        The targets are in order of their clips.
        """
        draw = self.plan.draw(step)
        rows = []
        for number in range(*self._rows.indices(len(draw.clip))):
            place = int(draw.clip[number])
            rng = np.random.default_rng([self._seed, 2, step, number])
            rows.append(self._rows_of(place, int(draw.frames[number, 0]), rng))
        given, targets = zip(*rows, strict=True)
        return batches.stack(given) | batches.stack([one for some in targets for one in some])

    def _rows_of(self, place: int, frame: int, rng: np.random.Generator) -> tuple[dict, list[dict]]:
        """Returns one clip's references, and its targets: `frame`, then others at random."""
        config, shot, (first, end) = self.config, self._shot(place), self._targets[place]
        frames = [frame, *rng.integers(first, end, config.per_clip - 1)]
        near = functools.partial(schedule.nearest_valid, shot.valid[first:end])
        targets = [first + near(int(frame) - first) for frame in frames]
        pool = shot.references
        others = pool[~np.isin(pool, targets)]  # of a reference video that is trained on
        pool = others if len(others) >= config.references else pool
        chosen = np.sort(rng.choice(pool, config.references, replace=False))
        given = reference_part(shot, chosen, config.size)
        return given, [self._target(shot, chosen, target, rng) for target in targets]

    def _target(
        self, shot: Shot, chosen: np.ndarray, target: int, rng: np.random.Generator
    ) -> dict[str, Any]:
        cost = costs(shot, chosen, target, self.config)
        badly = rng.random() < self.config.worst
        matched = int(np.argmax(cost)) if badly else int(rng.integers(len(cost)))
        return target_part(shot, target, self.config.size) | {"matched": np.asarray(matched)}

    def iterate(self, first: int, end: int, threads: int = 4) -> Iterator[dict[str, Any]]:
        """Yields the batches of steps first, ..., end - 1: `batches.ahead`."""
        return batches.ahead(self.load, first, end, threads)


def _target_range(first: int, end: int, config: Config) -> tuple[int, int]:
    stop = reference_end(first, end, config)
    return (first, stop) if config.targets == "references" else (stop, end)


def batch_spec(data: Config, given: dict[str, PyTree], rows: int = 1) -> PyTree:
    """Returns the shapes of a batch of `rows` clips (`FewShots.load`)."""
    model, size, count = given["morphable"], data.size, data.references
    identity, expression = len(model.identity_basis), len(model.expression_basis)

    def leaf(*shape: int, rows: int = rows) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((rows, *shape), jnp.float32)

    due = functools.partial(leaf, rows=rows * data.per_clip)

    return {
        "references": leaf(count, size, size, 3),
        "reference_landmarks": leaf(count, LANDMARKS, 2),
        "reference_motion": {"expression": leaf(count, expression), "pose": leaf(count, 6)},
        "key_frame": {
            "image": leaf(size, size, 3),
            "identity": leaf(identity),
            "expression": leaf(expression),
            "pose": leaf(6),
            "head": leaf(6),
        },
        "target": due(size, size, 3),
        "landmarks": due(LANDMARKS, 2),
        "target_motion": {"expression": due(expression), "pose": due(6)},
        "head": due(6),
        "matched": due(),
    }
