"""Held-out figures of a trained run: self-reenactment, against copying the reference.

  facejax evaluate --workdir W --data DIR --split test --out report.json
  facejax evaluate --workdir W --data clips --split train --span 0.8,1

In each clip one frame is the reference and every other one is made from its motion. The report
holds L1 (0 to 255) and PSNR (dB) over all frames of the model, of its warped reference, and of
showing the reference frame throughout. A contact sheet is written beside it.
"""

import argparse
import dataclasses
import json
import sys
from typing import Any

from facejax import runs, settings
from facejax.data import pipeline
from facejax.errors import InputError
from facejax.files import atomic_path, check_parent, write_image
from facejax.workload import Choice, Result
from facejax.workloads import workload_of


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
    parser.add_argument("--workdir", required=True, metavar="DIR", help="of the trained run")
    parser.add_argument("--data", required=True, metavar="DIR", help="data folder with the clips")
    parser.add_argument("--split", default="test", help="train, validation or test (default: test)")
    parser.add_argument(
        "--span", default="0,1", metavar="A,B", help="fraction of each clip, as 0.8,1"
    )
    parser.add_argument("--clips", default="", help="ids or patterns, separated by commas")
    parser.add_argument(
        "--reference-index", type=int, default=0, metavar="N", help="reference frame in the span"
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
    trained = runs.load(args.workdir, args.step)
    report, sheet = evaluate(trained, choice)
    write_image(out.with_suffix(".png"), sheet)
    write_report(out, report)
    summary = workload_of(trained.config.system).summary(report)
    sys.stdout.write(f"{summary}\n{out} {out.with_suffix('.png')}\n")
    return 0


def write_report(path: Any, report: dict[str, Any]) -> None:
    """Writes a report as JSON, whole or not at all."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(report, indent=1) + "\n")
