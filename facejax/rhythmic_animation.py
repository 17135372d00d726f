"""Animating by Rhythmic Head Motion: a short video or one image of a person, and what drives it.

Chen et al., ECCV 2020. What drives is sound (Psi makes expression, Phi head motion), a video, or
one of each: expression from one, head motion from another, either held still. It is drawn by a run
of the 3D-aware generator, or, without one, as the 3-D head in the person's colours.
"""

import functools
import logging
import math
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from facejax import (
    appearance,
    clip_maker,
    drivers,
    head_video,
    performance,
    rhythmic_drive,
    runs,
)
from facejax.data import records, takes
from facejax.face_mesh import FaceMesh
from facejax.files import IMAGES
from facejax.geometry.morphable import MorphableModel
from facejax.morphable_files import load_model
from facejax.performance import SIDE, Performance
from facejax.portrait import read_portrait
from facejax.rhythmic_drive import Drive
from facejax.rhythmic_rendering import generated
from facejax.track import Choice, track_video

TAU = 64  # frames of a reference video, where no run says otherwise
DUE = ("rhythmic_expression", "rhythmic_motion", "rhythmic")


class Learners(NamedTuple):
    """The runs that drive and draw; each may be missing where nothing needs it."""

    psi: runs.Run | None = None
    phi: runs.Run | None = None
    generator: runs.Run | None = None

    @property
    def fps(self) -> float:
        """Frames a second of what is made."""
        run = self.psi or self.phi
        return rhythmic_drive.FPS if run is None else float(run.config.data.fps)

    @property
    def tau(self) -> int:
        """Frames of a reference video."""
        run = self.phi or self.generator
        return TAU if run is None else int(run.config.data.tau)


class Person(NamedTuple):
    """Whom to show: what was recorded, and what is seen in it."""

    clip: records.Clip  # of the reference
    known: rhythmic_drive.Reference


