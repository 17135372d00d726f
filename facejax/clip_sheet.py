"""The contact sheet of a data folder: frames, the points found in them, the fitted 3-D faces."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from facejax import sheets
from facejax.data.pipeline import resize
from facejax.data.records import Clip, Clips, decode_frame
from facejax.geometry.morphable import MorphableModel
from facejax.panels import face_as_bytes
from facejax.systems.drawing import face

SHOWN = 12  # clips, spread over all
FRAMES = 4  # of each clip, spread over it
CELL = 160  # px
DOT = np.array([40, 255, 90], np.uint8)

_draw = jax.jit(face, static_argnums=(2, 3))


def contact_sheet(splits: Sequence[Clips]) -> np.ndarray:
    """Returns uint8 [H, W, 3]: a row for each clip shown, frames beside their 3-D faces.

    Args:
      splits: of one data folder; their clips are shown in order, thinned out evenly.
    """
    places = [(clips, number) for clips in splits for number in range(len(clips))]
    chosen = np.unique(np.linspace(0, len(places) - 1, SHOWN).round().astype(int))
    cells, labels = [], []
    for k in chosen:
        clips, number = places[k]
        for cell, label in _row(clips[number], clips.model):
            cells.append(cell)
            labels.append(label)
    return sheets.grid(cells, labels, columns=2 * FRAMES)


def _row(clip: Clip, model: MorphableModel) -> list[tuple[np.ndarray, str]]:
    frames = np.linspace(0, len(clip.times) - 1, FRAMES).round().astype(int)
    motion = {
        "identity": clip.identity[frames],
        "expression": clip.expression[frames],
        "pose": clip.pose[frames],
    }
    drawn = face_as_bytes(_draw(jax.tree.map(jnp.asarray, model), motion, CELL, CELL))
    row = []
    for k, image in zip(frames, drawn, strict=True):
        frame = decode_frame(clip.frames[k])
        shown = resize(frame, CELL)
        points = np.floor(clip.points[k, :, :2] * (CELL / frame.shape[0])).astype(int)
        inside = points[((points >= 0) & (points < CELL)).all(axis=1)]
        shown[inside[:, 1], inside[:, 0]] = DOT
        held = "" if clip.valid[k] else " (held)"
        row.append((shown, f"{clip.clip_id} {clip.times[k]:.2f} s{held}"))
        angles = np.degrees(clip.pose[k, :3]).round().astype(int)
        row.append((image, f"pitch {angles[0]} yaw {angles[1]} roll {angles[2]}"))
    return row
