"""Clips ready to draw few-shot tasks from: a reference video, and the frames that follow it.

The first tau frames of a clip are its reference video; the most frontal of them is the key frame.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax.data import pipeline, records
from facejax.errors import InputError
from facejax.geometry.head_motion import LANDMARKS, head_motion, key_frame
from facejax.geometry.motion_matcher import WORST, rotation_cost, standardised_cost

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
