"""Who speaks in a run's data, and how each holds head and face on average.

A table is a flat dictionary of numpy arrays, kept with a run as speakers.npz: ids str [S];
pose_mean and pose_std [S, 6] in radians and millimetres; blink_mean [S]; expression_mean [S, E];
identity [S, I]; fps []. Poses are normalised with their speaker's own numbers, so a net learns how
a head moves, and the table says whose head it is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from facejax.errors import InputError

# Deviations count as at least this, or noise of a head that never moves would be blown up.
LEAST_STD = (1e-3, 1e-3, 1e-3, 0.1, 0.1, 0.1)  # rad, mm
SHOWN = 8  # speakers that a message names

Table = dict[str, np.ndarray]


def measure(recordings: Sequence[Any]) -> Table:
    """Returns the table of the speakers of `recordings`, sorted by id.

    Only frames with a face count.

    Args:
      recordings: `data.talks.Recording`s of one frame rate; of each, the part that is trained on.

    Raises:
      InputError: a speaker has no frame with a face.
    """
    ids = sorted({one.speaker_id for one in recordings})
    rows: dict[str, list] = {}
    for speaker in ids:
        own = [one for one in recordings if one.speaker_id == speaker]
        pose, blink, expression, identity = (
            np.concatenate([getattr(one, name)[one.valid] for one in own]).astype(np.float64)
            for name in ("pose", "blink", "expression", "identity")
        )
        if not len(pose):
            raise InputError(f"no frame of speaker {speaker} has a face; leave these clips out")
        row = {
            "pose_mean": pose.mean(0),
            "pose_std": np.maximum(pose.std(0), LEAST_STD),
            "blink_mean": blink.mean(),
            "expression_mean": expression.mean(0),
            "identity": identity.mean(0),
        }
        for name, value in row.items():
            rows.setdefault(name, []).append(value)
    table = {name: np.asarray(values, np.float32) for name, values in rows.items()}
    return {"ids": np.asarray(ids), "fps": np.asarray(recordings[0].fps, np.float32)} | table


def joined(table: Table, tables: Sequence[Mapping[str, np.ndarray]]) -> Table:
    """Returns a table in which every speaker has the statistics of all, as of one person.

    Means are those of the speakers' means; the deviation is that of a pose of all of them together,
    each counting alike.

    Args:
      table: whose speakers to keep.
      tables: with the speakers whose statistics are joined, of one face model.
    """
    names = [name for name in table if name not in ("ids", "fps")]
    every = {name: np.concatenate([np.asarray(one[name]) for one in tables]) for name in names}
    values = {name: column.mean(0) for name, column in every.items()}
    square = np.square(every["pose_std"]) + np.square(every["pose_mean"] - values["pose_mean"])
    values["pose_std"] = np.sqrt(square.mean(0))
    count = len(table["ids"])
    return dict(table) | {
        name: np.broadcast_to(value, (count, *value.shape)).astype(np.float32)
        for name, value in values.items()
    }


def find(table: Mapping[str, np.ndarray], speaker: str | None, who: str = "the run") -> int:
    """Returns a speaker's row.

    Args:
      table: with ids as text, or as numbers (`as_numbers`).
      speaker: the id; None: the only one there is.
      who: has the table, for messages.

    Raises:
      InputError: not in the table; or None, and there are several.
    """
    ids = as_text(table["ids"])
    known = ", ".join(ids[:SHOWN]) + (", ..." if len(ids) > SHOWN else "")
    if speaker is None:
        if len(ids) > 1:
            raise InputError(f"{who} knows {len(ids)} speakers; choose one of: {known}")
        return 0
    if speaker not in ids:
        raise InputError(f"speaker {speaker!r} is unknown to {who}; it knows: {known}")
    return ids.index(speaker)


def normalised(pose: np.ndarray, table: Mapping[str, np.ndarray], row: int) -> np.ndarray:
    """Returns poses [..., 6] as multiples of the speaker's deviation from the speaker's mean."""
    return (pose - table["pose_mean"][row]) / table["pose_std"][row]


def denormalised(pose: np.ndarray, table: Mapping[str, np.ndarray], row: int) -> np.ndarray:
    """The inverse of `normalised`."""
    return pose * table["pose_std"][row] + table["pose_mean"][row]


def as_numbers(value: Any) -> Any:
    """Returns text [S] as its code points, uint32 [S, length]; any other array as it is.

    What a compiled program is given holds numbers only.
    """
    if getattr(value, "dtype", np.dtype(bool)).kind != "U":
        return value
    return np.ascontiguousarray(value).view(np.uint32).reshape(len(value), -1)


def as_text(ids: Any) -> list[str]:
    """Returns ids, as text or as `as_numbers` made of it, as a list."""
    ids = np.ascontiguousarray(ids)
    if ids.dtype.kind != "U":
        ids = ids.view(f"U{ids.shape[1]}").ravel()
    return [str(name) for name in ids]
