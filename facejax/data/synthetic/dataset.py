"""The embedded data set: who is in it, what they do, and their clips, all from one seed.

Every person and every clip has a random stream of its own, named by (seed, split, person, clip):
more people or more clips leave the others as they were, and splits share nobody.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np

from facejax.data import records
from facejax.data.synthetic import render, rhythm
from facejax.errors import InputError

SPLITS = ("train", "validation", "test")
LICENCE = "Apache-2.0 (made by facejax; nobody's likeness)"
_LOSSLESS_SIDE = 128  # px: larger frames are stored as JPEG
_WORKERS = 2  # clips in the making at once
_PERSON, _CLIP = 0, 1  # kinds of random streams


@dataclasses.dataclass(frozen=True)
class Config:
    """What to make.

    Attributes:
      size: side of the square frames, px.
      identities: people in the train split.
      held_out: people in the validation split, and as many more in the test split.
      frames: frames in a clip.
      clips: clips of each person.
      fps: frames a second.
      seed: everything follows from it.
    """

    size: int = 64
    identities: int = 80
    held_out: int = 10
    frames: int = 24
    clips: int = 1
    fps: int = 25
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        least = {"size": 16, "identities": 1, "held_out": 1, "frames": 1, "clips": 1, "fps": 1}
        for name, low in {**least, "seed": 0}.items():
            value = getattr(self, name)
            if value < low:
                raise InputError(f"{name} is {value}; due: at least {low}")

    def people(self, split: str) -> int:
        """Returns how many people a split has."""
        return self.identities if split == "train" else self.held_out


class Actor(NamedTuple):
    """A person with a look and with habits."""

    person: render.Person
    habits: rhythm.Rhythm


def _stream(kind: int, seed: int, split: str, *numbers: int) -> np.random.Generator:
    return np.random.default_rng([kind, seed, SPLITS.index(split), *numbers])


@functools.lru_cache(maxsize=16)
def actor(seed: int, split: str, number: int) -> Actor:
    """Returns person `number` of a split."""
    rng = _stream(_PERSON, seed, split, number)
    return Actor(render.person(rng), rhythm.draw(rng))


def performance(config: Config, split: str, number: int, clip: int) -> rhythm.Performance:
    """Returns what person `number` does in clip `clip`."""
    habits = actor(config.seed, split, number).habits
    rng = _stream(_CLIP, config.seed, split, number, clip)
    return rhythm.perform(rng, habits, config.frames, config.fps)


def make_clip(config: Config, split: str, number: int, clip: int) -> records.Clip:
    """Returns one clip with its frames, sound and ground truth."""
    who = actor(config.seed, split, number).person
    what = performance(config, split, number, clip)
    moment = render.moments(what)
    frames, masks = render.draw(render.stage(), who, moment, config.size)
    model = render.stage().model
    shape = np.asarray(render.project_face(render.stage(), who, moment, config.size))
    side = config.size
    return records.Clip(
        clip_id=f"{split}-{number:04d}-{clip:02d}",
        speaker_id=f"{split}-{number:04d}",
        fps_num=config.fps,
        fps_den=1,
        times=what.times,
        frames=[_encode(frame) for frame in np.asarray(frames)],
        audio=what.audio,
        identity=np.repeat(who.identity[None], config.frames, axis=0),
        expression=what.expression,
        pose=what.pose,
        blink=what.blink,
        landmarks=shape[:, model.landmarks],
        points=shape[:, model.points],
        valid=np.ones(config.frames, bool),
        box=np.array([0, 0, side, side], np.float32),
        source_size=np.array([side, side], np.int32),
        mask=[records.encode_frame(mask) for mask in np.asarray(masks)],
        licence=LICENCE,
    )


def clips(config: Config, split: str) -> Iterator[records.Clip]:
    """Yields the clips of a split in order: all of one person's, then the next person's."""
    numbers = itertools.product(range(config.people(split)), range(config.clips))
    with ThreadPoolExecutor(_WORKERS) as pool:
        waiting = []
        for number, clip in numbers:
            waiting.append(pool.submit(make_clip, config, split, number, clip))
            if len(waiting) > _WORKERS:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def _encode(frame: np.ndarray) -> bytes:
    if frame.shape[0] > _LOSSLESS_SIDE:
        return records.encode_frame(frame)
    return cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))[1].tobytes()
