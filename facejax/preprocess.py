"""Turns videos into tracked, cropped clips to train on.

  facejax preprocess talk.mp4 interviews/ --out clips

Each video is followed by its face, cropped once and steadily, fitted frame by frame, and recorded
with its sound (16 kHz mono) at its own frame times. Long videos are cut into parts. What cannot be
used is skipped, and report.json says why; contact.png shows what was found. A second run does only
what is new or was cut short.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from facejax import recordings, video
from facejax.clip_maker import Maker, make_clip
from facejax.clip_sheet import contact_sheet
from facejax.data import records, shards
from facejax.errors import InputError
from facejax.face_mesh import FaceMesh
from facejax.files import atomic_path, check_parent, write_errors, write_image
from facejax.geometry.morphable import MorphableModel
from facejax.morphable_files import load_model, save_model
from facejax.progress import progress
from facejax.recordings import Recording
from facejax.track import MOST_HELD, Choice

REPORT, SHEET = "report.json", "contact.png"
LEAST_SIZE, MOST_SIZE = 16, 1024  # px


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    add = parser.add_argument
    add("inputs", nargs="+", metavar="VIDEO_OR_FOLDER", help="videos, or folders of videos")
    add("--out", required=True, metavar="DIR", help="data folder to make, or to add to")
    add("--size", type=int, default=256, metavar="PX", help="side of the crops (default: 256)")
    add("--model", default="ready-made", metavar="FILE", help="face model (default: ready-made)")
    add("--speaker", default="", metavar="NAME", help="who speaks (default: by folder or file)")
    add("--split", default="train", choices=shards.SPLITS, help="(default: train)")
    add("--part", type=float, default=60, metavar="S", help="longest clip, s (default: 60)")
    add("--start", type=float, default=0, metavar="S", help="leave out what comes before, s")
    add("--end", type=float, metavar="S", help="leave out what comes after, s")
    add("--face", type=int, metavar="N", help="of several faces; 0 is the largest (default)")
    add("--no-crop", dest="crop", action="store_false", help="the frames are crops already")
    add(
        "--hold", type=int, default=MOST_HELD, metavar="N", help="most frames in a row without face"
    )
    add("--licence", default="", metavar="TEXT", help="recorded with every clip")


def run(args: argparse.Namespace) -> int:
    """Preprocesses what is new, and says what came of it."""
    _check(args)
    found = recordings.find(args.inputs, args.speaker)
    model, out = load_model(args.model), check_parent(args.out)
    settings = _settings(args, model)
    report = _open(out, settings, model)
    todo = [recording for recording in found if _is_new(out, report, recording, settings)]
    if todo:
        choice = Choice(args.face, args.crop, args.hold)
        maker = Maker(FaceMesh(), model, args.size, choice, args.licence)
        for recording in progress(todo, len(todo), "videos"):
            _record(out, report, maker, recording, settings)
    _finish(out, report, changed=bool(todo))
    rows = [report["sources"][recording.name] for recording in found]
    _write_summary(out, rows, done_before=len(found) - len(todo))
    if not any(row["clips"] for row in rows):
        reason = rows[0]["skipped"][0]["reason"]
        raise InputError(f"no clip could be used of {len(rows)} videos: {reason}")
    return 0


def _check(args: argparse.Namespace) -> None:
    if not LEAST_SIZE <= args.size <= MOST_SIZE:
        raise InputError(f"--size is {args.size}; due: {LEAST_SIZE} to {MOST_SIZE} px")
    if not args.part >= 1:
        raise InputError(f"--part is {args.part}; due: at least 1 s")
    if args.start < 0 or (args.end is not None and args.end <= args.start):
        raise InputError(f"--start {args.start} --end {args.end}: due 0 <= start < end, in s")
    if args.hold < 0:
        raise InputError(f"--hold is {args.hold}; due: 0 or more frames")


def _settings(args: argparse.Namespace, model: MorphableModel) -> dict[str, Any]:
    """Returns what, when it changes, makes a clip another one."""
    digest = hashlib.sha256()
    for array in model:
        digest.update(np.ascontiguousarray(array).tobytes())
    names = ("size", "split", "part", "start", "end", "face", "crop", "hold", "speaker", "licence")
    return {"model": digest.hexdigest()} | {name: getattr(args, name) for name in names}


def _open(out: Path, settings: dict[str, Any], model: MorphableModel) -> dict[str, Any]:
    """Makes the folder, or checks that what it holds goes with the settings; returns its report."""
    with write_errors(out):
        out.mkdir(exist_ok=True)
    path = out / REPORT
    if not path.is_file() and any(out.iterdir()):
        raise InputError(f"{out} holds other files; give an empty or a new folder as --out")
    report: dict[str, Any] = {"model": settings["model"], "size": settings["size"], "sources": {}}
    if path.is_file():
        report = json.loads(path.read_text())
    for name in ("model", "size"):
        if report[name] != settings[name]:
            raise InputError(
                f"{out} was made with another --{name} and a data folder has one; give another"
            )
    if not (out / records.MODEL).is_file():
        _write(out, report)
        save_model(out / records.MODEL, model)
    return report


def _is_new(
    out: Path, report: dict[str, Any], recording: Recording, settings: dict[str, Any]
) -> bool:
    """Tells whether a video has yet to be done, as it now is and with these settings."""
    row = report["sources"].get(recording.name)
    if row is None:
        return True
    if row["path"] != str(recording.path.resolve()) and Path(row["path"]).exists():
        raise InputError(
            f"{out} has a video called {recording.name!r} already, {row['path']}; rename "
            f"{recording.path} or give another --out"
        )
    if row["clips"] and row["settings"]["split"] != settings["split"]:
        raise InputError(
            f"{recording.path} is in split {row['settings']['split']!r} of {out} already; give "
            "another --out, or the same --split"
        )
    now = _identity(recording, settings)
    return any(row[key] != value for key, value in now.items())


def _identity(recording: Recording, settings: dict[str, Any]) -> dict[str, Any]:
    """Returns what a video's entry in the report is known by."""
    state = recording.path.stat()
    return {
        "path": str(recording.path.resolve()),
        "bytes": state.st_size,
        "modified_ns": state.st_mtime_ns,
        "settings": settings,
    }


