"""Frames of a motion of any length from a trained rendering-to-video run, a few at a time."""

from collections.abc import Iterator

import jax
import numpy as np

from facejax import checks, speakers
from facejax.data.windows import LENGTH
from facejax.errors import InputError
from facejax.motion import Motion
from facejax.panels import as_bytes
from facejax.runs import Run
from facejax.systems.facial_video_inputs import AFTER, BEFORE

CHUNK = 16  # frames made at a time


def render_motion(
    run: Run, motion: Motion, speaker: str | None = None, *, chunk: int = CHUNK
) -> Iterator[np.ndarray]:
    """Yields the frames of a motion, uint8 [S, S, 3], one for each of its T, as they are made.

    Every call of the compiled program has the same shapes, and the next chunk is made while one is
    taken, so that memory and compilations do not grow with T. At its ends the motion is repeated,
    or, in a run of data.edges = "released", shown as the published code shows it.

    Args:
      run: of a system whose workload is "windows".
      motion: one clip: expression [T, E], pose [T, 6], blink [T] and identity [I], which should be
        the speaker's: see `own_identity`.
      speaker: id of whom to show; None where the run knows one speaker only.
      chunk: frames made at a time; more are quicker on a large device and take more memory.

    Raises:
      InputError: see `speakers.find`; or `chunk` is below 1.
      ValueError: the motion is of another face model, or has batch axes.
    """
    if chunk < 1:
        raise InputError(f"chunk is {chunk}; due: 1 or more frames")
    number = speakers.find(jax.device_get(run.system.frozen["appearance"]), speaker)
    model = run.system.frozen["morphable"]
    arrays = {name: np.asarray(getattr(motion, name), np.float32) for name in _MOVING}
    identity = np.asarray(motion.identity, np.float32)
    checks.shapes(
        identity_basis=(model.identity_basis, "I V 3"),
        expression_basis=(model.expression_basis, "E V 3"),
        identity=(identity, "I"),
        expression=(arrays["expression"], "T E"),
        pose=(arrays["pose"], "T 6"),
        blink=(arrays["blink"], "T"),
    )
    return _frames(run, identity, arrays, number, chunk)


_MOVING = ("expression", "pose", "blink")


def _frames(
    run: Run, identity: np.ndarray, arrays: dict[str, np.ndarray], number: int, chunk: int
) -> Iterator[np.ndarray]:
    total = len(arrays["pose"])
    if run.config.data.edges == "replicate" or total < LENGTH:
        yield from _stretch(run, identity, arrays, number, chunk, 0, total)
        return
    first = None
    for frame in _stretch(run, identity, arrays, number, chunk, BEFORE, total - AFTER):
        if first is None:
            first = frame
            yield from [first] * BEFORE
        yield frame
    assert first is not None
    yield from [first] * AFTER


def _stretch(
    run: Run,
    identity: np.ndarray,
    arrays: dict[str, np.ndarray],
    number: int,
    chunk: int,
    begin: int,
    end: int,
) -> Iterator[np.ndarray]:
    """Yields frames begin, ..., end - 1; one chunk is being made while another is handed out."""
    last = len(arrays["pose"]) - 1
    waiting: tuple[jax.Array, int] | None = None
    for start in range(begin, end, chunk):
        rows = np.clip(np.arange(start - BEFORE, start + chunk + AFTER), 0, last)
        seen = {"identity": identity} | {name: x[rows] for name, x in arrays.items()}
        made = run.generate({"motion": seen, "speaker": np.float32(number)})["image"]
        if waiting is not None:
            yield from _taken(*waiting)
        waiting = made, min(chunk, end - start)
    if waiting is not None:
        yield from _taken(*waiting)


def _taken(images: jax.Array, count: int) -> Iterator[np.ndarray]:
    yield from as_bytes(jax.device_get(images)[:count])


def own_identity(run: Run, speaker: str | None = None) -> np.ndarray:
    """Returns the identity [I] that a speaker was fitted with, for a `Motion` that another made.

    Raises:
      InputError: see `speakers.find`.
    """
    looks = jax.device_get(run.system.frozen["appearance"])
    return looks["identity"][speakers.find(looks, speaker)]
