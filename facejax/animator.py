"""A photo that moves like the face in a video, by a trained HeadGAN."""

import functools
import logging
import os
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from facejax import crops, drivers, motion_files, panels, runs
from facejax.animation import Options, chunks, moved_motion, own_motion, side_by_side
from facejax.data import pipeline, records
from facejax.drivers import Driver, Reference
from facejax.errors import InputError
from facejax.face_mesh import FaceMesh
from facejax.files import write_image
from facejax.motion import Motion
from facejax.output import Summary, write_pictures
from facejax.track import Choice
from facejax.video_writer import check_path


class Animator:
    """A trained run, ready to animate. The first call compiles, later ones do not.

    Example:
      animator = Animator.load("W")
      animator.animate("photo.png", "video.mp4", "talk.mp4")
    """

    def __init__(self, run: runs.Run, *, chunk: int = 16):
        """Takes a run (`runs.load`).

        Args:
          run: the trained generator.
          chunk: frames made at a time; more are quicker and take more memory.
        """
        if chunk < 1:
            raise InputError(f"--chunk is {chunk}; due: 1 or more frames")
        self.run, self.chunk = run, chunk
        self._terms = drivers.Terms(
            size=run.config.data.size,
            model=jax.device_get(run.system.frozen["morphable"]),
            face_mesh=functools.cache(FaceMesh),
            workdir="the workdir",
        )

    @classmethod
    def load(cls, workdir: str | os.PathLike, step: int | None = None, chunk: int = 16):
        """Returns the animator of a workdir at a step (None: the newest checkpoint).

        Raises:
          InputError: see `runs.load`.
        """
        return cls(runs.load(workdir, step), chunk=chunk)

    def animate(
        self,
        reference: str | os.PathLike,
        driving: str | os.PathLike,
        out: str | os.PathLike,
        **options: Any,
    ) -> Summary:
        """Writes the video of `reference` moving as in `driving`.

        Args:
          reference: an image, or DATA_DIR:CLIP:FRAME.
          driving: a video, a motion file, or DATA_DIR:CLIP.
          out: .mp4, .m4v or .mov.
          **options: the fields of `Options`.

        Raises:
          InputError: a source, an option or the output place will not do.
        """
        wanted = Options(**options)
        check_path(out)  # now, and not after an hour
        face = self._reference(reference, wanted)
        choice = Choice(wanted.driving_face, wanted.crop, wanted.hold)
        driver = drivers.read_driver(driving, self._terms, choice, wanted.start, wanted.end)
        driver = drivers.with_borrowed(driver, self._terms, wanted.pose_from, wanted.blink_from)
        if wanted.side_by_side and driver.frames is None:
            raise InputError(f"--side-by-side needs pictures; {driving} is a motion without any")
        if wanted.audio is not None:
            driver = drivers.with_sound(driver, wanted.audio)
        return self.draw(face, driver, out, wanted)

    def draw(
        self, face: Reference, driver: Driver, out: str | os.PathLike, wanted: Options
    ) -> Summary:
        """Writes the video of a face that follows a driver, both read already.

        Raises:
          InputError: the output place will not do.
        """
        if wanted.motion_out is not None:
            motion_files.save_motion(wanted.motion_out, driver.motion, self._terms.model)
        _, pictures = self.made(face, driver, wanted)
        adapted = self._adapts(face, driver, wanted)
        return write_pictures(out, pictures, driver)._replace(adapted=adapted)

    def made(
        self, face: Reference, driver: Driver, wanted: Options
    ) -> tuple[Motion, Iterator[np.ndarray]]:
        """Returns the motion that a face makes when it follows a driver, and its pictures."""
        adapt = self._adapts(face, driver, wanted)
        moved = moved_motion(face, driver.motion, wanted, adapt=adapt)
        audio = self._features(driver)
        seen = driver.frames() if wanted.side_by_side and driver.frames else None
        return moved, self._pictures(face, seen, moved, audio, wanted)

    @staticmethod
    def _adapts(face: Reference, driver: Driver, wanted: Options) -> bool:
        return face.place != driver.place if wanted.adapt is None else wanted.adapt

    def edit(
        self, reference: str | os.PathLike, out: str | os.PathLike, **options: Any
    ) -> np.ndarray:
        """Writes one image: the reference with its pose or expression changed; returns it.

        Args:
          reference: an image, or DATA_DIR:CLIP:FRAME.
          out: .png, .jpg or another image.
          **options: the fields of `Options`; those about the driver have no effect.

        Raises:
          InputError: as `animate`.
        """
        wanted = Options(**options)
        face = self._reference(reference, wanted)
        moved = moved_motion(face, own_motion(face), wanted, adapt=False)
        silence = np.zeros((1, pipeline.AUDIO_SIZE), np.float32)
        seen = iter([face.image]) if wanted.side_by_side else None
        image = next(self._pictures(face, seen, moved, silence, wanted))
        write_image(out, image)
        return image

    def _reference(self, source: str | os.PathLike, wanted: Options) -> Reference:
        if wanted.paste_back and wanted.side_by_side:
            raise InputError("--paste-back and --side-by-side exclude each other; choose one")
        face = drivers.read_reference(source, self._terms, Choice(wanted.face, wanted.crop))
        if wanted.paste_back and face.photo is None:
            raise InputError("--paste-back needs an image as --reference; this one is a crop")
        return face

    def _features(self, driver: Driver) -> np.ndarray:
        """Returns the speech features of every frame, [T, A]."""
        front_end = pipeline.FRONT_ENDS[self.run.config.data.audio]
        if not len(driver.wave):
            if front_end is not pipeline.null:
                logging.getLogger(__name__).warning(
                    "the driver has no sound: the mouth follows the pictures alone, and the "
                    "output is silent; --audio FILE gives it speech"
                )
            front_end = pipeline.null
        return front_end(driver.wave, records.AUDIO_RATE, driver.times, float(driver.fps))

    def _pictures(
        self,
        face: Reference,
        seen: Iterator[np.ndarray] | None,
        moved: Motion,
        audio: np.ndarray,
        wanted: Options,
    ) -> Iterator[np.ndarray]:
        """Yields the frames of the output, uint8; side by side with those `seen`, if given."""
        reference = face.image.astype(np.float32) / 127.5 - 1
        for outputs, row in self._generated(face, reference, moved, audio):
            if seen is not None:
                truth = next(seen).astype(np.float32) / 127.5 - 1
                yield side_by_side(panels.panels(reference, outputs, row, truth))
                continue
            image = panels.as_bytes(outputs["image"][row])
            if wanted.paste_back and face.photo is not None and face.box is not None:
                image = crops.paste_back(face.photo, image, face.box)
            yield image

    def _generated(
        self, face: Reference, reference: np.ndarray, moved: Motion, audio: np.ndarray
    ) -> Iterator[tuple[dict[str, np.ndarray], int]]:
        """Yields (outputs of a chunk, row) for every frame; the next chunk is made meanwhile."""
        still = {
            "reference": reference[None],
            "reference_motion": {
                "identity": face.identity[None],
                "expression": face.expression[None],
                "pose": face.pose[None],
            },
        }
        waiting: tuple[Any, int] | None = None
        size = min(self.chunk, len(audio))
        for inputs, count in chunks(moved, audio, size, self.run.config.data.frames):
            made = self.run.generate(still | inputs)
            if waiting is not None:
                yield from _rows(*waiting)
            waiting = made, count
        if waiting is not None:
            yield from _rows(*waiting)


def _rows(made: Any, count: int) -> Iterator[tuple[dict[str, np.ndarray], int]]:
    outputs = jax.device_get(made)
    for row in range(count):
        yield outputs, row