def _record(
    out: Path,
    report: dict[str, Any],
    maker: Maker,
    recording: Recording,
    settings: dict[str, Any],
) -> None:
    """Writes the shard of one video, then its entry in the report."""
    row = _identity(recording, settings) | {"clips": [], "skipped": []}
    clips = _clips(maker, recording, settings, row)
    shards.write_shard(out, settings["split"], recording.name, clips)
    report["sources"][recording.name] = row
    _write(out, report)


def _clips(
    maker: Maker, recording: Recording, settings: dict[str, Any], row: dict[str, Any]
) -> Iterator[records.Clip]:
    """Yields the clips of one video; notes in `row` what they are and what was skipped."""
    span = settings["start"], settings["end"]
    try:
        duration = video.probe(recording.path, least_frames=2).duration
        parts = recordings.parts(duration, settings["part"], *span)
    except InputError as error:
        row["skipped"].append({"start": span[0], "end": span[1], "reason": str(error)})
        return
    for number, (start, end) in enumerate(parts):
        times = {"start": float(start), "end": None if end is None else float(end)}
        name = recording.name if len(parts) == 1 else f"{recording.name}_{number:03d}"
        try:
            clip, track = make_clip(maker, recording.path, (name, recording.speaker), start, end)
        except InputError as error:
            row["skipped"].append(times | {"reason": str(error)})
            continue
        figures = {
            "frames": len(track.times),
            "held": int((~track.valid).sum()),
            "seconds": round(float(clip.times[-1] + 1 / track.fps), 3),
            "fps": str(track.fps),
            "sound": bool(len(clip.audio)),
            "fit_residual": round(float(np.median(track.residual)), 5),
        }
        row["clips"].append({"clip_id": name} | times | figures)
        yield clip


def _finish(out: Path, report: dict[str, Any], *, changed: bool) -> None:
    """Makes the folder whole again after new shards, or after a run that was cut short."""
    sealed = (out / "dataset_info.json").is_file() and (out / SHEET).is_file()
    pending = (out / "pending").is_dir() and any((out / "pending").iterdir())
    usable = any(row["clips"] for row in report["sources"].values())
    if usable and (changed or pending or not sealed):
        splits = shards.seal(out)
        shown = [records.open_clips(out, split) for split in splits]
        write_image(out / SHEET, contact_sheet(shown))


def _write(out: Path, report: dict[str, Any]) -> None:
    with atomic_path(out / REPORT) as partial:
        partial.write_text(json.dumps(report, indent=1) + "\n")


def _write_summary(out: Path, rows: list[dict[str, Any]], done_before: int) -> None:
    """Says what there is of the videos given, in a few lines."""
    clips = [clip for row in rows for clip in row["clips"]]
    frames, seconds = (sum(clip[key] for clip in clips) for key in ("frames", "seconds"))
    skipped = [part for row in rows for part in row["skipped"]]
    lines = [f"skipped: {part['reason']}" for part in skipped]
    lines.append(
        f"{out}: {len(rows)} videos ({done_before} done before), {len(clips)} clips, "
        f"{frames} frames, {seconds:.1f} s; {len(skipped)} skipped; look at {out / SHEET}"
    )
    sys.stdout.write("".join(f"{line}\n" for line in lines))
