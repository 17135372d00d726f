"""Windows of motion around one frame: what rendering to video reads of a data folder.

FACIAL draws a frame from the drawn faces of ten: six before it, its own, three after. A batch holds
their motion; the pictures of it are drawn inside the compiled step. Each epoch visits every frame
once, in an order that follows from (seed, step) alone.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax import appearance
from facejax.data import batches, pipeline, records, schedule
from facejax.errors import InputError
from facejax.geometry.mesh import mesh_topology
from facejax.system import PyTree
from facejax.systems.facial_video_inputs import AFTER, BEFORE

LENGTH = BEFORE + 1 + AFTER  # frames of a window
EDGES = ("replicate", "released")


@dataclasses.dataclass(frozen=True)
class Config:
    """What is read, and how."""

    path: str  # data folder
    split: str = "train"
    batch: int = 1  # over all devices and hosts, B
    size: int = 512  # px, S
    clips: str = ""  # ids or glob patterns, separated by commas; empty: all
    span: tuple[float, float] = (0.0, 1.0)  # fraction of each clip that is used
    edges: str = "replicate"  # what windows see beyond the span: see `window`
    appearance_frames: int = 1  # of each speaker's first clip, from its first frame on
    cache: int = 256  # clips kept in memory, still compressed

    def __post_init__(self):
        if self.edges not in EDGES:
            raise InputError(f"data.edges is {self.edges!r}; due: {' or '.join(EDGES)}")
        for name in ("batch", "size", "appearance_frames", "cache"):
            if getattr(self, name) < 1:
                raise InputError(f"data.{name} is {getattr(self, name)}; due: 1 or more")
        pipeline.check_span(self.span)


class Shot(NamedTuple):
    """One clip ready to draw from, its images compressed."""

    speaker_id: str
    frames: list[bytes]
    identity: np.ndarray  # [I] the mean over the valid frames of the span
    expression: np.ndarray  # [T, E]
    pose: np.ndarray  # [T, 6]
    blink: np.ndarray  # [T]
    valid: np.ndarray  # [T] bool


def window(target: np.ndarray, first: int, end: int, edges: str) -> np.ndarray:
    """Returns the frames that the frames `target` are drawn from, [..., LENGTH].

    "replicate" repeats the first and the last frame. "released" is the published code: where the
    window would pass an end, it is the first whole one, so that the first six frames and the last
    three all show frame `first` + 6 (shorter spans replicate).

    Args:
      target: [...] frame numbers in first, ..., end - 1.
      first: of the frames that may be read.
      end: after their last.
      edges: one of EDGES.
    """
    frames = np.asarray(target)[..., None] + np.arange(-BEFORE, AFTER + 1)
    if edges == "released" and end - first >= LENGTH:
        whole = (frames[..., :1] >= first) & (frames[..., -1:] < end)
        frames = np.where(whole, frames, first + np.arange(LENGTH))
    return np.clip(frames, first, end - 1)


def prepare(clip: records.Clip, span: tuple[float, float]) -> Shot:
    """Returns a clip with one identity: the mean over its valid frames in `span`."""
    first, end = pipeline.frame_range(len(clip.times), span)
    valid = clip.valid[first:end]
    identity = clip.identity[first:end][valid if valid.any() else slice(None)].mean(0)
    moving = {name: getattr(clip, name) for name in ("expression", "pose", "blink", "valid")}
    return Shot(clip.speaker_id, clip.frames, identity, **moving)


def motion(shot: Shot, frames: np.ndarray) -> dict[str, np.ndarray]:
    """Returns identity [I], and expression [..., E], pose [..., 6], blink [...] of `frames`."""
    moving = {name: getattr(shot, name)[frames] for name in ("expression", "pose", "blink")}
    return {"identity": shot.identity} | moving


def appearances(shots: list[tuple[Shot, np.ndarray]], model: Any, size: int) -> dict[str, PyTree]:
    """Returns how speakers look: a table as in `speakers`, of other columns.

    ids str [S], identity [S, I], albedo [S, V, 3], light [S, 9, 3],
    reference [S, size, size, 3] uint8: the first frame looked at; and corners [V, D], the mesh's
    `MeshTopology.corner_table`, for normals.

    Args:
      shots: one clip of each speaker, and the numbers of its frames to look at.
      model: MorphableModel.
      size: of the reference, px.

    Raises:
      InputError: none of a speaker's frames shows the face.
    """
    rows = []
    for shot, frames in shots:
        images = [records.decode_frame(shot.frames[k]) for k in frames]
        try:
            look = appearance.estimate(
                model,
                np.stack(images).astype(np.float32) / 255,
                shot.identity,
                shot.expression[frames],
                shot.pose[frames],
            )
        except InputError as error:
            raise InputError(f"speaker {shot.speaker_id}: {error}") from None
        reference = pipeline.resize(images[0], size)
        rows.append({"identity": shot.identity, "reference": reference} | look._asdict())
    table = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    topology = mesh_topology(np.asarray(model.faces), len(model.mean))
    ids = np.asarray([shot.speaker_id for shot, _ in shots])
    return table | {"ids": ids, "corners": np.asarray(topology.corner_table)}


class Windows:
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
        whole = config.edges == "released"  # which draws no frame from a window that is not
        inner = [(a + BEFORE, b - AFTER) if whole else (a, b) for a, b in self._ranges]
        parts = schedule.cut(inner, 1, 1)
        if not parts:
            raise InputError(
                f"{config.path}, split {config.split}: no clip has {LENGTH if whole else 1} frames "
                f"in span {config.span}; preprocess longer clips or widen data.span"
            )
        self.plan = schedule.Schedule(parts, batch=config.batch, frames=1, windows=(1,), seed=seed)
        self._speakers = sorted({self._clips.speakers[k] for k in self._numbers})
        self._shot = functools.lru_cache(maxsize=config.cache)(self._read)

    def _read(self, place: int) -> Shot:
        return prepare(self._clips[self._numbers[place]], self.config.span)

    @functools.cached_property
    def given(self) -> dict[str, PyTree]:
        """What the folder adds to `System.frozen`: morphable model and `appearances`."""
        speakers = [self._clips.speakers[k] for k in self._numbers]
        shots = []
        for name in self._speakers:
            place = speakers.index(name)
            shot, (first, end) = self._shot(place), self._ranges[place]
            allowed = np.flatnonzero(shot.valid[first:end]) + first
            allowed = allowed if len(allowed) else np.arange(first, end)
            count = min(self.config.appearance_frames, len(allowed))
            shots.append((shot, allowed[np.linspace(0, len(allowed) - 1, count).astype(int)]))
        model = self._clips.model
        return {"morphable": model, "appearance": appearances(shots, model, self.config.size)}

    def load(self, step: int) -> dict[str, Any]:
        """Returns this host's rows of the batch of `step`, float32.

        target [B, S, S, 3] in [-1, 1]; motion {identity [B, I], expression [B, LENGTH, E], pose
        [B, LENGTH, 6], blink [B, LENGTH]}; speaker [B], rows of `appearances`.
        """
        draw = self.plan.draw(step)
        rows = []
        for place, frames in zip(draw.clip[self._rows], draw.frames[self._rows], strict=True):
            shot, (first, end) = self._shot(int(place)), self._ranges[place]
            target = first + schedule.nearest_valid(shot.valid[first:end], int(frames[0]) - first)
            rows.append(self._row(shot, target, first, end))
        return batches.stack(rows)

    def _row(self, shot: Shot, target: int, first: int, end: int) -> dict[str, Any]:
        return {
            "target": pipeline.image_of(shot.frames[target], self.config.size),
            "motion": motion(shot, window(np.asarray(target), first, end, self.config.edges)),
            "speaker": np.asarray(self._speakers.index(shot.speaker_id)),
        }

    def iterate(self, first: int, end: int, threads: int = 4) -> Iterator[dict[str, Any]]:
        """Yields the batches of steps first, ..., end - 1: `batches.ahead`."""
        return batches.ahead(self.load, first, end, threads)


def batch_spec(data: Config, given: dict[str, PyTree], rows: int = 1) -> PyTree:
    """Returns the shapes of a batch of `rows` rows (`Windows.load`)."""
    model = given["morphable"]

    def leaf(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((rows, *shape), jnp.float32)

    return {
        "target": leaf(data.size, data.size, 3),
        "motion": {
            "identity": leaf(len(model.identity_basis)),
            "expression": leaf(LENGTH, len(model.expression_basis)),
            "pose": leaf(LENGTH, 6),
            "blink": leaf(LENGTH),
        },
        "speaker": leaf(),
    }
