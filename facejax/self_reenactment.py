"""Self-reenactment of held-out speech, by a run that hears and a run that draws.

FACIAL (Zhang et al., ICCV 2021, arXiv:2108.07938), supplement, section 4 and Fig. 1, draws a person
in two ways beside the truth: from the sound alone, which shows what the attributes are worth
(`audio`), and from the true motion, which shows what the renderer is worth (`video`). Heads are not
moved by words alone, so `audio_true_head` draws what was heard on the true head, and compares
picture with picture. `copy_reference` shows the first frame throughout.

Figures of each: l1 (0 to 255) and psnr (dB) over all frames with a face; those called ..._mouth are
of the mouths, each cut out where its own head holds it. `landmarks` is the mean distance of the
mouth's landmarks in mm with the head still (LMD), beside that of the speaker's mean face.
"""

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax import drivers, mouths, runs, settings, sheets, speakers, speech_motion
from facejax import held_out_speech as held_out
from facejax.animation import Options
from facejax.animator import Animator
from facejax.data import pipeline, records, sequences
from facejax.drivers import Reference
from facejax.errors import InputError
from facejax.held_out_speech import Stretch
from facejax.judging import COPY, evenly
from facejax.metrics import attributes, reconstruction
from facejax.motion import Motion
from facejax.progress import progress
from facejax.systems import SYSTEMS
from facejax.video_rendering import own_identity, render_motion
from facejax.workload import Choice, Result

MADE = ("audio", "audio_true_head", "video")
KINDS = (*MADE, COPY)
SHOWN = 6  # rows of the sheet
SIDE = 128  # px of its pictures
ERROR_GAIN = 3  # of the error map: a difference of 85 of 255 is white
LIPS = 48  # px of the mouths that are compared

Draw = Callable[[Motion], Iterator[np.ndarray]]  # -> uint8 [S, S, 3] each


class Take(NamedTuple):
    """One held-out stretch: what was recorded, and the motions that are drawn."""

    truth: list[bytes]  # the frames, compressed
    stretch: Stretch
    motions: dict[str, Motion]  # of MADE
    draw: Draw


