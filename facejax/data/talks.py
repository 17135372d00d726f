"""Talks: speech and the face's attributes frame by frame, from clips or from FACIAL's own files."""

import functools
import hashlib
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facejax.audio import deepspeech, features, waveform, windows
from facejax.data import records
from facejax.errors import InputError
from facejax.files import atomic_path
from facejax.geometry.camera import FOCAL

# What the nets hear; "deepspeech_log": its log-probabilities, "null": zeros (speech left out).
CHANNELS = {**features.CHANNELS, "deepspeech_log": features.CHANNELS["deepspeech"], "null": 29}
FACIAL_FPS = 30.0
FACIAL_SIZE = 512.0  # px, of the images that its poses refer to
FACIAL_EXPRESSION = 64
LEAST_SCALE = 1.0  # px/dm; FACIAL's faces have some 170, and its normalised ones 0

SAME_RATE = 1e-3  # frames a second: rates this near are one, rounded

Ear = Callable[[np.ndarray, np.ndarray], np.ndarray]  # wave [n] at 16 kHz, times [T] s -> [T, C]


class Recording(NamedTuple):
    """One clip: T frames of one speaker. Where no face was found, its neighbours are joined."""

    clip_id: str
    speaker_id: str
    fps: float
    speech: np.ndarray  # [T, C] float32, one row a frame
    identity: np.ndarray  # [T, I] float32; I = 0 in FACIAL's files
    pose: np.ndarray  # [T, 6] float32 pitch, yaw, roll in radians; x, y, z in millimetres
    blink: np.ndarray  # [T] float32, 0 (open) to 5 (shut)
    expression: np.ndarray  # [T, E] float32
    valid: np.ndarray  # [T] bool: a face was found

    def part(self, first: int, end: int) -> "Recording":
        """Returns the frames first, ..., end - 1."""
        cut = {name: getattr(self, name)[first:end] for name in self._fields[3:]}
        return self._replace(**cut)


def make_ear(kind: str, weights: str = "", cache: str = "") -> Ear:
    """Returns what turns sound into speech features.

    Args:
      kind: a key of CHANNELS.
      weights: of "deepspeech" and "deepspeech_log": its frozen graph.
      cache: a folder where features are kept, so that each sound is heard once; "": nowhere.

    Raises:
      InputError: no such kind, or the weights are missing.
    """
    if kind not in CHANNELS:
        raise InputError(f"speech is {kind!r}; due: one of {', '.join(CHANNELS)}")
    if kind == "null":
        return lambda wave, times: np.zeros((len(times), CHANNELS[kind]), np.float32)
    plain, model = kind.removesuffix("_log"), None
    if plain == "deepspeech":
        if not weights:
            raise InputError(
                f"speech is {kind} and there are no weights; give the path of {deepspeech.FILE} "
                f"(--config.data.speech_weights=FILE; {deepspeech.SOURCE}), or use mel"
            )
        model = deepspeech.load(weights)
    listen = functools.partial(features.speech_features, kind=plain, weights=model)
    if cache:
        listen = functools.partial(_kept, Path(cache), f"{plain} {weights}", listen)

    def hear(wave: np.ndarray, times: np.ndarray) -> np.ndarray:
        rows = windows.at_times(listen(wave), times)
        return log_softmax(rows) if kind.endswith("_log") else rows

    return hear


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Returns log-probabilities [..., C]."""
    shifted = logits - logits.max(-1, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))).astype(np.float32)


def from_clip(clip: records.Clip, ear: Ear, fps: float = 0.0) -> Recording:
    """Returns the recording of a clip of a data folder.

    Args:
      clip: with sound; without any, the features are those of silence.
      ear: of `make_ear`.
      fps: frames a second to interpolate to; 0 keeps the clip's own.
    """
    own = clip.fps_num / clip.fps_den
    seconds = len(clip.times) / own
    if not fps or abs(fps - own) < SAME_RATE:
        fps, times = own, clip.times
    else:
        times = np.arange(max(1, round(seconds * fps))) / fps
    known = np.flatnonzero(clip.valid) if clip.valid.any() else np.arange(len(clip.times))
    pose = clip.pose.astype(np.float64)
    pose[known, :3] = np.unwrap(pose[known, :3], axis=0)
    at = lambda values: _at(times, clip.times[known], values[known])
    wave = clip.audio.astype(np.float32) / 32768
    if not len(wave):
        wave = np.zeros(round(seconds * records.AUDIO_RATE), np.float32)
    nearest = np.rint(np.interp(times, clip.times, np.arange(len(clip.times)))).astype(int)
    return Recording(
        clip_id=clip.clip_id,
        speaker_id=clip.speaker_id,
        fps=fps,
        speech=ear(wave, times),
        identity=at(clip.identity),
        pose=at(pose),
        blink=at(clip.blink[:, None])[:, 0],
        expression=at(clip.expression),
        valid=clip.valid[nearest],
    )


def _at(times: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values [K, C] at times `known`, interpolated linearly to `times`: float32 [T, C]."""
    columns = [np.interp(times, known, column) for column in values.T]
    return np.stack(columns, 1).astype(np.float32) if columns else np.zeros((len(times), 0), "f4")


