"""Measure facejax on this machine, side by side with the usual ways of doing the same.

  facejax bench geometry --out results.json    the rasteriser, silhouettes and fits
  facejax bench geometry --quick               a small part of it, in about a minute

`facejax bench SUBJECT --help` tells more of each subject.
"""

import argparse
import importlib

SUBJECTS = {  # subject -> (module, what it measures)
    "geometry": ("facejax.benchmarks.geometry", "rasterisation, silhouettes and fits"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the subjects, and the options of each."""
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="|".join(SUBJECTS))
    for name, (path, what) in SUBJECTS.items():
        module = importlib.import_module(path)
        one = subjects.add_parser(
            name,
            help=what,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(one)
        one.set_defaults(measure=module.run)


def run(args: argparse.Namespace) -> int:
    """Runs the benchmark of one subject."""
    return args.measure(args) or 0
