"""Talking from sound alone: speech -> motion -> any renderer.

The motion is made by a trained speech-to-motion run: FACIAL's whole, PoseGAN's of the head alone,
to which a PGFace run in --face-workdir makes the face. It is drawn by the run in
--renderer-workdir: HeadGAN moves the reference image; rendering-to-video shows the person that it
was trained on. With no such run the 3-D head itself is drawn, in the colours of the reference if
there is one. --mesh writes it as an animated mesh, --plot how the head moves over the waveform.
"""

import functools
import logging
import math
import os
from collections.abc import Iterator, Sequence
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
    mesh_files,
    motion,
    motion_files,
    pose_plot,
    runs,
    shaping,
    speakers,
    speech_motion,
    talk_sheet,
)
from facejax.animation import Options, edited, own_motion
from facejax.animator import Animator
from facejax.data import records
from facejax.data.sequences import FACE
from facejax.drivers import Driver, Reference
from facejax.errors import InputError
from facejax.face_mesh import FaceMesh
from facejax.files import IMAGES, check_parent, write_image
from facejax.geometry.morphable import MorphableModel
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
INITIAL = 6  # numbers of --initial-pose


class Voice(NamedTuple):
    """What is said, by whom, and how."""

    sound: str | os.PathLike
    speaker: str | None = None  # id among those of the speech run; None: the only one
    seed: int | None = None  # of the pose before the first frame; None: at rest
    weights: str = ""  # DeepSpeech's frozen graph, for a run that hears it
    initial: Sequence[float] | None = None  # [6] pose of the first frame; None: by the seed


class Talker:
    """A speech-to-motion run and what draws its motions.

    Example:
      Talker.load("speech", "headgan").talk("speech.wav", "talk.mp4", reference="photo.png")
    """

    def __init__(
        self, speech: runs.Run, renderer: runs.Run | None = None, face: runs.Run | None = None
    ):
        """Takes trained runs (`runs.load`).

        Args:
          speech: of a system that makes attributes of speech, or poses.
          renderer: of HeadGAN or of rendering to video; None: the 3-D head.
          face: of PGFace, which makes the face that goes with the poses; None: that of `speech`.

        Raises:
          InputError: a run is of another kind, or they speak of different face models.
        """
        kinds = ("sequences", "poses")
        _check_kind(speech, kinds, "--workdir", "speech to motion: facial or posegan")
        if face is not None:
            _check_kind(face, ("shapes",), "--face-workdir", "pgface")
        elif SYSTEMS[speech.config.system].workload == "poses":
            logging.warning("no --face-workdir: the head moves, the face stays at its mean")
        self.speech, self.renderer, self.face = speech, renderer, face
        self.model = _face_model(speech, face)
        if renderer is not None:
            kinds = ("frames", "windows")
            _check_kind(renderer, kinds, "--renderer-workdir", "headgan or facial_video")
            other = jax.device_get(renderer.system.frozen["morphable"])
            runs.check_model(self.model, other, "--workdir", "--renderer-workdir")

    @classmethod
    def load(
        cls,
        speech: str | os.PathLike,
        renderer: str | os.PathLike | None = None,
        face: str | os.PathLike | None = None,
    ):
        """Returns the talker of one, two or three workdirs.

        Raises:
          InputError: see `runs.load`.
        """
        others = (None if folder is None else runs.load(folder) for folder in (renderer, face))
        return cls(runs.load(speech), *others)

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
          seed: of the pose before the first frame, and of a PoseGAN's noise; None: at rest.
          weights: DeepSpeech's frozen graph, for a run that hears it.
          size: px of the 3-D head's frames; trained renderers have their own.
          options: those that edit the motion, `initial_pose`, and what is written beside.

        Raises:
          InputError: a source or the output place will not do.
        """
        check_path(out)
        check_beside(options)
        face = None if reference is None else self._reference(reference, options, size)
        if face is None and self.draws not in (MESH, "facial_video"):
            raise InputError(f"--reference is missing; {self.draws} needs the face to move")
        driver = self.driver(Voice(sound, speaker, seed, weights, options.initial_pose), options)
        if options.motion_out is not None:
            motion_files.save_motion(options.motion_out, driver.motion, self.model)
        moved, pictures = self._drawn(face, driver, speaker, options, size)
        self._write_beside(face, driver, options)
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
        made = speech_motion.speech_to_motion(
            self.speech,
            heard,
            speaker=voice.speaker,
            state=_first_state(self.speech, voice),
            seed=voice.seed or 0,
        )
        if self.face is not None:
            heard = speech_motion.hear(self.face, voice.sound, voice.weights)
            heard, _ = _between(heard, speech_motion.rate(self.face), voice.sound, options)
            known = speakers.as_text(self.face.system.frozen["speakers"]["ids"])
            made = shaping.with_shape(
                self.face, made, heard, voice.speaker if len(known) > 1 else None
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
        head, look = self._head(face, made)
        return head, head_video.draw_head(self.model, head, look, size)

    def _head(self, face: Reference | None, made: Motion) -> tuple[Motion, appearance.Appearance]:
        """Returns the motion of the 3-D head, the reference's if there is one, and its look."""
        if face is None:
            return made, head_video.plain(self.model)
        look = appearance.estimate(
            self.model,
            face.image[None].astype(np.float32) / 255,
            face.identity,
            face.expression[None],
            face.pose[None],
        )
        return jax.tree.map(np.asarray, motion.retarget(made, own_motion(face))), look

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

    def _write_beside(self, face: Reference | None, driver: Driver, options: Options) -> None:
        """Writes the mesh and the plot that were asked for."""
        made = edited(driver.motion, options)
        sound = "" if driver.sound is None else Path(str(driver.sound)).name
        if options.plot is not None:
            picture = pose_plot.picture(made, driver.wave, records.AUDIO_RATE, sound)
            write_image(options.plot, picture)
        if options.mesh is not None:
            shown, look = self._head(face, made)
            mesh_files.write_mesh(options.mesh, shown, self.model, look.albedo, sound)

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


