r"""Held-out figures of a trained run: self-reenactment, against copying the reference.

  facejax evaluate --workdir W --data DIR --split test --out report.json
  facejax evaluate --workdir W --data clips --split train --span 0.8,1

In each clip one frame is the reference and every other one is made from its motion. The report
holds L1 (0 to 255) and PSNR (dB) over all frames of the model, of its warped reference, and of
showing the reference frame throughout. A contact sheet is written beside it.

Of posegan: held-out head motion, by energy scores, errors, deviation, spectrum and beats, against
the mean pose, the first pose held and the wrong speech (`poses_judge`). Of pgface: distances of the
face's vertices in mm, against the speaker's mean face (`shapes_judge`).

  facejax evaluate --metrics personalization --workdir W --data DIR --split train
  facejax evaluate --metrics personalization --workdir ann=A --workdir bob=B --data DIR

Of runs that make motion of speech: FACIAL's personalisation metric. Classifiers learn to tell the
people by their real head poses and blinks, with the clips that are not held out, and are asked
whose the motion is that the runs make for each person from held-out sound. --clips names the clips
held out (default: the last fifth of each person's), --span the part of these that is made.

  facejax evaluate --metrics reenactment --workdir SPEECH --renderer-workdir W --data DIR \
      --split train --span 0.8,1

Of a run that makes motion of speech and one that draws it: self-reenactment from the sound and from
the true motion (FACIAL's supplement, section 4), with error maps and mouths on the sheet.
"""

import argparse
import dataclasses
import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facejax import personalization_judge, runs, self_reenactment, settings
from facejax.data import pipeline
from facejax.errors import InputError
from facejax.files import atomic_path, check_parent, write_image
from facejax.metrics import personalization as classifiers
from facejax.workload import Choice, Result
from facejax.workloads import workload_of

METRICS = ("reconstruction", "personalization", "reenactment")


def evaluate(run: runs.Run, choice: Choice, rows: int = 8) -> Result:
    """Returns the figures and the contact sheet of a run on a data folder.

    Raises:
      InputError: see `Workload.judge`; or the clips are fitted with another face model.
    """
    data = dataclasses.replace(settings.section(run.config, "data"), path=choice.path)
    judge = workload_of(run.config.system).judge(data, choice, run.system)
    if "morphable" in judge.given:
        model = judge.given["morphable"]
        runs.check_model(run.system.frozen["morphable"], model, "the workdir", choice.path)
    report, sheet = judge.look(run.gen, run.stats, run.system.frozen, rows=rows)
    return Result({"step": run.step} | choice._asdict() | report, sheet)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument(
        "--workdir",
        required=True,
        action="append",
        metavar="DIR",
        help="of the trained run; SPEAKER=DIR, repeated: of each speaker's (personalization)",
    )
    parser.add_argument(
        "--metrics", choices=METRICS, default=METRICS[0], help=f"(default: {METRICS[0]})"
    )
    parser.add_argument("--renderer-workdir", metavar="DIR", help="run that draws (reenactment)")
    parser.add_argument("--data", required=True, metavar="DIR", help="data folder with the clips")
    parser.add_argument("--split", default="test", help="train, validation or test (default: test)")
    parser.add_argument(
        "--span", default="0,1", metavar="A,B", help="fraction of each clip, as 0.8,1"
    )
    parser.add_argument("--clips", default="", help="ids or patterns, separated by commas")
    parser.add_argument(
        "--reference-index", type=int, default=0, metavar="N", help="reference frame in the span"
    )
    parser.add_argument(
        "--epochs",
        type=int,
        metavar="N",
        help=f"of the classifiers (default: {classifiers.EPOCHS} or more)",
    )
    parser.add_argument("--step", type=int, help="checkpoint (default: the newest)")
    parser.add_argument("--out", default="report.json", metavar="FILE", help="where to write")


def run(args: argparse.Namespace) -> int:
    """Evaluates, writes the report and the sheet, and says the main figures."""
    try:
        span = tuple(float(x) for x in args.span.split(","))
        pipeline.check_span(span)
    except ValueError as error:
        raise InputError(f"--span is {args.span!r}; due: A,B with 0 <= A < B <= 1") from error
    out = check_parent(args.out)
    if out.suffix != ".json":
        raise InputError(f"--out is {args.out}; due: a name ending in .json")
    runs.use_compile_cache()
    choice = Choice(args.data, args.split, span, args.clips, args.reference_index)  # type: ignore[arg-type]
    if args.metrics == "personalization":
        summary, (report, sheet) = _personalization(args, choice)
    elif args.metrics == "reenactment":
        summary, (report, sheet) = _reenactment(args, choice)
    else:
        trained = runs.load(args.workdir[-1], args.step)  # the last counts, as of any option
        report, sheet = evaluate(trained, choice)
        summary = workload_of(trained.config.system).summary(report)
    write_image(out.with_suffix(".png"), sheet)
    write_report(out, report)
    sys.stdout.write(f"{summary}\n{out} {out.with_suffix('.png')}\n")
    return 0


def _personalization(args: argparse.Namespace, choice: Choice) -> tuple[str, Result]:
    if args.epochs is not None and args.epochs < 1:
        raise InputError(f"--epochs is {args.epochs}; due: 1 or more")
    named = workdirs(args.workdir)
    loaded = [(name, runs.load(folder, args.step)) for name, folder in named]
    steps = {name or "all": run.step for name, run in loaded}
    voices = personalization_judge.voices(loaded)
    learn = functools.partial(classifiers.train, epochs=args.epochs)
    found = personalization_judge.judge(voices, choice, learn)
    summary = personalization_judge.summary_line(found.report)
    terms = choice._asdict()
    terms.pop("reference_index")  # means nothing here
    report = {"metrics": args.metrics, "step": steps} | terms | found.report
    return summary, Result(report, found.sheet)


def _reenactment(args: argparse.Namespace, choice: Choice) -> tuple[str, Result]:
    if args.renderer_workdir is None:
        raise InputError("--renderer-workdir is missing; --metrics reenactment needs what draws")
    hears, draws = runs.load(args.workdir[-1], args.step), runs.load(args.renderer_workdir)
    found = self_reenactment.judge(hears, draws, choice)
    terms = choice._asdict()
    terms.pop("reference_index")  # the first frame is
    steps = {"step": hears.step, "renderer_step": draws.step}
    report = {"metrics": args.metrics} | steps | terms | found.report
    return self_reenactment.summary_line(found.report), Result(report, found.sheet)


def workdirs(given: Sequence[str]) -> list[tuple[str, str]]:
    """Returns (speaker, folder) of each DIR, whose speaker is "", or SPEAKER=DIR."""
    pairs = [("", one) if Path(one).is_dir() else one.rpartition("=")[::2] for one in given]
    return [(name, folder) for name, folder in pairs]


def write_report(path: Any, report: dict[str, Any]) -> None:
    """Writes a report as JSON, whole or not at all."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(report, indent=1) + "\n")
