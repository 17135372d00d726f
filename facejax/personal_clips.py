"""Clips of people whom both runs and a data folder know, divided for classifiers.

By clip and never by window: neighbouring windows are nearly the same.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from facejax import runs, settings, speech_motion
from facejax.data import pipeline, sequences, talks
from facejax.errors import InputError
from facejax.metrics.personalization import FRAMES, starts
from facejax.speakers import SHOWN
from facejax.workload import Choice

PARTS = ("train", "validation", "test")
FIFTH = 5  # of a person's clips, one is held out, and one chooses the classifiers

Parts = dict[str, dict[str, list[str]]]  # part -> person -> ids of clips


def recordings(runs_of: Mapping[str, runs.Run], choice: Choice) -> dict[str, list[talks.Recording]]:
    """Returns the clips of each person, {person: clips}, whole, at the runs' frame rate.

    No sound is listened to. People whom only one side knows are left out.

    Args:
      runs_of: speaker -> run.
      choice: of which the path and the split count.

    Raises:
      InputError: the folder cannot be read, or fewer than two people are left.
    """
    any_run = next(iter(runs_of.values()))
    data = settings.section(any_run.config, "data")
    whole = {"clips": "", "span": (0.0, 1.0), "speech": "null", "cache": ""}
    rate = speech_motion.rate(any_run)
    data = dataclasses.replace(data, path=choice.path, split=choice.split, fps=rate, **whole)
    found: dict[str, list[talks.Recording]] = {}
    for one in sequences.open_recordings(data):
        found.setdefault(one.speaker_id, []).append(one)
    common = sorted(found.keys() & runs_of.keys())
    if len(common) < 2:
        raise InputError(
            f"{choice.path}, split {choice.split}, has {_listed(found)}, and what runs are given "
            f"know {_listed(runs_of)}; due: two people or more who are in both"
        )
    return {person: found[person] for person in common}


def _listed(names: Mapping[str, object]) -> str:
    shown = sorted(names)[:SHOWN]
    return f"{', '.join(shown)}{', ...' if len(names) > SHOWN else ''}"


def divide(clips: Mapping[str, Sequence[str]], held_out: Sequence[str] = ()) -> Parts:
    """Returns which clips are for what; no clip is in two parts, and every person is in all.

    Args:
      clips: person -> ids, in order.
      held_out: ids of the clips that are for the test; none: the last fifth of each person's.

    Raises:
      InputError: a person has too few.
    """
    parts: Parts = {part: {} for part in PARTS}
    for person, ids in clips.items():
        fifth = max(1, round(len(ids) / FIFTH))
        test = [one for one in ids if one in held_out] if held_out else list(ids[-fifth:])
        rest = [one for one in ids if one not in test]
        if not test or len(rest) < 2:
            raise InputError(
                f"speaker {person!r} has {len(test)} held-out clips and {len(rest)} others of "
                f"{FRAMES} frames or more; due: 1 and 2 or more, so that the classifiers learn, "
                "are chosen and are asked by different clips (facejax preprocess --part S cuts "
                "shorter ones)"
            )
        cut = len(rest) - max(1, min(fifth, len(rest) - 1))
        for part, chosen in zip(PARTS, (rest[:cut], rest[cut:], test), strict=True):
            parts[part][person] = chosen
    return parts


def usable(clips: Mapping[str, Sequence[talks.Recording]]) -> dict[str, list[str]]:
    """Returns the ids of each person's clips in which FRAMES frames show a face.

    Raises:
      InputError: a person has none.
    """
    found = {}
    for person, own in clips.items():
        found[person] = [one.clip_id for one in own if len(starts(one.valid))]
        if not found[person]:
            raise InputError(too_short(person, [one.valid for one in own]))
    return found


def too_short(person: str, valid: Sequence[np.ndarray], which: str = "clip") -> str:
    """Returns what to say of a person without a window; `valid` is [T] of each clip."""
    longest = max((len(one) for one in valid), default=0)
    return (
        f"no {which} of speaker {person!r} has {FRAMES} frames with a face, which the classifiers "
        f"see at a time; the longest has {longest} frames; give longer ones"
    )


def trained_on(run: runs.Run, choice: Choice, ids: Sequence[str], wanted: Sequence[str]) -> list:
    """Returns which of the clips `wanted` a run has seen a part of that it is now judged by.

    Args:
      run: trained.
      choice: what it is judged by.
      ids: of all clips of the folder and split, in order.
      wanted: of the held-out ones.
    """
    data = settings.section(run.config, "data")
    same = Path(data.path).resolve() == Path(choice.path).resolve() and data.split == choice.split
    first, end = np.maximum(data.span[0], choice.span[0]), np.minimum(data.span[1], choice.span[1])
    if not same or first >= end:
        return []
    known = {ids[number] for number in pipeline.select(ids, data.clips)}
    return [one for one in wanted if one in known]
