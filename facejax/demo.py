"""Runs the main job on the embedded data set: build, train, evaluate, animate.

  facejax demo --out out/demo

Everything is made here, from a fixed seed, with no network and no GPU. The people of the test split
are never trained on. Written: heads/ (the data), run/ (the workdir), demo.mp4 (held-out people in
self-reenactment, with their sound), demo.png (the columns of HeadGAN's Fig. 2), report.json.
Given again, the command goes on where it stopped.
"""

import argparse
import pathlib
import sys
import time
from typing import Any

from facejax import evaluate, runs, settings, synthesize, train
from facejax.animate import Animator
from facejax.data import records
from facejax.data.synthetic import dataset
from facejax.errors import InputError
from facejax.files import write_image
from facejax.judging import COPY, summary_line
from facejax.workload import Choice

CONFIG = "configs/headgan_small.py"
DATA = dataset.Config(size=64, identities=64, held_out=8, frames=64, fps=20, seed=0)
REPORTED = ("model", "warped", COPY)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments; the rest are overrides of the config."""
    parser.add_argument("--out", default="out/demo", metavar="DIR", help="default: out/demo")
    parser.add_argument("--config", default=CONFIG, metavar="FILE[:ARG]", help=f"default: {CONFIG}")
    parser.set_defaults(overrides=[])


def run(args: argparse.Namespace) -> int:
    """Runs the stages, and says what came out."""
    out = pathlib.Path(args.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        text = f"cannot make the folder {out}: {error.strerror}; choose another"
        raise InputError(text) from None
    report = demo(out, args.config, args.overrides, DATA)
    gain = report["model"]["psnr"] - report[COPY]["psnr"]
    ratio = report["model"]["l1"] / report[COPY]["l1"]
    sys.stdout.write(
        f"{summary_line(report)}\n"
        f"against copying the reference: {gain:+.1f} dB PSNR, {ratio:.2f} of its L1\n"
        f"{out / 'demo.mp4'} {out / 'demo.png'} {out / 'report.json'}\n"
    )
    return 0


def demo(
    out: pathlib.Path, source: str, overrides: list[str], data: dataset.Config
) -> dict[str, Any]:
    """Runs the four stages and returns the report, which is also written.

    Args:
      out: an existing folder.
      source: config file, and after a colon its argument.
      overrides: of the config, "--config.train.steps=100".
      data: the embedded data set to build; its size is the config's data.size.

    Raises:
      InputError: a fault in the config, or `out` holds something else.
    """
    heads, workdir = out / "heads", out / "run"
    clock = Clock()
    runs.use_compile_cache()
    config = settings.load_config(source, [f"--config.data.path={heads}", *overrides])
    synthesize.build_once(data, heads)
    clock.lap("data")
    train.train(config, workdir)
    clock.lap("train")
    trained = runs.load(workdir)
    found, sheet = evaluate.evaluate(trained, Choice(str(heads)))
    write_image(out / "demo.png", sheet)
    clock.lap("evaluate")
    clip = records.open_clips(heads, "test").ids[0]
    animator = Animator(trained)
    animator.animate(f"{heads}:{clip}:0", f"{heads}:{clip}", out / "demo.mp4", side_by_side=True)
    clock.lap("animate")
    counts = {name: found[name] for name in ("clip_count", "frame_count")}
    report = counts | {name: found[name] for name in REPORTED} | {"seconds": clock.seconds}
    evaluate.write_report(out / "report.json", report)
    return report


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        """Books the time since the last lap, or since the start, under `name`."""
        now = time.perf_counter()
        self.seconds[name] = round(now - self._since, 1)
        self._since = now
