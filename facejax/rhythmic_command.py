"""`facejax animate` with a workdir of Rhythmic Head Motion: its arguments, and what they mean."""

import argparse
import itertools
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from facejax import drivers, motion_files, rhythmic_drive, runs, settings, sheets, video
from facejax.animation import Options, side_by_side
from facejax.audio import waveform
from facejax.crops import extract
from facejax.data import pipeline
from facejax.errors import InputError
from facejax.files import check_parent, write_image
from facejax.motion import Motion
from facejax.output import Summary, write_pictures
from facejax.rhythmic_animation import Animator, Learners, Person
from facejax.rhythmic_drive import Drive
from facejax.track import Choice
from facejax.video_writer import check_path

SYSTEMS = ("rhythmic", "rhythmic_expression")
ROWS = 6  # moments on a sheet
LEAST_PANEL = 128  # px: smaller pictures are enlarged
# Edits that mean nothing here, by their names in `Options`.
FOREIGN = ("yaw", "pitch", "roll", "blink_from", "paste_back", "driving_face")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments beside those of every animation."""
    add = parser.add_argument_group("Rhythmic Head Motion (its --workdir)").add_argument
    add("--expression-workdir", metavar="DIR", help="run of rhythmic_expression: lips from --audio")
    add("--motion-workdir", metavar="DIR", help="run of rhythmic_motion: head motion from --audio")
    add("--sheet", metavar="PNG", help="also write some frames and what they are made from")


def asked(args: argparse.Namespace) -> bool:
    """Whether the command line is for this system."""
    if args.expression_workdir or args.motion_workdir:
        return True
    config = Path(args.workdir) / runs.CONFIG
    return config.is_file() and settings.read_config(config).system in SYSTEMS


def run(args: argparse.Namespace, options: Options) -> Summary:
    """Animates, as the command line asks.

    Raises:
      InputError: something is missing, or does not fit.
    """
    check_path(args.out)
    if args.sheet:
        check_parent(args.sheet)
    _check(args, options)
    animator = Animator(_learners(args))
    choice = Choice(options.face, options.crop)
    speaks = args.driving is None
    moves = speaks and options.pose_from is None and not options.frontalize and options.pose_scale
    person = animator.person(args.reference, choice, whole=bool(moves))
    drive = _drive(animator, person, args, options, bool(moves))
    if options.motion_out is not None:
        motion = rhythmic_drive.to_motion(drive, animator.model, person.known)
        motion_files.save_motion(options.motion_out, motion, animator.model)
    pictures = animator.draw(person, drive)
    if args.sheet:
        last = len(drive.motion) - 1
        moments = sorted(set(np.linspace(0, last, ROWS).round().astype(int).tolist()))
        truth = _truth(animator, person, args, options, moments)
        pictures = _with_sheet(pictures, args.sheet, truth, drive.fps, moments)
    shown = _side_by_side(pictures) if options.side_by_side else (p["result"] for p in pictures)
    return write_pictures(args.out, shown, _timed(drive, args, options))


def _check(args: argparse.Namespace, options: Options) -> None:
    if args.reference is None:
        raise InputError("--reference is missing; give a short video of the person, or an image")
    if args.audio is None and args.driving is None:
        raise InputError("nothing drives; give --audio or --driving")
    if (options.start or 0) < 0 or (
        options.end is not None and options.end <= (options.start or 0)
    ):
        raise InputError(f"--start {options.start} --end {options.end}: due 0 <= start < end, in s")
    for name in FOREIGN:
        if getattr(options, name) not in (None, False):
            flag = "--" + name.replace("_", "-")
            raise InputError(f"{flag} is not for Rhythmic Head Motion; leave it out")


def _learners(args: argparse.Namespace) -> Learners:
    """Loads the runs that are named; --workdir may be the generator's or that of expression."""
    first = runs.load(args.workdir, args.step)
    system = first.config.system
    if system not in SYSTEMS:
        raise InputError(f"the run in --workdir is of {system}; due: {' or '.join(SYSTEMS)}")
    if args.system not in (None, system):
        raise InputError(f"--system is {args.system}, but the run given is one of {system}")
    generator = first if system == "rhythmic" else None
    psi = runs.load(args.expression_workdir) if args.expression_workdir else None
    if system == "rhythmic_expression":
        psi = first
    phi = runs.load(args.motion_workdir) if args.motion_workdir else None
    return Learners(psi, phi, generator)


