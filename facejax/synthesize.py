"""Build the embedded data set: procedural talking heads with sound and exact ground truth.

  facejax data synthetic --out heads

writes a data folder (train, validation and test clips of different people, and model.npz) to train
on, and contact.png to look at. No network and no footage are needed; the same options always give
the same clips.
"""

import argparse
import dataclasses
import json
import os
import sys
import time
from pathlib import Path

import jax
import numpy as np

from facejax import sheets
from facejax.data import records, shards
from facejax.data.synthetic import dataset, head, render
from facejax.errors import InputError
from facejax.files import atomic_path, write_image
from facejax.morphable_files import save_model
from facejax.progress import progress

SETTINGS = "synthetic.json"
CONTACT = "contact.png"
_SHEET_SIDE = 128  # px of a picture on the contact sheet, at least
_SHEET_MOMENTS, _SHEET_ROW = 4, 3  # moments of a person, people in a row
_SHEET_PEOPLE = {"train": 6, "validation": 3, "test": 3}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `facejax data`."""
    default = dataset.Config()
    parser.add_argument("what", choices=["synthetic"], help="which data set to build")
    parser.add_argument("--out", required=True, metavar="DIR", help="data folder to write")
    for name, text in (
        ("size", "side of the square frames in pixels"),
        ("identities", "people to train on"),
        ("held_out", "people in the validation split, and as many more in the test split"),
        ("frames", "frames in a clip"),
        ("clips", "clips of each person"),
        ("fps", "frames a second"),
        ("seed", "another seed, other people"),
    ):
        value = getattr(default, name)
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=int, default=value, help=f"{text} (default {value})")


def run(args: argparse.Namespace) -> int:
    """Builds the folder, unless it is there already."""
    fields = [field.name for field in dataclasses.fields(dataset.Config)]
    config = dataset.Config(**{name: getattr(args, name) for name in fields})
    if _is_built(Path(args.out), config):
        sys.stdout.write(f"{args.out} is up to date\n")
        return 0
    start = time.perf_counter()
    build(config, args.out)
    people = sum(config.people(split) for split in dataset.SPLITS)
    sys.stdout.write(
        f"{args.out}: {people * config.clips} clips of {config.frames} frames at {config.size} px "
        f"in {time.perf_counter() - start:.0f} s; look at {Path(args.out) / CONTACT}\n"
    )
    return 0


def build_once(config: dataset.Config, out: str | os.PathLike) -> bool:
    """Builds the data folder unless it is there already; returns whether it had to.

    Raises:
      InputError: the folder holds something else, or cannot be written.
    """
    if _is_built(Path(out), config):
        return False
    build(config, out)
    return True


def build(config: dataset.Config, out: str | os.PathLike) -> None:
    """Writes the data folder, whole or not at all.

    Args:
      config: what to make.
      out: a folder that does not exist yet, or is empty.

    Raises:
      InputError: the place cannot be written.
    """
    out = Path(out)
    if out.is_dir() and not any(out.iterdir()):
        out.rmdir()
    with atomic_path(out) as partial:
        partial.mkdir()
        for split in dataset.SPLITS:
            total = config.people(split) * config.clips
            clips = progress(dataset.clips(config, split), total, f"synthetic {split}")
            shards.write_shard(partial, split, split, clips)
        save_model(partial / records.MODEL, head.model())
        shards.seal(partial, "Synthetic talking heads (facejax.data.synthetic).")
        write_image(partial / CONTACT, contact_sheet(config))
        (partial / SETTINGS).write_text(json.dumps(dataclasses.asdict(config), indent=1) + "\n")


def _is_built(out: Path, config: dataset.Config) -> bool:
    """Returns whether the folder already holds what `config` asks for.

    Raises:
      InputError: it holds something else.
    """
    if out.is_file():
        raise InputError(f"{out} is a file; give --out a folder that does not exist yet")
    if not out.exists() or not any(out.iterdir()):
        return False
    settings = out / SETTINGS
    if not settings.is_file():
        raise InputError(f"{out} holds other files; give --out a folder that does not exist yet")
    if json.loads(settings.read_text()) != dataclasses.asdict(config):
        raise InputError(f"{out} was built with other options; give another --out, or remove it")
    return True


def contact_sheet(config: dataset.Config) -> np.ndarray:
    """Returns a sheet of people at moments of their first clips, uint8 RGB."""
    images, labels = [], []
    moments = np.linspace(0, config.frames - 1, min(_SHEET_MOMENTS, config.frames)).astype(int)
    for split, most in _SHEET_PEOPLE.items():
        for number in range(min(most, config.people(split))):
            who = dataset.actor(config.seed, split, number).person
            what = dataset.performance(config, split, number, 0)
            moment = jax.tree.map(lambda rows: rows[moments], render.moments(what))
            side = max(_SHEET_SIDE, config.size)
            frames, _ = render.draw(render.stage(), who, moment, side)
            images += list(np.asarray(frames))
            labels += [f"{split} {number}  {what.times[k]:.2f} s" for k in moments]
    title = f"synthetic talking heads, seed {config.seed}"
    return sheets.grid(images, labels, columns=_SHEET_ROW * len(moments), title=title)
