"""Held-out clips for Rhythmic Head Motion: the first frames are known, the rest only heard."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from facejax.audio import chunks as sound
from facejax.data import pipeline
from facejax.data.takes import Config, Take, open_takes
from facejax.errors import InputError
from facejax.judging import thin
from facejax.performance import Performance
from facejax.workload import Choice


class Stretch(NamedTuple):
    """A part of one clip: a reference of tau frames, and T frames to be made."""

    name: str
    known: Performance  # of tau frames
    known_chunks: np.ndarray  # int16 [tau + 6, n]
    truth: Performance  # of T frames
    chunks: np.ndarray  # int16 [T + 6, n]
    fps: float


def open_stretches(data: Config, choice: Choice) -> list[Stretch]:
    """Returns the chosen clips, without those too short or with no face in the reference.

    Args:
      data: of the run.
      choice: what to judge; its `most_frames` and `reference_index` mean nothing here.

    Raises:
      InputError: no clip of use.
    """
    held = dataclasses.replace(data, path=choice.path, split=choice.split, clips=choice.clips)
    found, short = [], []
    takes = open_takes(held)
    for one in thin(takes, choice.most_clips):
        part = one.part(*pipeline.frame_range(len(one.seen.motion), choice.span))
        if len(part.seen.motion) < data.tau + 2 or not part.seen.valid[: data.tau].any():
            short.append(one.clip_id)
        else:
            found.append(split(part, data))
    if not found:
        longest = max(len(one.seen.motion) for one in takes)
        raise InputError(
            f"{choice.path}, {choice.split}: no clip has {data.tau + 2} frames at {data.fps:g} a "
            f"second in span {choice.span}, {data.tau} of reference and two to make; the longest "
            f"clip has {longest}; take a longer span or clips, or another run with a lower data.tau"
        )
    if short:
        logging.warning("clips without a whole reference are left out: %s", ", ".join(short[:8]))
    return found


def split(take: Take, data: Config) -> Stretch:
    """Returns a take parted after its first tau frames."""
    end = len(take.seen.motion)
    known, rest = take.part(0, data.tau), take.part(data.tau, end)
    assert len(known.chunks) == data.tau + sound.WINDOW - 1
    return Stretch(take.clip_id, known.seen, known.chunks, rest.seen, rest.chunks, data.fps)


def report(errors: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]) -> dict[str, Any]:
    """Returns {clip: {kind: {figure: [n]}}} as a report: means over all frames, and of each clip.

    A figure of one number a clip, [1], is averaged over clips.
    """
    mean = lambda parts: float(np.mean(np.concatenate(parts), dtype=np.float64))
    by_clip = {
        clip: {kind: {name: mean([x]) for name, x in one.items()} for kind, one in kinds.items()}
        for clip, kinds in errors.items()
    }
    clips = list(errors.values())
    whole = {
        kind: {name: mean([one[kind][name] for one in clips]) for name in figures}
        for kind, figures in clips[0].items()
    }
    frames = sum(len(one["model"]["landmarks"]) for one in clips)
    return {"clip_count": len(clips), "frame_count": frames} | whole | {"by_clip": by_clip}
