"""The command line: `facejax COMMAND`.

Every command is a module with `add_arguments(parser)` and `run(args)`; only the module of the
chosen command is imported, so `facejax --help` is quick. A user's mistake (`InputError`) is one
line on the standard error and exit status 2.
"""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from tqdm.contrib.logging import logging_redirect_tqdm

from facejax import __version__, allocator
from facejax.errors import InputError

COMMANDS = {  # command -> (module, what it does)
    "doctor": ("facejax.doctor", "versions, devices, and models present or missing"),
    "weights": ("facejax.weights", "fetch a model that facejax uses but may not carry"),
    "data": ("facejax.synthesize", "build the embedded data set of synthetic talking heads"),
    "preprocess": ("facejax.preprocess", "turn videos into tracked, cropped clips to train on"),
    "model": ("facejax.build_model", "build or import a morphable face model"),
    "accuracy": ("facejax.accuracy", "landmark and pose error on annotated photos"),
    "train": ("facejax.train", "train a system from a config"),
    "evaluate": ("facejax.evaluate", "held-out figures of a trained system against baselines"),
    "ablate": ("facejax.ablate", "train and compare Rhythmic Head Motion's ablations"),
    "animate": ("facejax.animate", "make a photo move like the face in a video"),
    "gallery": ("facejax.gallery", "pictures of the geometry, and a photometric fit"),
    "bench": ("facejax.benchmarks.bench", "measure facejax side by side with the usual ways"),
    "demo": ("facejax.demo", "build, train, evaluate and animate on the embedded data set"),
}


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(["commands:", *lines, "", "facejax COMMAND --help tells more of each."])


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="facejax",
        description="Talking-head synthesis for JAX.",
        epilog=_overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"facejax {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    name = parser.parse_args(arguments[:1]).command
    module = importlib.import_module(COMMANDS[name][0])
    command = _Parser(
        prog=f"facejax {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(command)
    args, rest = command.parse_known_args(arguments[1:])
    # A command that takes config overrides (--config.x=y) says so with set_defaults(overrides=[]).
    if rest and not hasattr(args, "overrides"):
        command.error(f"unknown arguments: {' '.join(rest)}")
    if hasattr(args, "overrides"):
        args.overrides = rest
    args.run = module.run
    return args


def _log_plainly() -> None:
    """Sends our log to the standard error as bare lines, and of others' only the errors."""
    # By force: absl, which clu and Orbax load, has put its own handler there.
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    for name in ("absl", "jax", "orbax"):
        logging.getLogger(name).setLevel(logging.ERROR)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit status: 0 done, 2 wrong input, 130 interrupted."""
    allocator.keep_memory()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow only feeds the data here
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # or it announces them at every start
    args = _parse(sys.argv[1:] if arguments is None else list(arguments))
    _log_plainly()
    try:
        with logging_redirect_tqdm():  # a line of the log does not break a progress bar
            return args.run(args) or 0
    except InputError as error:
        sys.stderr.write(f"facejax: error: {' '.join(str(error).split())}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("facejax: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
