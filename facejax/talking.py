"""Talking from sound alone: speech -> motion -> any renderer.

The motion is made by a trained speech-to-motion run. It is drawn by the run in --renderer-workdir:
HeadGAN moves the reference image; rendering-to-video shows the person that it was trained on. With
no such run the 3-D head itself is drawn, in the colours of the reference if there is one.
"""

import argparse
import functools
import logging
import math
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax import (
    appearance,
    drivers,
    head_video,
    motion,
    motion_files,
    runs,
    speakers,
    speech_motion,
    talk_sheet,
)
from facejax.animation import Options, edited, own_motion
from facejax.animator import Animator
from facejax.data.sequences import FACE
from facejax.drivers import Driver, Reference
from facejax.errors import InputError
from facejax.face_mesh import FaceMesh
from facejax.files import IMAGES, check_parent, write_image
from facejax.media import exact
from facejax.motion import Motion
from facejax.output import Summary, write_pictures
from facejax.systems import SYSTEMS
from facejax.track import Choice
from facejax.video_rendering import own_identity, render_motion
from facejax.video_writer import check_path

FEATURES = (".npy", ".npz")  # files of speech features, which have no sound
MESH = "mesh"  # the renderer that needs no training
SIZE = 256  # px of its frames
AS_IT_IS = Options()


class Voice(NamedTuple):
    """What is said, by whom, and how."""

    sound: str | os.PathLike
    speaker: str | None = None  # id among those of the speech run; None: the only one
    seed: int | None = None  # of the pose before the first frame; None: at rest
    weights: str = ""  # DeepSpeech's frozen graph, for a run that hears it


