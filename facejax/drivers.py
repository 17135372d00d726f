"""What an animation starts from: a reference face and a driving motion, from files or records.

A source is the path of an image, a video or a motion file, or `DATA_DIR:CLIP` for a clip of a data
folder, and `DATA_DIR:CLIP:FRAME` for one frame of it.
"""

import math
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from facejax import motion_files, video
from facejax.data import pipeline, records
from facejax.errors import InputError
from facejax.face_mesh import FaceMesh
from facejax.geometry.morphable import MorphableModel
from facejax.media import Seconds, exact
from facejax.motion import Motion, borrow
from facejax.portrait import read_portrait
from facejax.runs import check_model
from facejax.track import Choice, Track, crop_frames, track_video
from facejax.video_writer import Sound

LOOK_AHEAD = Fraction(1, 2)  # s of sound read past the end: speech features look ahead
DRIVER_JUMP = 1.0  # of the crop: the picture of a driver is not used, only its motion
TICKS = 90000  # a second: the clock of clips whose frame rate does not give one


class Terms(NamedTuple):
    """What sources are read in: the run's size and face model, and a face detector if needed."""

    size: int  # px
    model: MorphableModel
    face_mesh: Callable[[], FaceMesh]
    workdir: str  # for messages


class Reference(NamedTuple):
    """The face that is made to move."""

    image: np.ndarray  # uint8 [S, S, 3]
    identity: np.ndarray  # [I]
    expression: np.ndarray  # [E]
    pose: np.ndarray  # [6]
    photo: np.ndarray | None  # uint8 [H, W, 3] that the image was cut from
    box: np.ndarray | None  # [4] px, where
    place: tuple[str, str]  # source: file or folder, and clip or nothing


class Driver(NamedTuple):
    """The motion of T frames, the sound that goes with it, and the pictures for comparison."""

    motion: Motion
    times: np.ndarray  # [T] float64 s, from 0
    fps: Fraction
    time_base: Fraction
    wave: np.ndarray  # float32 [n] mono 16 kHz from time 0 on; n = 0: silent
    sound: Sound | None  # for the output
    sound_start: Fraction  # s in the sound that is time 0
    frames: Callable[[], Iterator[np.ndarray]] | None  # uint8 [S, S, 3] each; None: no pictures
    place: tuple[str, str]


def read_reference(source: str | os.PathLike, terms: Terms, choice: Choice) -> Reference:
    """Returns the reference of an image, or of one frame (default: the first) of a clip.

    Raises:
      InputError: see `portrait.read_portrait` and `records.open_clips`; or the frame has no face.
    """
    clip_and_frame = find_clip(source, terms)
    if clip_and_frame is None:
        portrait = read_portrait(
            source, terms.face_mesh(), terms.model, size=terms.size, choice=choice
        )
        motion = portrait.identity, portrait.expression, portrait.pose
        where = str(Path(source).resolve()), ""
        return Reference(portrait.image, *motion, portrait.photo, portrait.box, where)
    clip, frame, place = clip_and_frame
    frame = 0 if frame is None else frame
    if not -len(clip.times) <= frame < len(clip.times):
        raise InputError(f"{source}: the clip has frames 0 to {len(clip.times) - 1}")
    if not clip.valid[frame]:
        raise InputError(f"{source}: no face was found in this frame; choose another")
    image = pipeline.resize(records.decode_frame(clip.frames[frame]), terms.size)
    motion = clip.identity[frame], clip.expression[frame], clip.pose[frame]
    return Reference(image, *motion, None, None, place)


def read_driver(
    source: str | os.PathLike,
    terms: Terms,
    choice: Choice,
    start: Seconds | None,
    end: Seconds | None,
) -> Driver:
    """Returns the motion of a video, a motion file or a clip, from `start` to `end` s.

    Raises:
      InputError: see `track.track_video`, `motion_files.load_motion` and `records.open_clips`; or
        too few frames.
    """
    if Path(source).suffix == motion_files.SUFFIX:
        return from_motion(motion_files.load_motion(source, terms.model), source, start, end)
    found = find_clip(source, terms)
    if found is None:
        return _from_video(source, terms, choice, start, end)
    clip, frame, place = found
    if frame is not None:
        raise InputError(f"{source} is one frame; a driver is a whole clip: leave out :{frame}")
    return _from_clip(clip, terms, place, (start, end))


def from_motion(
    motion: Motion,
    source: str | os.PathLike,
    start: Seconds | None = None,
    end: Seconds | None = None,
) -> Driver:
    """Returns the driver of a motion at a steady frame rate: no sound, no pictures.

    Args:
      motion: of T frames.
      source: where it comes from, for messages.
      start: s; None: from the first frame.
      end: s; None: to the last frame.

    Raises:
      InputError: no frame is left.
    """
    fps = Fraction(float(motion.fps)).limit_denominator(1001)
    times = np.arange(len(motion.pose)) / float(fps)
    inside = _between(times, start, end)
    if not inside.any():
        raise InputError(f"{source} lasts {len(times) / fps:.2f} s: nothing from {start} to {end}")
    return Driver(
        motion=motion._replace(
            expression=motion.expression[inside],
            pose=motion.pose[inside],
            blink=motion.blink[inside],
        ),
        times=times[inside] - times[inside][0],
        fps=fps,
        time_base=_clock(fps),
        wave=np.zeros(0, np.float32),
        sound=None,
        sound_start=Fraction(0),
        frames=None,
        place=(str(Path(source).resolve()), ""),
    )


