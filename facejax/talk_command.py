"""The arguments of talking from sound, `facejax animate --audio`, and their checks."""

import argparse

import numpy as np

from facejax.animation import Options
from facejax.errors import InputError
from facejax.output import Summary
from facejax.talking import INITIAL, MESH, SIZE, Talker, check_beside
from facejax.video_writer import check_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of talking from sound."""
    add = parser.add_argument_group("with --audio in the place of --driving").add_argument
    add("--system", metavar="NAME", help="refuse a workdir of another system, as facial")
    add(
        "--face-workdir", metavar="DIR", help="pgface run: the face that goes with a posegan's pose"
    )
    add("--renderer-workdir", metavar="DIR", help="run that draws; none: the plain 3-D head")
    add("--renderer", metavar="NAME", help="refuse another renderer: headgan, facial_video, mesh")
    add("--speaker", metavar="ID", help="whose way of moving, of several that the run knows")
    add("--seed", type=int, metavar="N", help="of the pose before the first frame; none: at rest")
    add("--initial-pose", metavar="P,Y,R,X,Y,Z", help="of the first frame: degrees, then mm")
    add("--mesh", metavar="FILE", help="also write the animated mesh: .glb, or a folder of .obj")
    add("--plot", metavar="IMAGE", help="also draw the head's pose over the waveform")
    add("--speech-weights", default="", metavar="FILE", help="DeepSpeech's graph, if it was heard")
    add("--sheet", metavar="IMAGE", help="also write moments, and their mouths or sources")
    add("--size", type=int, default=SIZE, metavar="PX", help=f"of the 3-D head (default: {SIZE})")


def run(args: argparse.Namespace, options: Options) -> Summary:
    """Talks, as the command line asks."""
    if not 16 <= args.size <= 4096:
        raise InputError(f"--size is {args.size}; due: 16 to 4096 px")
    check_path(args.out)
    if args.renderer not in (None, MESH) and args.renderer_workdir is None:
        raise InputError(f"--renderer {args.renderer} needs the run that draws: --renderer-workdir")
    if args.initial_pose is not None:
        options = options._replace(initial_pose=read_pose(args.initial_pose))
    check_beside(options)
    if options.sheet is not None and args.paste_back:
        raise InputError("--sheet and --paste-back exclude each other; choose one")
    talker = Talker.load(args.workdir, args.renderer_workdir, args.face_workdir)
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


def read_pose(text: str) -> tuple[float, ...]:
    """Returns the six numbers of PITCH,YAW,ROLL,X,Y,Z: degrees, then mm.

    Raises:
      InputError: not six finite numbers, or a head that is not in front of the viewer.
    """
    try:
        pose = tuple(float(part) for part in text.split(","))
    except ValueError:
        pose = ()
    if len(pose) != INITIAL or not np.isfinite(pose).all() or pose[5] <= 0:
        raise InputError(
            f"--initial-pose is {text!r}; due: PITCH,YAW,ROLL,X,Y,Z, six numbers, degrees, then "
            "mm, of which z, the distance, is above 0: as 5,-10,0,0,0,1200"
        )
    return pose