class Talker:
    """A speech-to-motion run and what draws its motions.

    Example:
      Talker.load("speech", "headgan").talk("speech.wav", "talk.mp4", reference="photo.png")
    """

    def __init__(self, speech: runs.Run, renderer: runs.Run | None = None):
        """Takes trained runs (`runs.load`).

        Args:
          speech: of a system that makes attributes of speech.
          renderer: of HeadGAN or of rendering to video; None: the 3-D head.

        Raises:
          InputError: a run is of another kind, or the two speak of different face models.
        """
        _check_kind(speech, ("sequences",), "--workdir", "speech to motion: facial or posegan")
        if "morphable" not in speech.system.frozen:
            raise InputError(
                "the run in --workdir was trained on coefficients of a face model that it does not "
                "have: it can be evaluated, but nothing can draw its motions"
            )
        self.speech, self.renderer = speech, renderer
        self.model = jax.device_get(speech.system.frozen["morphable"])
        if renderer is not None:
            kinds = ("frames", "windows")
            _check_kind(renderer, kinds, "--renderer-workdir", "headgan or facial_video")
            other = jax.device_get(renderer.system.frozen["morphable"])
            runs.check_model(self.model, other, "--workdir", "--renderer-workdir")

    @classmethod
    def load(cls, speech: str | os.PathLike, renderer: str | os.PathLike | None = None):
        """Returns the talker of one or two workdirs.

        Raises:
          InputError: see `runs.load`.
        """
        return cls(runs.load(speech), None if renderer is None else runs.load(renderer))

    @property
    def draws(self) -> str:
        """The renderer's name."""
        return MESH if self.renderer is None else self.renderer.config.system

    def talk(
        self,
        sound: str | os.PathLike,
        out: str | os.PathLike,
        *,
        reference: str | os.PathLike | None = None,
        speaker: str | None = None,
        seed: int | None = None,
        weights: str = "",
        size: int = SIZE,
        options: Options = AS_IT_IS,
    ) -> Summary:
        """Writes a video of a face that says what is heard.

        Args:
          sound: any file with sound.
          out: .mp4, .m4v or .mov.
          reference: an image, a video, or DATA_DIR:CLIP:FRAME: the face; HeadGAN must have one.
          speaker: whose way of moving; None: the only one that the run knows.
          seed: of the pose before the first frame; None: at rest.
          weights: DeepSpeech's frozen graph, for a run that hears it.
          size: px of the 3-D head's frames; trained renderers have their own.
          options: those that edit the motion, and `motion_out`.

        Raises:
          InputError: a source or the output place will not do.
        """
        check_path(out)
        face = None if reference is None else self._reference(reference, options, size)
        if face is None and self.draws not in (MESH, "facial_video"):
            raise InputError(f"--reference is missing; {self.draws} needs the face to move")
        driver = self.driver(Voice(sound, speaker, seed, weights), options)
        if options.motion_out is not None:
            motion_files.save_motion(options.motion_out, driver.motion, self.model)
        moved, pictures = self._drawn(face, driver, speaker, options, size)
        if options.sheet is None:
            return write_pictures(out, pictures, driver)
        watch = talk_sheet.Watch(len(driver.times))
        summary = write_pictures(out, watch.through(pictures), driver)
        write_image(options.sheet, talk_sheet.sheet(watch.kept, moved, self.model))
        return summary

    def driver(self, voice: Voice, options: Options = AS_IT_IS) -> Driver:
        """Returns the motion of a voice, with its sound.

        Raises:
          InputError: the sound, the speaker or a borrowed driver will not do.
        """
        heard = speech_motion.hear(self.speech, voice.sound, voice.weights)
        heard, start = _between(heard, speech_motion.rate(self.speech), voice.sound, options)
        state = None if voice.seed is None else _first_pose(self.speech, voice.seed)
        made = speech_motion.speech_to_motion(
            self.speech, heard, speaker=voice.speaker, state=state
        )
        made = jax.tree.map(np.asarray, made)
        driver = drivers.from_motion(made, voice.sound)
        if Path(voice.sound).suffix not in FEATURES:
            driver = drivers.with_sound(driver, voice.sound, start)
        terms = self._terms(SIZE)
        return drivers.with_borrowed(driver, terms, options.pose_from, options.blink_from)

    def _drawn(
        self,
        face: Reference | None,
        driver: Driver,
        speaker: str | None,
        options: Options,
        size: int,
    ) -> tuple[Motion, Iterator[np.ndarray]]:
        """Returns the motion that is drawn, and its pictures."""
        if self.renderer is not None and face is not None and self.draws == "headgan":
            return Animator(self.renderer).made(face, driver, options)
        made = edited(driver.motion, options)
        if self.renderer is not None:
            shown = self._shown(speaker)
            made = made._replace(identity=jnp.asarray(own_identity(self.renderer, shown)))
            return made, render_motion(self.renderer, made, shown)
        if face is None:
            plain = head_video.plain(self.model)
            return made, head_video.draw_head(self.model, made, plain, size)
        look = appearance.estimate(
            self.model,
            face.image[None].astype(np.float32) / 255,
            face.identity,
            face.expression[None],
            face.pose[None],
        )
        made = jax.tree.map(np.asarray, motion.retarget(made, own_motion(face)))
        return made, head_video.draw_head(self.model, made, look, size)

    def _shown(self, speaker: str | None) -> str | None:
        """Returns whom rendering to video shows: the speaker, or else the only one it knows."""
        assert self.renderer is not None
        table = jax.device_get(self.speech.system.frozen["speakers"])
        who = speakers.as_text(table["ids"])[speakers.find(table, speaker)]
        ids = speakers.as_text(self.renderer.system.frozen["appearance"]["ids"])
        if who in ids:
            return who
        logging.warning(
            "the run in --renderer-workdir does not know %s: it shows %s, who holds the head as %s "
            "does",
            who,
            ids[0],
            who,
        )
        return None

    def _reference(self, source: str | os.PathLike, options: Options, size: int) -> Reference:
        size = size if self.renderer is None else self.renderer.config.data.size
        return drivers.read_reference(source, self._terms(size), Choice(options.face, options.crop))

    def _terms(self, size: int) -> drivers.Terms:
        return drivers.Terms(
            size=size,
            model=self.model,
            face_mesh=functools.cache(FaceMesh),
            workdir="the workdir",
        )