def is_facial(path: str | Path) -> bool:
    """Whether `path` is a file, or a folder of files, in the layout that FACIAL published."""
    path = Path(path)
    if path.is_dir():
        return not (path / "dataset_info.json").exists() and any(path.glob("*.npz"))
    return path.suffix == ".npz"


def facial_files(path: str | Path) -> list[Path]:
    """Returns the files of `path`, in order.

    Raises:
      InputError: no such file.
    """
    path = Path(path)
    if path.is_dir():
        return sorted(path.glob("*.npz"))
    if not path.is_file():
        raise InputError(f"no file {path}; check the path (current folder: {Path.cwd()})")
    return [path]


def from_facial(path: Path, kind: str) -> Recording:
    """Returns the recording in one of FACIAL's files; the speaker is called by the file's name.

    Its own features are DeepSpeech's; any other kind is heard from the sound beside it, NAME.wav.

    It holds `deepspeech` [T, 16, 29], windows whose row 8 is the frame's own, and `face`
    [T, 7 + E]: pitch, yaw, roll in degrees; scale in px/dm and place in px from the middle of
    a picture of 512 px, x right, y up; blink; expression. At 30 frames a second. The pose is turned
    into the place and distance, in mm, that show the same (`geometry.camera.camera_from_pose`).

    Raises:
      InputError: the file is not so, or the features are not those of `kind`.
    """
    speech, face = _facial_arrays(path)
    rows = _facial_speech(path, kind, speech)
    if abs(face[:, 3].mean()) < LEAST_SCALE:
        raise InputError(
            f"{path} holds normalised poses (mean scale {face[:, 3].mean():.2g} px/dm): they are "
            "a net's output; de-normalise them first"
        )
    scale = face[:, 3:4] / 100  # px a millimetre
    # Its pixels have their centres at whole numbers, and its y axis ends one pixel early.
    place = np.concatenate([face[:, 4:6] + 0.5, np.full_like(scale, FOCAL * FACIAL_SIZE)], 1)
    pose = np.concatenate([np.deg2rad(face[:, :3]), place / scale], 1)
    return Recording(
        clip_id=path.stem,
        speaker_id=path.stem,
        fps=FACIAL_FPS,
        speech=rows,
        identity=np.zeros((len(face), 0), np.float32),
        pose=pose.astype(np.float32),
        blink=face[:, 6].copy(),
        expression=face[:, 7:].copy(),
        valid=np.ones(len(face), bool),
    )


def _facial_speech(path: Path, kind: str, stored: np.ndarray) -> np.ndarray:
    """Returns speech features [T, C] of a kind, from a file's own [T, 16, 29] or from its sound."""
    rows = windows.centre_rows(stored)
    own = {"deepspeech": rows, "deepspeech_log": log_softmax(rows), "null": np.zeros_like(rows)}
    if kind in own:
        return own[kind]
    sound = path.with_suffix(".wav")
    if not sound.is_file():
        raise InputError(
            f"{path} holds features of deepspeech; set --config.data.speech=deepspeech, or put the "
            f"sound beside it as {sound.name}"
        )
    return make_ear(kind)(waveform.load(sound), np.arange(len(rows)) / FACIAL_FPS)


def _facial_arrays(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns `deepspeech` and `face` of a file, float32, checked."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [file[name].astype(np.float32) for name in ("deepspeech", "face")]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        what = " ".join(str(error).split()) or "it is cut short"
        raise InputError(
            f"{path} is not a file in FACIAL's layout ({what}); due: the arrays deepspeech "
            "[T, 16, 29] and face [T, 71]"
        ) from None
    speech, face = arrays
    shapes = f"deepspeech {list(speech.shape)} and face {list(face.shape)}"
    good = speech.ndim == 3 and speech.shape[1:] == (windows.SIZE, CHANNELS["deepspeech"])
    good = good and face.ndim == 2 and face.shape[1] == 7 + FACIAL_EXPRESSION
    if not good or not len(face) or len(speech) != len(face):
        raise InputError(f"{path} has {shapes}; due: [T, 16, 29] and [T, 71], one row a frame")
    if not all(np.isfinite(array).all() for array in arrays):
        raise InputError(f"{path} has numbers that are not finite; make it anew")
    return speech, face


def _kept(folder: Path, name: str, listen: Callable, wave: np.ndarray) -> np.ndarray:
    """What `listen` makes of a wave, from the folder where it can be read there."""
    digest = hashlib.blake2b(name.encode() + np.ascontiguousarray(wave).tobytes(), digest_size=16)
    path = folder / f"{digest.hexdigest()}.npy"
    if path.is_file():
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            logging.warning("%s is damaged: made anew", path)
    rows = listen(wave)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        np.save(partial, rows)
    return rows