def _drive(
    animator: Animator, person: Person, args: argparse.Namespace, options: Options, moves: bool
) -> Drive:
    """Returns the drive: expression from sound or video, head motion from where it is asked for."""
    psi, phi, _ = animator.learners
    known, choice = person.known, Choice(options.driving_face)
    if args.driving is not None:
        seen = animator.performed(args.driving, choice, options.start, options.end)
        same = args.driving == args.reference if options.adapt is None else not options.adapt
        drive = rhythmic_drive.from_performance(known, seen, known.fps, same=same)
    else:
        if psi is None:
            raise InputError(
                "--expression-workdir is missing: the run that makes expression of sound; or give "
                "--driving VIDEO"
            )
        wave = waveform.load(args.audio, start=options.start or 0, end=options.end)
        if moves and phi is None:
            raise InputError(
                "--motion-workdir is missing: the run that makes head motion of sound; or give "
                "--pose-from VIDEO, or --pose-scale 0 to hold the head still"
            )
        if moves and phi is not None:
            drive = rhythmic_drive.from_sound(psi, phi, known, wave)
        else:
            fronts = rhythmic_drive.spoken_fronts(psi, known, wave)
            rest = rhythmic_drive.at_rest(known, len(fronts))
            drive = rest._replace(fronts=fronts)
    if options.pose_from is not None:
        seen = animator.performed(options.pose_from, choice)
        other = rhythmic_drive.from_performance(known, seen, known.fps)
        drive = rhythmic_drive.controlled(drive, other)
    if options.frontalize:
        still = rhythmic_drive.at_rest(known, len(drive.motion))
        drive = drive._replace(motion=still.motion)
    front = known.seen.fronts[known.key]
    return rhythmic_drive.scaled(drive, front, options.expression_scale, options.pose_scale)


def _timed(drive: Drive, args: argparse.Namespace, options: Options) -> drivers.Driver:
    """Returns the times and the sound of a drive's video."""
    source = args.audio or args.driving
    frames = len(drive.motion)
    motion = Motion(
        identity=jnp.zeros(0),
        expression=jnp.zeros((frames, 0)),
        pose=jnp.zeros((frames, 6)),
        blink=jnp.zeros(frames),
        fps=jnp.asarray(drive.fps),
    )
    driver = drivers.from_motion(motion, source)
    if Path(source).exists() and video.has_audio(source):
        driver = drivers.with_sound(driver, source)
        start = Fraction(options.start or 0).limit_denominator(90000)
        driver = driver._replace(sound_start=start)
    return driver


def _truth(
    animator: Animator,
    person: Person,
    args: argparse.Namespace,
    options: Options,
    moments: Sequence[int],
) -> dict[int, np.ndarray]:
    """Returns the true frames at moments where the reference is a video that itself drives."""
    source = args.audio or args.driving
    if os.fspath(source) != os.fspath(args.reference) or not Path(source).is_file():
        return {}
    begin = Fraction(options.start or 0).limit_denominator(1000)
    wanted = {k: begin + k / Fraction(person.known.fps) for k in moments}
    found: dict[int, np.ndarray] = {}
    frame = None
    for time, frame in video.read_frames(source, begin, options.end):
        for number in [k for k in wanted if k not in found and wanted[k] <= time]:
            found[number] = extract(frame, person.clip.box, animator.size)
    if frame is not None:  # sound may last a little longer than pictures
        last = extract(frame, person.clip.box, animator.size)
        found |= {number: last for number in wanted if number not in found}
    return found


def _with_sheet(
    pictures: Iterator[dict[str, np.ndarray]],
    path: str,
    truth: dict[int, np.ndarray],
    fps: float,
    moments: Sequence[int],
) -> Iterator[dict[str, np.ndarray]]:
    """Passes pictures on, and writes the sheet of those at moments when they end."""
    rows: list[dict[str, np.ndarray]] = []
    for number, picture in enumerate(pictures):
        if number in moments:
            row = {name: image for name, image in picture.items() if name != "shown"}
            if truth:
                row["truth"] = truth[number]
            rows.append({f"{name} {number / fps:.2f} s": x for name, x in row.items()})
        yield picture
    enlarged = [
        pipeline.resize(image, max(LEAST_PANEL, len(image)))
        for row in rows
        for image in row.values()
    ]
    write_image(path, sheets.grid(enlarged, list(itertools.chain(*rows)), columns=len(rows[0])))


def _side_by_side(pictures: Iterator[dict[str, np.ndarray]]) -> Iterator[np.ndarray]:
    for picture in pictures:
        yield side_by_side({name: x for name, x in picture.items() if name != "shown"})