def _check_kind(run: runs.Run, kinds: tuple[str, ...], flag: str, due: str) -> None:
    system = run.config.system
    if SYSTEMS[system].workload not in kinds:
        raise InputError(f"the run in {flag} is one of {system}; due: one of {due}")


def _between(
    rows: np.ndarray, rate: float, source: str | os.PathLike, options: Options
) -> tuple[np.ndarray, Fraction]:
    """Returns the rows [T, C] of the frames from `start` to `end` s, and when the first one is, s.

    Raises:
      InputError: no frame is left.
    """
    frame = 1 / Fraction(rate).limit_denominator(1001)
    first, end = 0, len(rows)
    if options.start is not None:
        first = max(0, math.ceil(exact(options.start) / frame))
    if options.end is not None:
        end = min(end, math.ceil(exact(options.end) / frame))
    if first >= end:
        raise InputError(
            f"{source} lasts {float(len(rows) * frame):.2f} s: nothing from {options.start or 0} s "
            f"to {'its end' if options.end is None else f'{options.end} s'}"
        )
    return rows[first:end], first * frame


def _first_pose(run: runs.Run, seed: int) -> np.ndarray:
    """Returns attributes [D] of a resting face whose head is posed at random, as its speaker's."""
    size = FACE + run.system.frozen["speakers"]["expression_mean"].shape[1]
    state = np.zeros(size, np.float32)
    state[:6] = np.random.default_rng(seed).normal(size=6)
    return state


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of talking from sound."""
    add = parser.add_argument_group("with --audio in the place of --driving").add_argument
    add("--system", metavar="NAME", help="refuse a workdir of another system, as facial")
    add("--renderer-workdir", metavar="DIR", help="run that draws; none: the plain 3-D head")
    add("--renderer", metavar="NAME", help="refuse another renderer: headgan, facial_video, mesh")
    add("--speaker", metavar="ID", help="whose way of moving, of several that the run knows")
    add("--seed", type=int, metavar="N", help="of the pose before the first frame; none: at rest")
    add("--speech-weights", default="", metavar="FILE", help="DeepSpeech's graph, if it was heard")
    add("--sheet", metavar="IMAGE", help="also write moments of the talk, and their mouths")
    add("--size", type=int, default=SIZE, metavar="PX", help=f"of the 3-D head (default: {SIZE})")


def run(args: argparse.Namespace, options: Options) -> Summary:
    """Talks, as the command line asks."""
    if not 16 <= args.size <= 4096:
        raise InputError(f"--size is {args.size}; due: 16 to 4096 px")
    check_path(args.out)
    if args.sheet is not None:
        if check_parent(args.sheet).suffix.lower() not in IMAGES:
            raise InputError(f"--sheet is {args.sheet}; due: an image, as sheet.png")
        if args.paste_back:
            raise InputError("--sheet and --paste-back exclude each other; choose one")
    if args.renderer not in (None, MESH) and args.renderer_workdir is None:
        raise InputError(f"--renderer {args.renderer} needs the run that draws: --renderer-workdir")
    talker = Talker.load(args.workdir, args.renderer_workdir)
    system = talker.speech.config.system
    for flag, wanted, found in (
        ("--system", args.system, system),
        ("--renderer", args.renderer, talker.draws),
    ):
        if wanted not in (None, found):
            raise InputError(f"{flag} is {wanted}, but the run given is one of {found}")
    return talker.talk(
        args.audio,
        args.out,
        reference=args.reference,
        speaker=args.speaker,
        seed=args.seed,
        weights=args.speech_weights,
        size=args.size,
        options=options,
    )