def with_borrowed(
    driver: Driver,
    terms: Terms,
    pose_from: str | os.PathLike | None,
    blink_from: str | os.PathLike | None,
) -> Driver:
    """Returns the driver with the head motion or the blinks of others (`motion.borrow`).

    Raises:
      InputError: as `read_driver`.
    """
    for name, source in (("pose", pose_from), ("blink", blink_from)):
        if source is not None:
            other = read_driver(source, terms, Choice(), None, None).motion
            driver = driver._replace(motion=borrow(driver.motion, other, **{name: True}))
    return driver


def with_sound(driver: Driver, path: str | os.PathLike) -> Driver:
    """Returns the driver with another sound, which begins at its first frame.

    Raises:
      InputError: the file has no sound.
    """
    if not video.has_audio(path):
        raise InputError(f"{path} has no sound; give a file with an audio track as --audio")
    wave = video.read_audio(path, records.AUDIO_RATE, 0, _length(driver) + LOOK_AHEAD)
    return driver._replace(wave=wave, sound=path, sound_start=Fraction(0))


def _from_video(
    source: str | os.PathLike,
    terms: Terms,
    choice: Choice,
    start: Seconds | None,
    end: Seconds | None,
) -> Driver:
    track = track_video(
        source,
        terms.face_mesh(),
        terms.model,
        size=terms.size,
        start=start,
        end=end,
        choice=choice._replace(most_jump=DRIVER_JUMP),
    )
    first = exact(track.times[0])
    driver = Driver(
        motion=_motion(track, slice(None), track.fps),
        times=track.times - track.times[0],
        fps=track.fps,
        time_base=track.time_base,
        wave=np.zeros(0, np.float32),
        sound=None,
        sound_start=first,
        frames=lambda: crop_frames(source, track, terms.size, end=end),
        place=(str(Path(source).resolve()), ""),
    )
    if not video.has_audio(source):
        return driver
    wave = video.read_audio(source, records.AUDIO_RATE, first, first + _length(driver) + LOOK_AHEAD)
    return driver._replace(wave=wave, sound=source)


def _from_clip(
    clip: records.Clip,
    terms: Terms,
    place: tuple[str, str],
    span: tuple[Seconds | None, Seconds | None],
) -> Driver:
    start, end = span
    chosen = np.flatnonzero(_between(clip.times, start, end))
    if len(chosen) < 2:
        raise InputError(
            f"clip {clip.clip_id} has {len(chosen)} frames from {start or 0} s to "
            f"{end or 'its end'}, and lasts {clip.times[-1]:.2f} s; at least 2 are due"
        )
    fps = Fraction(clip.fps_num, clip.fps_den)
    first = round(float(clip.times[chosen[0]]) * records.AUDIO_RATE)
    wave = clip.audio[first:].astype(np.float32) / 32768

    def frames() -> Iterator[np.ndarray]:
        for number in chosen:
            yield pipeline.resize(records.decode_frame(clip.frames[number]), terms.size)

    return Driver(
        motion=_motion(clip, chosen, fps),
        times=clip.times[chosen] - clip.times[chosen[0]],
        fps=fps,
        time_base=_clock(fps),
        wave=wave,
        sound=(wave, records.AUDIO_RATE) if len(wave) else None,
        sound_start=Fraction(0),
        frames=frames,
        place=place,
    )


def _motion(source: Track | records.Clip, frames: np.ndarray | slice, fps: Fraction) -> Motion:
    """One identity for the clip: the mean of its frames' (a driver's is not used)."""
    return Motion(
        identity=jnp.asarray(source.identity[frames].mean(axis=0)),
        expression=jnp.asarray(source.expression[frames]),
        pose=jnp.asarray(source.pose[frames]),
        blink=jnp.asarray(source.blink[frames]),
        fps=jnp.asarray(float(fps), jnp.float32),
    )


def _between(times: np.ndarray, start: Seconds | None, end: Seconds | None) -> np.ndarray:
    """Which times [T] lie in start <= time < end, to a microsecond."""
    first = 0.0 if start is None else float(exact(start))
    past = np.inf if end is None else float(exact(end))
    return (times >= first - 1e-6) & (times < past - 1e-6)


def _clock(fps: Fraction) -> Fraction:
    """The time base in which every frame of this rate has an exact time."""
    return Fraction(1, math.lcm(TICKS, fps.numerator))


def _length(driver: Driver) -> Fraction:
    return exact(driver.times[-1]) + 1 / driver.fps


def find_clip(
    source: str | os.PathLike, terms: Terms
) -> tuple[records.Clip, int | None, tuple[str, str]] | None:
    """Returns (clip, frame or None, place) of DATA_DIR:CLIP[:FRAME]; None for a file's path."""
    text = os.fspath(source)
    folder, _, rest = text.partition(":")
    if Path(text).exists() or not rest or not Path(folder).is_dir():
        return None
    known: list[str] = []
    for split in sorted(records.splits(folder)):
        clips = records.open_clips(folder, split)
        known += clips.ids
        for name, frame in _readings(rest):
            if name in clips.ids:
                check_model(terms.model, clips.model, terms.workdir, folder)
                place = str(Path(folder).resolve()), name
                return clips[clips.ids.index(name)], frame, place
    few = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
    raise InputError(f"{folder} has no clip {rest!r}; it has: {few}")


def _readings(rest: str) -> Iterator[tuple[str, int | None]]:
    """Yields (clip, frame) as `rest` can be read: a clip's id may itself hold a colon."""
    yield rest, None
    name, _, last = rest.rpartition(":")
    if name and last.lstrip("-").isdigit():
        yield name, int(last)
