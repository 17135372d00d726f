"""Single images with the exact motion of the face in them: what unprojection reads.

Each epoch visits every frame of a data folder once, in an order that follows from (seed, step)
alone. The position maps are made from the motion inside the compiled step.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from facejax.data import batches, pipeline, records, schedule
from facejax.errors import InputError
from facejax.geometry.morphable import MorphableModel
from facejax.geometry.position_map import map_layout
from facejax.system import PyTree


@dataclasses.dataclass(frozen=True)
class Config:
    """What is read, and how."""

    path: str  # data folder
    split: str = "train"
    batch: int = 16  # over all devices and hosts, B
    size: int = 256  # px, S, of images and maps
    clips: str = ""  # ids or glob patterns, separated by commas; empty: all
    span: tuple[float, float] = (0.0, 1.0)  # fraction of each clip that is used
    cache: int = 256  # clips kept in memory, still compressed

    def __post_init__(self):
        for name in ("batch", "size", "cache"):
            if getattr(self, name) < 1:
                raise InputError(f"data.{name} is {getattr(self, name)}; due: 1 or more")
        pipeline.check_span(self.span)


class Faces:
    """The batches of one split. Nothing in it moves: `load` is a pure function of the step.

    Args:
      config: what to read.
      seed: of the order.
      rows: the rows of each batch that this host makes; None for all.

    Raises:
      InputError: nothing usable in the folder.
    """

    def __init__(self, config: Config, seed: int, rows: slice | None = None):
        batches.keep_tensorflow_on_cpu()
        self.config, self._rows = config, rows or slice(None)
        self._clips = records.open_clips(config.path, config.split)
        self._numbers = pipeline.select(self._clips.ids, config.clips)
        lengths = [self._clips.lengths[k] for k in self._numbers]
        self._ranges = [pipeline.frame_range(length, config.span) for length in lengths]
        parts = schedule.cut(self._ranges, 1, 1)
        if not parts:
            raise InputError(
                f"{config.path}, split {config.split}: no frame lies in span {config.span}; "
                "widen data.span"
            )
        self.plan = schedule.Schedule(parts, batch=config.batch, frames=1, windows=(1,), seed=seed)
        self._clip = functools.lru_cache(maxsize=config.cache)(self._read)

    def _read(self, place: int) -> records.Clip:
        return self._clips[self._numbers[place]]

    @functools.cached_property
    def given(self) -> dict[str, PyTree]:
        """What the folder adds to `System.frozen`: its morphable model and the layout of maps."""
        model = self._clips.model
        return {"morphable": model, "layout": layout(model, self.config.size)}

    def load(self, step: int) -> dict[str, Any]:
        """Returns this host's rows of the batch of `step`, float32.

        image [B, S, S, 3] in [-1, 1]; motion {identity [B, I], expression [B, E], pose [B, 6]}.
        """
        draw = self.plan.draw(step)
        rows = []
        for place, frames in zip(draw.clip[self._rows], draw.frames[self._rows], strict=True):
            clip, (first, end) = self._clip(int(place)), self._ranges[place]
            frame = first + schedule.nearest_valid(clip.valid[first:end], int(frames[0]) - first)
            rows.append(example(clip, frame, self.config.size))
        return batches.stack(rows)

    def iterate(self, first: int, end: int, threads: int = 4) -> Iterator[dict[str, Any]]:
        """Yields the batches of steps first, ..., end - 1: `batches.ahead`."""
        return batches.ahead(self.load, first, end, threads)


def layout(model: MorphableModel, size: int) -> dict[str, Any]:
    """Returns the fields of the model's `MapLayout`.

    Raises:
      InputError: the model is no surface that can be laid out.
    """
    try:
        return map_layout(model.mean, model.faces, model.landmarks, size)._asdict()  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError(f"the face model cannot be laid out flat: {error}") from error


def example(clip: records.Clip, frame: int, size: int) -> dict[str, Any]:
    """Returns one row of a batch."""
    motion = {name: getattr(clip, name)[frame] for name in ("identity", "expression", "pose")}
    return {"image": pipeline.image_of(clip.frames[frame], size), "motion": motion}


def batch_spec(data: Config, given: dict[str, PyTree], rows: int = 1) -> PyTree:
    """Returns the shapes of a batch of `rows` rows (`Faces.load`)."""
    model = given["morphable"]

    def leaf(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((rows, *shape), jnp.float32)

    return {
        "image": leaf(data.size, data.size, 3),
        "motion": {
            "identity": leaf(len(model.identity_basis)),
            "expression": leaf(len(model.expression_basis)),
            "pose": leaf(6),
        },
    }
