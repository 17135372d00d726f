"""Makes a photo move like the face in a video.

  facejax animate --reference photo.png --driving video.mp4 --workdir W --out talk.mp4
  facejax animate --reference clips:ann:0 --driving clips:ann --workdir W --out again.mp4
  facejax animate --reference photo.png --driving video.mp4 --workdir W --out f.mp4 --frontalize
  facejax animate --reference photo.png --workdir W --out turned.png --yaw 20 --expression-scale 1.5

The output has the driver's frame times and sound (H.264 and AAC). DATA_DIR:CLIP is a clip of a data
folder, DATA_DIR:CLIP:FRAME a frame of it. Angles are degrees.
"""

import argparse
import functools
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from facejax import crops, drivers, motion_files, panels, runs
from facejax.animation import Options, chunks, moved_motion, own_motion, side_by_side
from facejax.data import pipeline, records
from facejax.drivers import Driver, Reference
from facejax.errors import InputError
from facejax.face_mesh import FaceMesh
from facejax.files import IMAGES, check_parent, write_image
from facejax.motion import Motion
from facejax.progress import progress
from facejax.track import MOST_HELD, Choice
from facejax.video_writer import VideoWriter, check_path


class Summary(NamedTuple):
    """What was made."""

    frames: int
    seconds: float
    fps: float
    sound: bool
    adapted: bool
    rate: float  # frames made in a second


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
        return self._write(face, driver, Path(out), wanted)

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

    def _write(self, face: Reference, driver: Driver, out: Path, wanted: Options) -> Summary:
        adapt = face.place != driver.place if wanted.adapt is None else wanted.adapt
        moved = moved_motion(face, driver.motion, wanted, adapt=adapt)
        audio = self._features(driver)
        if wanted.motion_out is not None:
            motion_files.save_motion(wanted.motion_out, driver.motion, self._terms.model)
        seen = driver.frames() if wanted.side_by_side and driver.frames else None
        pictures = self._pictures(face, seen, moved, audio, wanted)
        began = time.perf_counter()
        first = next(pictures)
        with VideoWriter(
            out,
            first.shape[:2],
            fps=driver.fps,
            time_base=driver.time_base,
            audio=driver.sound,
            audio_start=driver.sound_start,
        ) as writer:
            total = len(driver.times)
            for k, picture in enumerate(progress(_again(first, pictures), total, "animate")):
                writer.write(picture, float(driver.times[k]))
        length = float(driver.times[-1] + 1 / driver.fps)
        rate = total / (time.perf_counter() - began)
        return Summary(total, length, float(driver.fps), driver.sound is not None, adapt, rate)

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


def _again(first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from rest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    add = parser.add_argument
    add("--reference", required=True, metavar="IMAGE", help="the photo, or DATA_DIR:CLIP:FRAME")
    add("--driving", metavar="VIDEO", help="the driver, motion.npz or DATA_DIR:CLIP; none: edit")
    add("--workdir", required=True, metavar="DIR", help="of the trained run")
    add("--out", required=True, metavar="FILE", help="video to write (.mp4, .m4v, .mov), or image")
    add("--step", type=int, help="checkpoint (default: the newest)")
    add("--start", type=float, metavar="S", help="of the driver, s")
    add("--end", type=float, metavar="S", help="of the driver, s")
    add("--audio", metavar="FILE", help="speech in the place of the driver's sound")
    add(
        "--same-identity",
        "--no-adapt",
        dest="adapt",
        action="store_false",
        default=None,
        help="the driver is the reference, framed alike: take place and distance as they are",
    )
    add("--frontalize", action="store_true", help="the head looks straight ahead throughout")
    for name in ("yaw", "pitch", "roll"):
        add(f"--{name}", type=float, metavar="DEG", help="head angle throughout, degrees")
    add("--expression-scale", type=float, default=1.0, metavar="X", help="0 neutral, 1 as it is")
    add("--pose-scale", type=float, default=1.0, metavar="X", help="head motion; 0: held still")
    add("--pose-from", metavar="VIDEO", help="take the head's motion of another driver")
    add("--blink-from", metavar="VIDEO", help="take the blinks of another driver")
    add("--side-by-side", action="store_true", help="show reference, 3-D faces, flow, driver, too")
    add("--paste-back", action="store_true", help="put the result back into the whole photo")
    add("--no-crop", dest="crop", action="store_false", help="the sources are face crops already")
    add("--face", type=int, metavar="N", help="of several in the photo; 0 is the largest")
    add("--driving-face", type=int, metavar="N", help="of several in the driver")
    add("--hold", type=int, default=MOST_HELD, metavar="N", help="most frames without a face")
    add("--motion-out", metavar="FILE", help="also write the driver's motion, as motion.npz")
    add("--chunk", type=int, default=16, metavar="N", help="frames made at a time (default: 16)")
    # fmt: on


def run(args: argparse.Namespace) -> int:
    """Animates, and says what was made."""
    _check(args)
    runs.use_compile_cache()
    animator = Animator.load(args.workdir, args.step, args.chunk)
    options = {name: getattr(args, name) for name in Options._fields}
    if args.driving is None:
        height, width, _ = animator.edit(args.reference, args.out, **options).shape
        sys.stdout.write(f"{args.out}: {width}x{height} px\n")
        return 0
    made = animator.animate(args.reference, args.driving, args.out, **options)
    sound = "with sound" if made.sound else "silent"
    sys.stdout.write(
        f"{args.out}: {made.frames} frames, {made.seconds:.2f} s at {made.fps:.5g} fps, {sound}; "
        f"{made.rate:.1f} frames made a second\n"
    )
    return 0


def _check(args: argparse.Namespace) -> None:
    video = Path(args.out).suffix.lower() not in IMAGES
    if video and args.driving is None:
        raise InputError("--driving is missing; without it --out is an image, as face.png")
    check_path(args.out) if video else check_parent(args.out)
    if (args.start or 0) < 0 or (args.end is not None and args.end <= (args.start or 0)):
        raise InputError(f"--start {args.start} --end {args.end}: due 0 <= start < end, in s")