def _face_model(speech: runs.Run, face: runs.Run | None) -> MorphableModel:
    """Returns the face model that the motion refers to.

    Raises:
      InputError: there is none, or there are two.
    """
    given = [one.system.frozen for one in (speech, face) if one is not None]
    found = [jax.device_get(frozen["morphable"]) for frozen in given if "morphable" in frozen]
    if "morphable" not in given[-1]:
        which = "--workdir" if face is None else "--face-workdir"
        raise InputError(
            f"the run in {which} was trained on coefficients of a face model that it does not "
            "have: it can be evaluated, but nothing can draw its motions"
        )
    if len(found) > 1:
        runs.check_model(found[0], found[1], "--workdir", "--face-workdir")
    return found[-1]


def _first_state(run: runs.Run, voice: Voice) -> np.ndarray | None:
    """Returns attributes [D] of a resting face whose head is posed as asked, or at random.

    Random as the speaker's poses are; None: at rest.
    """
    if voice.initial is None and voice.seed is None:
        return None
    table = jax.device_get(run.system.frozen["speakers"])
    state = np.zeros(FACE + table["expression_mean"].shape[1], np.float32)
    if voice.initial is None:
        state[:INITIAL] = np.random.default_rng(voice.seed).normal(size=INITIAL)
    else:
        pose = np.concatenate([np.deg2rad(voice.initial[:3]), voice.initial[3:]])
        state[:INITIAL] = speakers.normalised(pose, table, speakers.find(table, voice.speaker))
    return state


def check_beside(options: Options) -> None:
    """Checks where a mesh and pictures are to be written.

    Raises:
      InputError: of another kind, or no such folder.
    """
    if options.mesh is not None:
        mesh_files.check_path(options.mesh)
    for flag, path in (("--plot", options.plot), ("--sheet", options.sheet)):
        if path is not None and check_parent(path).suffix.lower() not in IMAGES:
            raise InputError(f"{flag} is {path}; due: an image, as {flag[2:]}.png")
