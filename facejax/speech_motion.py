"""From speech to a `Motion`, by a trained run of a system that makes attributes of speech.

run = runs.load("W")
motion = speech_to_motion(run, hear(run, "speech.wav"), speaker="ann")
"""

import os
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.signal import savgol_filter

from facejax import pose_motion, rollout, runs, settings, speakers
from facejax.audio import waveform, windows
from facejax.audio.feature_files import read_features
from facejax.data import sequences, talks
from facejax.errors import InputError
from facejax.motion import Motion
from facejax.systems import SYSTEMS

SMOOTHINGS = ("paper", "released", "none")
SMOOTHED = (7, 3)  # window and degree of the Savitzky-Golay filter
# Weights of the frames -2 to 2. The published kernel is off its centre: the head leads by 0.87.
KERNELS = {
    "paper": np.array([0.0545, 0.2442, 0.4026, 0.2442, 0.0545]),  # a Gaussian of deviation 1
    "released": np.array([0.0047, 0.0574, 0.2571, 0.4238, 0.2571]),
}
AU45 = 5.0  # of a shut eye


def hear(
    run: runs.Run, source: str | os.PathLike | np.ndarray, weights: str | os.PathLike = ""
) -> np.ndarray:
    """Returns the speech features that a run wants, [T, C], at its frame rate.

    Args:
      run: of `runs.load`.
      source: any file with sound; a .npy or .npz of features of the run's kind, one row or window
        a frame (`audio.feature_files`); or mono sound [n] at 16 kHz, floats in [-1, 1].
      weights: DeepSpeech's frozen graph, for a run that hears it; "": the config's own.

    Raises:
      InputError: the file cannot be read or holds features of another shape; the sound is shorter
        than half a frame; weights are missing.
    """
    data = settings.section(run.config, "data")
    if not isinstance(source, np.ndarray) and Path(source).suffix in (".npy", ".npz"):
        rows = read_features(source, talks.CHANNELS[data.speech])
        return talks.log_softmax(rows) if data.speech.endswith("_log") else rows
    ear = talks.make_ear(data.speech, str(weights) or data.speech_weights)
    wave = source if isinstance(source, np.ndarray) else waveform.load(source)
    times = windows.frame_times(Fraction(len(wave), waveform.RATE), rate(run))
    if not len(times):
        name = "the sound" if isinstance(source, np.ndarray) else source
        raise InputError(
            f"{name} lasts {len(wave) / waveform.RATE:.3f} s, less than half a frame at "
            f"{rate(run):g} fps; give more sound"
        )
    return ear(wave, times)


def rate(run: runs.Run) -> float:
    """Returns the frames a second that a run was trained at."""
    return float(run.system.frozen["speakers"]["fps"])


def speech_to_motion(
    run: runs.Run,
    speech: np.ndarray,
    *,
    speaker: str | None = None,
    fps: float | None = None,
    identity: np.ndarray | None = None,
    state: np.ndarray | None = None,
    seed: int = 0,
    smoothing: str = "paper",
) -> Motion:
    """Returns how a speaker of the run moves while saying this: T frames.

    Windows of the run's length, each of which goes on from the last (`rollout.attributes`), in
    constant memory; the pose is in the speaker's own way of holding the head. Frame t of the motion
    belongs to row t of the speech: nothing is dropped at either end.

    Args:
      run: of `runs.load`.
      speech: [T, C], one row a frame, T at least 1: of `hear`, or features of the same kind.
      speaker: whose statistics the pose takes; None: the only one.
      fps: of `speech`; None: the run's own. Any other is refused: the net knows one tempo.
      identity: [I] of the motion; None: the speaker's.
      state: [D] attributes before the first frame, the pose normalised; None: 0, a resting face.
      seed: of the noise that a PoseGAN may be told.
      smoothing: "paper", a Savitzky-Golay filter on pose and expression and a symmetric kernel on
        the pose; "released", the published code's kernel, off its centre, and not near the ends;
        or "none". Blinks are never smoothed.

    Raises:
      InputError: a speaker that the run does not know, or several to choose from; speech of another
        rate or kind.
    """
    if smoothing not in SMOOTHINGS:
        raise InputError(f"smoothing is {smoothing!r}; due: {', '.join(SMOOTHINGS)}")
    table = jax.device_get(run.system.frozen["speakers"])
    row = speakers.find(table, speaker)
    values = raw_attributes(run, speech, fps=fps, state=state, row=row, seed=seed)
    pose = speakers.denormalised(values[:, :6], table, row)
    expression = values[:, sequences.FACE :]
    if smoothing != "none":
        expression, pose = polished(expression), polished(pose)
        pose = blurred(pose, KERNELS[smoothing], ends=smoothing == "paper")
    own = table["identity"][row] if identity is None else identity
    return Motion(
        identity=jnp.asarray(own, jnp.float32),
        expression=jnp.asarray(expression, jnp.float32),
        pose=jnp.asarray(pose, jnp.float32),
        blink=jnp.clip(jnp.asarray(values[:, 6]), 0, AU45),
        fps=jnp.asarray(rate(run), jnp.float32),
    )


