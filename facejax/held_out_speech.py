"""Held-out stretches of speech, and two ways to a face that need no training."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from facejax import speakers
from facejax.data import pipeline, sequences, talks
from facejax.errors import InputError
from facejax.judging import thin
from facejax.metrics.attributes import Face
from facejax.system import PyTree
from facejax.workload import Choice

BLOCK = 256  # held-out frames compared with all training frames at a time


class Stretch(NamedTuple):
    """One held-out part of a clip."""

    name: str
    speaker: int  # row of the run's speakers
    rows: np.ndarray  # [T + 15, C] speech, as `rollout.attributes` wants it
    truth: Face
    identity: np.ndarray  # [I]
    valid: np.ndarray  # [T]
    fps: float


class Known(NamedTuple):
    """A part of a clip that was trained on."""

    rows: np.ndarray  # as in `Stretch`
    face: Face


def open_stretches(data: sequences.Config, choice: Choice, table: PyTree) -> list[Stretch]:
    """Returns the chosen stretches.

    Args:
      data: of the run.
      choice: what to judge; its `most_frames` and `reference_index` mean nothing here.
      table: the run's speakers.

    Raises:
      InputError: nothing there; a speaker that the run does not know; another face model's motion.
    """
    held = dataclasses.replace(
        data,
        path=choice.path,
        split=choice.split,
        clips=choice.clips,
        span=choice.span,
        fps=float(table["fps"]),
    )
    found = [
        _stretch(one, choice, table)
        for one in thin(sequences.open_recordings(held), choice.most_clips)
    ]
    found = [one for one in found if one.valid.any()]
    if not found:
        raise InputError(f"{choice.path}, {choice.split}: no frame with a face in {choice.span}")
    return found


def _stretch(one: talks.Recording, choice: Choice, table: PyTree) -> Stretch:
    known = np.shape(table["expression_mean"])[1]
    if one.expression.shape[1] != known:
        raise InputError(
            f"clip {one.clip_id} has expressions of {one.expression.shape[1]} numbers, those of "
            f"the run have {known}: they are of another face model"
        )
    if one.speaker_id not in speakers.as_text(table["ids"]):
        names = speakers.as_text(table["ids"])
        more = ", ..." if len(names) > speakers.SHOWN else ""
        raise InputError(
            f"speaker {one.speaker_id!r} of {choice.path}, split {choice.split}, is not one of the "
            f"run's ({', '.join(names[: speakers.SHOWN])}{more}); hold out a part of their clips: "
            "eval.split=train and eval.span=0.8,1 beside data.span=0,0.8"
        )
    rows, truth = _part(one, choice.span)
    first, end = pipeline.frame_range(len(one.pose), choice.span)
    return Stretch(
        name=one.clip_id,
        speaker=speakers.find(table, one.speaker_id),
        rows=rows,
        truth=truth,
        identity=one.identity.mean(0),
        valid=one.valid[first:end],
        fps=one.fps,
    )


def face_of(values: np.ndarray, table: PyTree, speaker: int) -> Face:
    """Returns attributes [T, D], whose pose is normalised, in radians, mm and AU45's scale."""
    pose = speakers.denormalised(values[:, :6], table, speaker)
    blink = np.clip(values[:, 6], 0, 5)
    return Face(np.asarray(pose, np.float32), blink, values[:, sequences.FACE :])


def person_mean(stretch: Stretch, table: PyTree) -> Face:
    """Returns the speaker's mean pose, blink and expression, in every frame."""
    row, frames = stretch.speaker, len(stretch.valid)
    tiled = lambda value: np.broadcast_to(value, (frames, *np.shape(value)))
    names = ("pose_mean", "blink_mean", "expression_mean")
    return Face(*(tiled(np.asarray(table[name])[row]) for name in names))


def nearest_neighbour(stretch: Stretch, known: Sequence[Known]) -> Face:
    """Returns, for each frame, the face of the training frame with the nearest window of speech.

    Args:
      stretch: held out.
      known: what the speaker was seen to do in training.
    """
    wanted = _windows(stretch.rows)
    heard = np.concatenate([_windows(one.rows) for one in known])
    lengths = np.square(heard).sum(1)
    nearest = [
        np.argmin(lengths[None] - 2 * wanted[first : first + BLOCK] @ heard.T, axis=1)
        for first in range(0, len(wanted), BLOCK)
    ]
    chosen = np.concatenate(nearest)
    parts = (np.concatenate([getattr(one.face, name) for one in known]) for name in Face._fields)
    return Face(*(part[chosen] for part in parts))


def _windows(rows: np.ndarray) -> np.ndarray:
    """[T + 15, C] -> [T, 16 C]."""
    count = len(rows) - sequences.WINDOW + 1
    near = np.arange(count)[:, None] + np.arange(sequences.WINDOW)
    return rows[near].reshape(count, -1)


def training_frames(data: sequences.Config, path: str, table: PyTree) -> dict[int, list[Known]]:
    """Returns the training parts of each speaker's clips in the judged folder, if it has any."""
    if data.split not in sequences.splits(path):
        return {}
    data = dataclasses.replace(data, path=path, fps=float(table["fps"]))
    ids, found = speakers.as_text(table["ids"]), {}  # type: ignore[var-annotated]
    for one in sequences.open_recordings(data):
        part = _part(one, data.span)
        if one.speaker_id in ids and len(part.face.pose):
            found.setdefault(ids.index(one.speaker_id), []).append(part)
    return found


def _part(one: talks.Recording, span: tuple[float, float]) -> Known:
    """Returns the part `span` of a clip, whose windows of speech reach beyond it."""
    first, end = pipeline.frame_range(len(one.pose), span)
    cut = one.part(first, end)
    rows = sequences.padded(one.speech)[first : end + sequences.WINDOW - 1]
    return Known(rows, Face(cut.pose, cut.blink, cut.expression))