class Animator:
    """Moves people as sound or videos have it.

    Args:
      learners: the runs.

    Raises:
      InputError: a run is of another system.
    """

    def __init__(self, learners: Learners):
        for run, due in zip(learners, DUE, strict=True):
            if run is not None:
                rhythmic_drive.check_kind(run, due)
        self.learners = learners
        self.model = self._model()
        self.canonical = performance.canonical_face(self.model)
        self._mesh = functools.cache(FaceMesh)

    def _model(self) -> MorphableModel:
        """The face model of whoever draws; videos are measured with the ready-made one."""
        run = self.learners.generator
        if run is None:
            return load_model("ready-made")
        return jax.device_get(run.system.frozen["morphable"])

    @property
    def size(self) -> int:
        """Side of the crops, px."""
        run = self.learners.generator
        return int(SIDE) if run is None else int(run.config.data.size)

    def person(self, source: str | os.PathLike, choice: Choice, *, whole: bool) -> Person:
        """Returns the person of a video, an image, or DATA_DIR:CLIP.

        Args:
          source: of a video the first tau frames are read.
          choice: which face, and whether to crop around it.
          whole: whether all tau frames must be there.

        Raises:
          InputError: see `clip_maker.make_clip` and `rhythmic_drive.reference`.
        """
        clip = self._clip(source, choice)
        rate, frames = self.learners.fps, self.learners.tau if whole else 0
        seen = takes.seen_in(clip, self.canonical, rate)
        if len(seen.motion) > self.learners.tau:
            seen = seen.part(0, self.learners.tau)
        wave = takes.as_floats(clip.audio)
        if whole and len(seen.motion) > 1 and not wave.any():
            logging.warning("%s has no sound: silence is taken for what was said", source)
        known = rhythmic_drive.reference(
            seen, self.canonical, wave=wave, frames=frames, fps=rate, name=os.fspath(source)
        )
        return Person(clip, known)

    def _clip(self, source: str | os.PathLike, choice: Choice) -> records.Clip:
        """Returns the first tau frames, at the learners' rate, of a source: all there are."""
        seconds = Fraction(self.learners.tau) / Fraction(self.learners.fps)
        found = drivers.find_clip(source, self._terms())
        if found is not None:
            clip, frame, _ = found
            if frame is not None:
                return cut(clip, frame, frame + 1)
            return cut(clip, 0, math.ceil(seconds * Fraction(clip.fps_num, clip.fps_den)))
        if Path(source).suffix.lower() in IMAGES:
            return self._photo(source, choice)
        maker = clip_maker.Maker(self._mesh(), self.model, self.size, choice, "")
        return clip_maker.make_clip(maker, source, (Path(source).stem, ""), None, seconds)[0]

    def _photo(self, source: str | os.PathLike, choice: Choice) -> records.Clip:
        face = read_portrait(source, self._mesh(), self.model, size=self.size, choice=choice)
        return records.Clip(
            clip_id=Path(source).stem,
            speaker_id="",
            fps_num=25,
            fps_den=1,
            times=np.zeros(1),
            frames=[records.encode_frame(face.image)],
            audio=np.zeros(0, np.int16),
            identity=face.identity[None],
            expression=face.expression[None],
            pose=face.pose[None],
            blink=np.zeros(1, np.float32),
            landmarks=face.landmarks[None],
            points=np.zeros((1, 0, 3), np.float32),
            valid=np.ones(1, bool),
            box=face.box,
            source_size=np.asarray(face.photo.shape[:2], np.int32),
            mask=[],
            licence="",
        )

    def _terms(self) -> drivers.Terms:
        return drivers.Terms(self.size, self.model, self._mesh, "the workdir")

    def performed(
        self,
        source: str | os.PathLike,
        choice: Choice,
        start: float | None = None,
        end: float | None = None,
    ) -> Performance:
        """Returns what a driving video, or DATA_DIR:CLIP, shows, at the learners' frame rate.

        Raises:
          InputError: see `track.track_video`.
        """
        found = drivers.find_clip(source, self._terms())
        if found is not None:
            return takes.seen_in(found[0], self.canonical, self.learners.fps)
        track = track_video(
            source,
            self._mesh(),
            self.model,
            size=self.size,
            start=start,
            end=end,
            choice=choice._replace(most_jump=drivers.DRIVER_JUMP),
        )
        return performance.measure(
            track.landmarks,
            track.valid,
            self.canonical,
            size=self.size,
            times=track.times,
            fps=self.learners.fps,
        )

    def draw(self, person: Person, drive: Drive) -> Iterator[dict[str, np.ndarray]]:
        """Yields pictures of each frame of a drive, uint8: "result", and what it is made from."""
        if self.learners.generator is not None:
            yield from generated(self.learners.generator, person.clip, drive)
            return
        known, clip = person.known, person.clip
        key = round(known.key / known.fps * clip.fps_num / clip.fps_den)  # the rates may differ
        key = min(key, len(clip.times) - 1)
        image = records.decode_frame(clip.frames[key])
        own = clip.identity[key], clip.expression[key][None], clip.pose[key][None]
        look = appearance.estimate(self.model, image[None].astype(np.float32) / 255, *own)
        motion = rhythmic_drive.to_motion(drive, self.model, person.known)
        for picture in head_video.draw_head(self.model, motion, look, self.size):
            yield {"reference": image, "result": picture}


def cut(clip: records.Clip, first: int, end: int) -> records.Clip:
    """Returns the frames first, ..., end - 1 of a clip, with their sound."""
    end = min(end, len(clip.times))
    names = ("identity", "expression", "pose", "blink", "landmarks", "points", "valid", "frames")
    begin = float(clip.times[first])
    step = clip.fps_den / clip.fps_num
    sounds = [round(t * records.AUDIO_RATE) for t in (begin, float(clip.times[end - 1]) + step)]
    return clip._replace(
        times=clip.times[first:end] - begin,
        audio=clip.audio[slice(*sounds)],
        **{name: getattr(clip, name)[first:end] for name in names},
    )