def judge(speech: runs.Run, renderer: runs.Run, choice: Choice) -> Result:
    """Returns the figures, and a sheet with error maps.

    Args:
      speech: a run that makes attributes of speech.
      renderer: a run of HeadGAN or of rendering to video.
      choice: the data folder, the split, and the part of its clips that neither run was trained on.

    Raises:
      InputError: a run is of another kind; they or the clips speak of different face models; the
        frame rates differ; a speaker is unknown to a run.
    """
    _check(speech, renderer, choice)
    errors: dict[str, dict[str, list]] = {}
    landmarks: dict[str, list] = {"audio": [], "person_mean": []}
    rows: list[dict[str, np.ndarray]] = []
    takes = list(_takes(speech, renderer, choice))
    for take in progress(takes, len(takes), "reenact"):
        count = max(1, SHOWN // len(takes)) if len(rows) < SHOWN else 0
        found, shown = _measured(take, renderer.config.data.size, speech, count)
        rows += shown
        errors[take.stretch.name] = found
        for name, values in _landmarks(take, speech).items():
            landmarks[name].append(values)
    by_clip = {
        clip: {name: reconstruction.summary(parts) for name, parts in kinds.items()}
        for clip, kinds in errors.items()
    }
    names = next(iter(errors.values()))
    whole = {
        name: reconstruction.summary([part for one in errors.values() for part in one[name]])
        for name in names
    }
    report: dict[str, Any] = {
        "clip_count": len(takes),
        "frame_count": sum(len(one["video"]) for one in errors.values()),
        "landmarks": {name: float(np.concatenate(x).mean()) for name, x in landmarks.items()},
    }
    images = [image for row in rows for image in row.values()]
    labels = [label for row in rows for label in row]
    sheet = sheets.grid(images, labels, columns=len(rows[0]))
    return Result(report | whole | {"by_clip": by_clip}, sheet)


def _check(speech: runs.Run, renderer: runs.Run, choice: Choice) -> None:
    for run, kinds, which, due in (
        (speech, ("sequences",), "--workdir", "speech to motion, as facial"),
        (renderer, ("frames", "windows"), "--renderer-workdir", "headgan or facial_video"),
    ):
        if SYSTEMS[run.config.system].workload not in kinds:
            raise InputError(f"the run in {which} is one of {run.config.system}; due: {due}")
    if "morphable" not in speech.system.frozen:
        raise InputError("the run in --workdir has no face model: nothing can draw its motions")
    ours, other = (jax.device_get(run.system.frozen["morphable"]) for run in (speech, renderer))
    runs.check_model(ours, other, "--workdir", "--renderer-workdir")
    folder = records.open_clips(choice.path, choice.split).model
    runs.check_model(ours, folder, "--workdir", choice.path)


def _takes(speech: runs.Run, renderer: runs.Run, choice: Choice) -> Iterator[Take]:
    table = jax.device_get(speech.system.frozen["speakers"])
    clips = records.open_clips(choice.path, choice.split)
    data = settings.section(speech.config, "data")
    for stretch in held_out.open_stretches(data, choice, table):
        clip = clips[clips.ids.index(stretch.name)]
        fps = Fraction(clip.fps_num, clip.fps_den)
        if abs(float(fps) - speech_motion.rate(speech)) > 1e-3:
            raise InputError(
                f"clip {stretch.name} has {float(fps):.5g} frames a second, the run in --workdir "
                f"{speech_motion.rate(speech):.5g}; due: the same, to compare frame by frame"
            )
        first, end = pipeline.frame_range(len(clip.times), choice.span)
        speaker = speakers.as_text(table["ids"])[stretch.speaker]
        draw, identity = _renderer(renderer, clip, speaker, (first, end))
        rows = stretch.rows[sequences.HALF :][: end - first]
        heard = speech_motion.speech_to_motion(speech, rows, speaker=speaker, identity=identity)
        truth = stretch.truth
        true = heard._replace(
            expression=jnp.asarray(truth.expression),
            pose=jnp.asarray(truth.pose),
            blink=jnp.asarray(truth.blink),
        )
        motions = {"audio": heard, "audio_true_head": heard._replace(pose=true.pose), "video": true}
        yield Take(clip.frames[first:end], stretch, motions, draw)


def _renderer(
    run: runs.Run, clip: records.Clip, speaker: str, span: tuple[int, int]
) -> tuple[Draw, np.ndarray]:
    """Returns what draws motions of a clip's speaker, and the identity [I] to draw them with."""
    if SYSTEMS[run.config.system].workload == "windows":
        return lambda moved: render_motion(run, moved, speaker), own_identity(run, speaker)
    first, end = span
    still = first + int(np.argmax(clip.valid[first:end]))
    image = pipeline.resize(records.decode_frame(clip.frames[still]), run.config.data.size)
    own = clip.identity[still], clip.expression[still], clip.pose[still]
    face = Reference(image, *own, None, None, (clip.clip_id, ""))
    begin = round(first / clip.fps_num * clip.fps_den * records.AUDIO_RATE)
    wave = clip.audio[begin:].astype(np.float32) / 32768

    def draw(moved: Motion) -> Iterator[np.ndarray]:
        driver = drivers.from_motion(moved, clip.clip_id)._replace(wave=wave)
        return Animator(run).made(face, driver, Options(adapt=False))[1]

    return draw, own[0]


def _measured(
    take: Take, size: int, speech: runs.Run, count: int
) -> tuple[dict[str, list], list[dict[str, np.ndarray]]]:
    """Returns {kind: errors of each frame with a face}, and `count` rows of the sheet."""
    model = jax.device_get(speech.system.frozen["morphable"])
    motions = {name: jax.tree.map(np.asarray, one) for name, one in take.motions.items()}
    where = {name: mouths.places(model, one, size) for name, one in motions.items()}
    faces = np.flatnonzero(take.stretch.valid)
    wanted = set(evenly(faces, min(count, len(faces))).tolist())
    errors: dict[str, list] = {}
    rows = []
    first = pipeline.resize(records.decode_frame(take.truth[faces[0]]), size)
    pictures = zip(*(take.draw(motions[name]) for name in MADE), strict=True)
    for number, made in enumerate(pictures):
        if not take.stretch.valid[number]:
            continue
        truth = pipeline.resize(records.decode_frame(take.truth[number]), size)
        shown = dict(zip(MADE, made, strict=True)) | {COPY: first}
        lips = {name: mouths.crop(shown[name], where[name][number], LIPS) for name in MADE}
        lips[COPY] = mouths.crop(first, where["video"][faces[0]], LIPS)
        true_lips = mouths.crop(truth, where["video"][number], LIPS)
        for name in KINDS:
            errors.setdefault(name, []).append(_errors(shown[name], truth))
            errors.setdefault(f"{name}_mouth", []).append(_errors(lips[name], true_lips))
        if number in wanted:
            places = {name: where[name][number] for name in MADE}
            rows.append(_row(shown, truth, places))
    return errors, rows


def _errors(image: np.ndarray, truth: np.ndarray) -> reconstruction.FrameErrors:
    difference = image.astype(np.float64) - truth
    mean = lambda values: np.asarray(values.mean())
    return reconstruction.FrameErrors(mean(np.abs(difference)), mean(np.square(difference)))  # type: ignore[arg-type]


def _row(
    shown: Mapping[str, np.ndarray], truth: np.ndarray, places: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns the pictures of one frame, {label: uint8 [SIDE, SIDE, 3]}."""

    def error(name: str) -> np.ndarray:
        away = np.abs(shown[name].astype(np.float32) - truth).mean(-1, keepdims=True)
        return np.repeat(np.clip(ERROR_GAIN * away, 0, 255).astype(np.uint8), 3, -1)

    wholes = {
        "truth": truth,
        "audio": shown["audio"],
        "audio, true head": shown["audio_true_head"],
        f"its error x{ERROR_GAIN}": error("audio_true_head"),
        "video": shown["video"],
        f"error x{ERROR_GAIN}": error("video"),
    }
    return {label: pipeline.resize(image, SIDE) for label, image in wholes.items()} | {
        "mouth, truth": mouths.crop(truth, places["video"], SIDE),
        "mouth, audio": mouths.crop(shown["audio"], places["audio"], SIDE),
        "mouth, video": mouths.crop(shown["video"], places["video"], SIDE),
    }


def _landmarks(take: Take, speech: runs.Run) -> dict[str, np.ndarray]:
    """Returns the distance of the mouth's landmarks, mm, of every frame with a face."""
    frozen = jax.device_get({k: speech.system.frozen[k] for k in ("morphable", "speakers")})
    heard = take.motions["audio"]
    faces = {
        "audio": attributes.Face(
            *(np.asarray(x) for x in (heard.pose, heard.blink, heard.expression))
        ),
        "person_mean": held_out.person_mean(take.stretch, frozen["speakers"]),
    }
    return {
        name: attributes.frame_errors(face, take.stretch.truth, frozen["morphable"])["mouth"][
            take.stretch.valid
        ]
        for name, face in faces.items()
    }


def summary_line(report: dict[str, Any]) -> str:
    """Returns the figures of a report in one line."""
    figures = [
        f"{name}: L1 {report[name]['l1']:.2f} PSNR {report[name]['psnr']:.2f} dB, mouth L1 "
        f"{report[f'{name}_mouth']['l1']:.2f}"
        for name in KINDS
    ]
    distance = [f"{name} {value:.2f} mm" for name, value in report["landmarks"].items()]
    counts = f"{report['clip_count']} clips, {report['frame_count']} frames."
    return f"{counts} {'; '.join(figures)}; mouth landmarks: {', '.join(distance)}"
