"""K references and their targets: what Rhythmic Head Motion's generator reads of a data folder.

The first tau frames of a clip are its reference video: K of them are drawn as references, the most
frontal one is the key frame, and the target is one of the frames that follow. An epoch visits every
target once; order and draws follow from (seed, step) alone. Several targets of a clip may share its
references, whose features are then made once for all of them.
"""

import dataclasses
import functools
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax.data import batches, pipeline, records, schedule
from facejax.errors import InputError
from facejax.geometry.head_motion import frontal_landmarks, head_motion, key_frame
from facejax.geometry.motion_matcher import WORST, rotation_cost, standardised_cost
from facejax.system import PyTree

LANDMARKS = 68
TARGETS = ("rest", "references")
COSTS = {"motion": standardised_cost, "rotation": rotation_cost}


@dataclasses.dataclass(frozen=True)
class Config:
    """What is read, and how."""

    path: str  # data folder
    split: str = "train"
    batch: int = 8  # clips over all devices and hosts, R
    per_clip: int = 1  # targets of each, which share its references; a batch has B = R per_clip
    size: int = 256  # px, S
    references: int = 8  # K
    tau: int = 64  # frames of the reference video, at the beginning of the span
    tau_part: float = 0.0  # of the span instead; released: 0.25
    targets: str = "rest"  # "references": of the reference video too, to fine-tune on it
    matcher: str = "motion"  # cost of the motion matcher; released: "rotation"
    worst: float = WORST  # probability that training warps the worst reference, else any
    clips: str = ""  # ids or glob patterns, separated by commas; empty: all
    span: tuple[float, float] = (0.0, 1.0)  # fraction of each clip that is used
    cache: int = 256  # clips kept in memory, still compressed

    def __post_init__(self):
        for name, known in (("targets", TARGETS), ("matcher", COSTS)):
            if getattr(self, name) not in known:
                due = " or ".join(known)
                raise InputError(f"data.{name} is {getattr(self, name)!r}; due: {due}")
        for name in ("batch", "per_clip", "size", "references", "tau", "cache"):
            if getattr(self, name) < 1:
                raise InputError(f"data.{name} is {getattr(self, name)}; due: 1 or more")
        for name in ("worst", "tau_part"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"data.{name} is {getattr(self, name)}; due: 0 to 1")
        if not self.tau_part and self.references > self.tau:
            raise InputError(
                f"data.references is {self.references} and data.tau {self.tau}: there are not that "
                "many frames in the reference video; raise tau or lower references"
            )
        pipeline.check_span(self.span)

    @property
    def images(self) -> int:
        """Targets of a batch, B."""
        return self.batch * self.per_clip


class Shot(NamedTuple):
    """One clip ready to draw from, its images compressed."""

    clip_id: str
    frames: list[bytes]
    landmarks: np.ndarray  # [T, 68, 2] px of the target size
    identity: np.ndarray  # [I] the mean over the valid frames of the reference video
    expression: np.ndarray  # [T, E]
    pose: np.ndarray  # [T, 6]
    head: np.ndarray  # [T, 6] head motion, px of the target size
    valid: np.ndarray  # [T] bool
    references: np.ndarray  # the frames of the reference video that show a face
    key: int  # the most frontal of them


def reference_end(first: int, end: int, config: Config) -> int:
    """Returns where the reference video of frames first, ..., end - 1 ends."""
    count = round(config.tau_part * (end - first)) if config.tau_part else config.tau
    return min(first + count, end)


_motions = jax.jit(head_motion)


def prepare(clip: records.Clip, config: Config, canonical: np.ndarray) -> Shot:
    """Returns a clip ready to draw from.

    Args:
      clip: with landmarks.
      config: what is read of it.
      canonical: [68, 3] px of the target size, of `head_motion.frontal_landmarks`.

    Raises:
      InputError: its reference video shows fewer faces than there are references.
    """
    first, end = pipeline.frame_range(len(clip.times), config.span)
    stop = reference_end(first, end, config)
    seen = first + np.flatnonzero(clip.valid[first:stop])
    if len(seen) < config.references:
        raise InputError(
            f"clip {clip.clip_id} shows a face in {len(seen)} of the {stop - first} frames of its "
            f"reference video; due: data.references = {config.references} or more; lower it, raise "
            "data.tau, or leave the clip out with data.clips"
        )
    source = records.decode_frame(clip.frames[0]).shape[0]
    landmarks = clip.landmarks[:, :LANDMARKS] * np.float32(config.size / source)
    valid = clip.valid & np.isfinite(landmarks).all((1, 2))
    known = np.where(valid[:, None, None], landmarks, canonical)
    head = np.asarray(_motions(jnp.asarray(known, jnp.float32), jnp.asarray(canonical)))
    return Shot(
        clip_id=clip.clip_id,
        frames=clip.frames,
        landmarks=landmarks[..., :2],
        identity=clip.identity[seen].mean(0),
        expression=clip.expression,
        pose=clip.pose,
        head=head,
        valid=valid,
        references=seen,
        key=int(seen[np.asarray(key_frame(jnp.asarray(head[seen])))]),
    )


def reference_part(shot: Shot, chosen: np.ndarray, size: int) -> dict[str, Any]:
    """Returns what K references and the key frame give: no batch axis."""
    key = shot.key
    return {
        "references": np.stack([pipeline.image_of(shot.frames[k], size) for k in chosen]),
        "reference_landmarks": shot.landmarks[chosen],
        "reference_motion": {"expression": shot.expression[chosen], "pose": shot.pose[chosen]},
        "key_frame": {
            "image": pipeline.image_of(shot.frames[key], size),
            "identity": shot.identity,
            "expression": shot.expression[key],
            "pose": shot.pose[key],
            "head": shot.head[key],
        },
    }


def target_part(shot: Shot, target: int, size: int) -> dict[str, Any]:
    """Returns what the target frame gives: no batch axis."""
    return {
        "target": pipeline.image_of(shot.frames[target], size),
        "landmarks": shot.landmarks[target],
        "target_motion": {"expression": shot.expression[target], "pose": shot.pose[target]},
        "head": shot.head[target],
    }


def costs(shot: Shot, chosen: np.ndarray, target: int, config: Config) -> np.ndarray:
    """Returns what each reference costs for the target (eq. 2), [K]."""
    reference, head = jnp.asarray(shot.head[chosen]), jnp.asarray(shot.head[target])
    if config.matcher == "motion":
        return np.asarray(standardised_cost(reference, head, config.size))
    return np.asarray(COSTS[config.matcher](reference, head))


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
        if len(set(pool) - set(targets)) >= config.references:
            pool = pool[~np.isin(pool, targets)]  # of a reference video that is trained on
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
