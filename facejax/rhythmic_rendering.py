"""Frames from drives: Rhythmic Head Motion's generator, given a person's reference video."""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from facejax import few_shot_judge, runs, settings
from facejax.data import batches, records, shots
from facejax.geometry import rigid_motion
from facejax.geometry.head_motion import frontal_landmarks
from facejax.panels import as_bytes
from facejax.performance import SIDE
from facejax.rhythmic_drive import Drive


def generated(
    run: runs.Run, reference: records.Clip, drive: Drive, rows: int = 4
) -> Iterator[dict[str, np.ndarray]]:
    """Yields what the generator makes of each frame, {label: uint8 [S, S, 3]}, "result" among it.

    K references are spread over the reference video; each frame is given the nearest in head
    motion (eq. 2), and the key frame's face at its own.

    Args:
      run: of rhythmic.
      reference: the reference video, or one image.
      drive: T frames.
      rows: frames made at a time.

    Raises:
      InputError: the reference shows no face.
    """
    data = settings.section(run.config, "data")
    model = jax.device_get(run.system.frozen["morphable"])
    canonical = np.asarray(frontal_landmarks(model, data.size))
    count = min(data.references, int(reference.valid.sum()))
    shot = shots.prepare(reference, _for_one(data, count, len(reference.times)), canonical)
    chosen = np.array([shot.key])
    if count > 1:
        chosen = few_shot_judge.evenly_spaced(shot.references, count)
    given = batches.stack([shots.reference_part(shot, chosen, data.size)])
    del given["reference_motion"]  # what only a loss looks at
    scale = data.size / SIDE
    landmarks = drive.landmarks[..., :2] * np.float32(scale)
    motion = rigid_motion.resized(jnp.asarray(drive.motion), scale)
    head = np.asarray(rigid_motion.flip_depth(motion))
    total = len(landmarks)
    for first in range(0, total, rows):
        number = np.minimum(np.arange(first, first + rows), total - 1)
        matched = nearest(np.asarray(shot.head)[chosen], head[number], data)
        inputs = {"landmarks": landmarks[number], "head": head[number], "matched": matched}
        made = jax.device_get(run.generate(given | inputs))
        for row in range(min(rows, total - first)):
            pictures = few_shot_judge.panels(given, made, row, made["image"][row])
            del pictures["truth"]
            result = pictures.pop("result")
            yield {
                "key frame": as_bytes(given["key_frame"]["image"][0]),
                **pictures,
                "shown": result,
                "result": as_bytes(made["image"][row]),
            }


def _for_one(data: shots.Config, references: int, frames: int) -> shots.Config:
    """Returns a run's data settings for a reference video, all of which may be drawn."""
    tau = max(frames, references)
    return dataclasses.replace(data, references=references, tau=tau, tau_part=0.0, span=(0.0, 1.0))


def nearest(references: np.ndarray, head: np.ndarray, data: shots.Config) -> np.ndarray:
    """Returns the numbers of the references nearest in head motion, [B] float32.

    Args:
      references: [K, 6].
      head: [B, 6].
      data: names the cost.
    """
    several = jnp.broadcast_to(jnp.asarray(references), (len(head), *references.shape))
    sized = {"size": data.size} if data.matcher == "motion" else {}
    costs = shots.COSTS[data.matcher](several, jnp.asarray(head), **sized)
    return np.asarray(jnp.argmin(costs, axis=-1), np.float32)
