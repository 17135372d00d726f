r"""Makes a face move: a photo like the face in a video, or a face that says what is heard.

  facejax animate --reference photo.png --driving video.mp4 --workdir W --out talk.mp4
  facejax animate --reference clips:ann:0 --driving clips:ann --workdir W --out again.mp4
  facejax animate --reference photo.png --driving video.mp4 --workdir W --out f.mp4 --frontalize
  facejax animate --reference photo.png --workdir W --out turned.png --yaw 20 --expression-scale 1.5
  facejax animate --audio speech.wav --workdir SPEECH --renderer-workdir W --reference photo.png \
      --out talk.mp4
  facejax animate --reference person.mp4 --audio speech.wav --workdir RHYTHMIC --out talk.mp4 \
      --expression-workdir EXPRESSION --motion-workdir MOTION

The output has the driver's frame times and sound (H.264 and AAC). A driver is a video, a motion
file (--motion-out writes one) or DATA_DIR:CLIP, a clip of a data folder; DATA_DIR:CLIP:FRAME is a
frame of it. With --audio and no --driving, the workdir is that of a speech-to-motion run, and what
draws its motion is that of --renderer-workdir, or else the plain 3-D head. Angles are degrees.

With a workdir of rhythmic, the reference is a video of 2.56 s or more, or an image. Expression and
head motion come from --audio, by the two runs named, or from --driving; --pose-from takes the head
motion of another video; --expression-scale 0 and --pose-scale 0 hold either still.
"""

import argparse
import sys
from pathlib import Path

from facejax import rhythmic_command, runs, talking
from facejax.animation import Options
from facejax.animator import Animator
from facejax.errors import InputError
from facejax.files import IMAGES, check_parent
from facejax.output import Summary
from facejax.track import MOST_HELD
from facejax.video_writer import check_path

__all__ = ["Animator", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    add = parser.add_argument
    add("--reference", metavar="IMAGE", help="the photo, a video, or DATA_DIR:CLIP:FRAME")
    add("--driving", metavar="VIDEO", help="the driver, motion.npz or DATA_DIR:CLIP; none: edit")
    add("--workdir", required=True, metavar="DIR", help="of the trained run")
    add("--out", required=True, metavar="FILE", help="video to write (.mp4, .m4v, .mov), or image")
    add("--step", type=int, help="checkpoint (default: the newest)")
    add("--start", type=float, metavar="S", help="of the driver, s")
    add("--end", type=float, metavar="S", help="of the driver, s")
    add("--audio", metavar="FILE", help="speech, in the place of the driver's or alone")
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
    talking.add_arguments(parser)
    rhythmic_command.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Animates, and says what was made."""
    options = {name: getattr(args, name) for name in Options._fields}
    runs.use_compile_cache()
    if rhythmic_command.asked(args):
        _say(args.out, rhythmic_command.run(args, Options(**options)))
        return 0
    if args.audio is not None and args.driving is None:
        _say(args.out, talking.run(args, Options(**options)))
        return 0
    _check(args)
    animator = Animator.load(args.workdir, args.step, args.chunk)
    if args.driving is None:
        height, width, _ = animator.edit(args.reference, args.out, **options).shape
        sys.stdout.write(f"{args.out}: {width}x{height} px\n")
        return 0
    _say(args.out, animator.animate(args.reference, args.driving, args.out, **options))
    return 0


def _say(out: str, made: Summary) -> None:
    sound = "with sound" if made.sound else "silent"
    sys.stdout.write(
        f"{out}: {made.frames} frames, {made.seconds:.2f} s at {made.fps:.5g} fps, {sound}; "
        f"{made.rate:.1f} frames made a second\n"
    )


def _check(args: argparse.Namespace) -> None:
    if args.reference is None:
        raise InputError("--reference is missing; give the photo that is to move")
    video = Path(args.out).suffix.lower() not in IMAGES
    if video and args.driving is None:
        raise InputError("--driving is missing; without it --out is an image, as face.png")
    check_path(args.out) if video else check_parent(args.out)
    if (args.start or 0) < 0 or (args.end is not None and args.end <= (args.start or 0)):
        raise InputError(f"--start {args.start} --end {args.end}: due 0 <= start < end, in s")
