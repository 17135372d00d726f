"""A head that moves gets the face that goes with it: motion, speech and a PGFace -> motion."""

import jax
import jax.numpy as jnp
import numpy as np

from facejax import runs, speakers, speech_motion
from facejax.data import sequences
from facejax.errors import InputError
from facejax.motion import Motion
from facejax.shape_motion import shapes


def with_shape(
    run: runs.Run, motion: Motion, speech: np.ndarray, speaker: str | None = None
) -> Motion:
    """Returns a motion with the face that a PGFace makes of its poses and the speech.

    PGFace makes an identity a frame; a motion has one, their mean. The expression is smoothed as
    FACIAL's is (`speech_motion.polished`).

    Args:
      run: of `runs.load`, of pgface.
      motion: of T frames.
      speech: [T, C] features of the run's kind (`speech_motion.hear`).
      speaker: of the run's; None: the only one.

    Raises:
      InputError: another frame rate or another number of frames, or an unknown speaker.
    """
    table = jax.device_get(run.system.frozen["speakers"])
    if abs(speech_motion.rate(run) - float(motion.fps)) > 1e-3:
        raise InputError(
            f"the face's run has {speech_motion.rate(run):g} frames a second, the motion "
            f"{float(motion.fps):g}; train both at one rate (data.fps)"
        )
    if len(speech) != len(motion.pose):
        raise InputError(f"speech has {len(speech)} frames, the motion {len(motion.pose)}")
    row = speakers.find(table, speaker, "the face's run")
    pose = speakers.normalised(np.asarray(motion.pose), table, row)
    rows = sequences.padded(np.asarray(speech))
    identity, expression = shapes(run.generate, rows, sequences.padded(pose), row)
    return motion._replace(
        identity=jnp.asarray(identity.mean(0)),
        expression=jnp.asarray(speech_motion.polished(expression), jnp.float32),
    )
