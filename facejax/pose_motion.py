"""Head poses of a trained PoseGAN: speech of any length, with a seed and an initial pose.

Windows of the run's length hand over their last frame as the next one's initial pose; all of it is
the compiled scan of `rollout`. The net is told its noise and the speaker along with the speech.
"""

from collections.abc import Callable

import jax
import numpy as np

from facejax import rollout
from facejax.data import sequences
from facejax.system import PyTree
from facejax.systems.posegan import POSE
from facejax.systems.posegan_config import MOST_NOISE


def poses(
    roll: rollout.Roll,
    rows: np.ndarray,
    frames: int,
    *,
    initial: np.ndarray,
    speaker: int = 0,
    seed: int = 0,
    put: Callable[[PyTree], PyTree] = jax.device_put,
) -> np.ndarray:
    """Returns the poses [N, 6] of N frames, normalised.

    Args:
      roll: of `rollout.make_roll`, with a PoseGAN's weights filled in.
      rows: [N + 15, C] speech features (`sequences.padded`).
      frames: of its windows.
      initial: [6] normalised pose of the first frame.
      speaker: row in the run's table.
      seed: of the noise, of nets that are told one.
      put: puts arrays on the devices.
    """
    noise = np.random.default_rng(seed).normal(size=(len(rows), MOST_NOISE))
    who = np.full((len(rows), 1), speaker)
    told = np.concatenate([rows, who, noise], axis=1).astype(np.float32)
    return rollout.attributes(roll, told, np.asarray(initial, np.float32), frames, put)


def attributes(
    roll: rollout.Roll,
    speech: np.ndarray,
    state: np.ndarray,
    frames: int,
    table: PyTree,
    speaker: int,
    seed: int,
) -> np.ndarray:
    """Returns the attributes [T, D] of a PoseGAN's run: its poses, eyes open, the speaker's mean.

    Args:
      roll: as in `poses`.
      speech: [T, C].
      state: [D], of which the pose counts.
      frames: of its windows.
      table: the run's speakers.
      speaker: row in there.
      seed: of the noise.
    """
    rows = sequences.padded(speech)
    made = poses(roll, rows, frames, initial=state[:POSE], speaker=speaker, seed=seed)
    rest = np.concatenate([[0.0], table["expression_mean"][speaker]])
    return np.concatenate([made, np.broadcast_to(rest, (len(made), len(rest)))], 1, dtype="f4")