def raw_attributes(
    run: runs.Run,
    speech: np.ndarray,
    *,
    fps: float | None = None,
    state: np.ndarray | None = None,
    row: int = 0,
    seed: int = 0,
) -> np.ndarray:
    """Returns the net's own output, [T, D] float32, the pose normalised; see `speech_to_motion`.

    `row` is the speaker's in the run's table. A PoseGAN makes poses alone: the rest is at rest.
    """
    speech = np.asarray(speech)
    data = settings.section(run.config, "data")
    channels = talks.CHANNELS[data.speech]
    if speech.ndim != 2 or speech.shape[1] != channels or not len(speech):
        raise InputError(
            f"speech is {list(speech.shape)}; due: [T, {channels}], features of {data.speech} with "
            "a row for each frame"
        )
    if not np.isfinite(speech).all():
        raise InputError("speech has numbers that are not finite; extract the features again")
    if fps is not None and abs(fps - rate(run)) > 1e-3:
        raise InputError(
            f"speech has {fps:g} rows a second, the run {rate(run):g} frames; extract the features "
            f"at {rate(run):g} a second"
        )
    size = sequences.FACE + run.system.frozen["speakers"]["expression_mean"].shape[1]
    state = np.zeros(size, np.float32) if state is None else np.asarray(state, np.float32)
    if state.shape != (size,):
        raise InputError(f"state is {list(state.shape)}; due: [{size}], one frame's attributes")
    roll = rollout.make_roll(run.system.generate, data.frames)
    roll = rollout.fill(roll, run.gen, run.stats, run.system.frozen)
    if SYSTEMS[run.config.system].workload == "poses":
        table = jax.device_get(run.system.frozen["speakers"])
        return pose_motion.attributes(roll, speech, state, data.frames, table, row, seed)
    return rollout.attributes(roll, sequences.padded(speech), state, data.frames)


def polished(values: np.ndarray) -> np.ndarray:
    """Returns [T, C] through the Savitzky-Golay filter; the ends are those of its polynomial.

    Fewer frames than its window are left as they are.
    """
    if len(values) < SMOOTHED[0]:
        return values
    return savgol_filter(values, *SMOOTHED, axis=0)


def blurred(values: np.ndarray, kernel: np.ndarray, *, ends: bool) -> np.ndarray:
    """Returns [T, C] weighted over neighbouring frames.

    Args:
      values: [T, C].
      kernel: weights of the frames -n to n, [2 n + 1], which sum to 1.
      ends: whether the first and last n frames are weighted too, their outer neighbours being
        the outermost frame; False leaves them as they are.
    """
    reach, frames = len(kernel) // 2, len(values)
    near = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
    moved = sum(weight * near[k : k + frames] for k, weight in enumerate(kernel / kernel.sum()))
    if not ends:
        near_end = np.minimum(np.arange(frames), np.arange(frames)[::-1]) < reach
        moved = np.where(near_end[:, None], values, moved)
    return moved
