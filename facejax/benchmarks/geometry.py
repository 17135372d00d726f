"""Measure the geometry of facejax: rasterisation, silhouettes and fits.

Rows of one section are the same work at another mesh, image size or batch. All contenders of a row
take turns in one process; times are medians, in milliseconds a frame. On the CPU the rasteriser is
held against a C z-buffer of one thread compiled here ("C loop": as face libraries write it;
"C careful": a tuned one; both draw ids only but where stated), fits against NumPy and SciPy a frame
at a time. "met" and "missed" tell how a figure stands to its goal.

Meanwhile idle cores are kept awake (needs permission for /dev/cpu_dma_latency), each of XLA's
threads keeps to a core, and a round waits until the first and the last core share a cache (10
minutes in all, one where they never did): on virtual machines all three come and go and double
the times of XLA alone.

  facejax bench geometry --out results.json
  facejax bench geometry --quick
  facejax bench geometry --only ids gradients --meshes coarse-5k --sizes 128 256 --batches 1 8
"""

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Iterator

import jax

from facejax.benchmarks import (
    cores,
    fits,
    machine,
    meshes,
    model_fits,
    peers,
    rendering,
    scaling,
    silhouettes,
    table,
)
from facejax.benchmarks.c_loop import load
from facejax.benchmarks.cases import Setting
from facejax.benchmarks.compare import Effort, Result, Section, measure, to_json
from facejax.benchmarks.cores import Watch
from facejax.benchmarks.native import NoCompilerError
from facejax.benchmarks.steady import steady
from facejax.errors import InputError
from facejax.files import atomic_path, check_parent
from facejax.progress import progress

SIZES, BATCHES = (128, 256, 512), (1, 8)
QUICK_MESHES, QUICK_SIZES, QUICK_BATCHES = ("coarse-2k", "dense-69k"), (256,), (1,)
FULL, QUICK = Effort(turns=15, seconds=2.0), Effort(turns=5, seconds=0.3)
MOST_PX = 4096
SECTIONS = (
    "ids", "surface", "interpolation", "gradients", "scaling", "coverage", "splat", "soft",
    "procrustes", "affine", "coefficients", "projected",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `facejax bench geometry`."""
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, metavar="NAME", default=list(SECTIONS),
        help=f"sections to run (default: all of {' '.join(SECTIONS)})",
    )  # fmt: skip
    parser.add_argument(
        "--meshes", nargs="+", choices=meshes.SIDES, metavar="MESH",
        help=f"of {' '.join(meshes.SIDES)} (default: all)",
    )  # fmt: skip
    for name, least, most, default in (
        ("sizes", 16, MOST_PX, SIZES),
        ("batches", 1, 1024, BATCHES),
    ):
        shown = " ".join(map(str, default))
        text = "image sides in pixels" if name == "sizes" else "frames at once"
        parser.add_argument(
            f"--{name}", nargs="+", type=_whole(least, most), metavar="N",
            help=f"{text} (default: {shown})",
        )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="few cases and few turns")
    parser.add_argument("--out", metavar="FILE.json", help="also write every figure there")


def run(args: argparse.Namespace) -> int:
    """Measures, writes the table to the standard output, and the file that --out names."""
    if args.out and check_parent(args.out).suffix != ".json":
        raise InputError(f"--out is {args.out}; due: a name ending in .json")
    setting, notes = prepare(args)
    chosen = [section for section in sections(setting) if section.name in args.only]
    if not any(section.rows for section in chosen):
        raise InputError(
            f"{' '.join(args.only)} has no row for these options; widen --meshes, --sizes or "
            "--batches"
        )
    host = machine.describe()
    notes += machine.busy(host)
    watch, blind = watch_cores(setting)
    with steady() as pace:
        notes += pace + blind
        sys.stdout.write("\n".join([machine.one_line(host), *notes, ""]) + "\n")
        results = run_sections(chosen, QUICK if args.quick else FULL, watch)
    notes.append(watch.note())
    if args.out:
        report = {"command": command(args)} | host | {"notes": notes}
        if setting.c_loop:
            report["compiler"] = setting.c_loop.compiler
        report["results"] = [to_json(*pair) for pair in results]
        with atomic_path(args.out) as partial:
            partial.write_text(json.dumps(report, indent=1) + "\n")
    for section in chosen:
        rows = [result for owner, result in results if owner is section]
        if rows:
            sys.stdout.write(table.section_text(section, rows) + "\n\n")
    sys.stdout.write(f"{watch.note()}\n{table.summary([one for _, one in results])}\n")
    return 0


def prepare(args: argparse.Namespace) -> tuple[Setting, list[str]]:
    """Returns what the run covers, and a line on each thing that it must leave out."""
    notes = []
    try:
        loop = load()
    except NoCompilerError as error:
        loop = None
        notes.append(f"the C loop is left out: {error}")
    peer, absent = peers.find()
    setting = Setting(
        meshes=tuple(args.meshes or (QUICK_MESHES if args.quick else meshes.SIDES)),
        sizes=tuple(args.sizes or (QUICK_SIZES if args.quick else SIZES)),
        batches=tuple(args.batches or (QUICK_BATCHES if args.quick else BATCHES)),
        platform=jax.default_backend(),
        quick=args.quick,
        c_loop=loop,
        pytorch3d=peer,
    )
    return setting, notes + absent


def sections(setting: Setting) -> Iterator[Section]:
    """Yields every section of the benchmark, in the order of SECTIONS."""
    for module in (rendering, scaling, silhouettes, fits, model_fits):
        yield from module.sections(setting)


def watch_cores(setting: Setting) -> tuple[Watch, list[str]]:
    """Returns what holds a round until the cores are near, and a line where it cannot tell."""
    if setting.platform != "cpu":
        return Watch(lambda: 0.0), []
    try:
        return Watch(cores.load()), []
    except NoCompilerError as error:
        return Watch(lambda: 0.0), [f"the distance of the cores is not watched: {error}"]


def run_sections(
    chosen: list[Section], effort: Effort, ready: Callable[[], None]
) -> list[tuple[Section, Result]]:
    """Measures every row, each round when `ready` returns, with a progress bar."""
    rows = progress([(section, row) for section in chosen for row in section.rows], label="bench")
    return [(section, measure(row, effort, ready)) for section, row in rows]


def command(args: argparse.Namespace) -> str:
    """Returns the command line that repeats this run."""
    words = ["facejax", "bench", "geometry", "--only", *args.only]
    for name in ("meshes", "sizes", "batches"):
        if given := getattr(args, name):
            words += [f"--{name}", *map(str, given)]
    return shlex.join(words + ["--quick"] * args.quick)


def _whole(least: int, most: int):
    """Returns a converter of one argument to an integer of a range."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is no whole number from {least} to {most}")
        return value

    return convert
