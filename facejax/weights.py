"""Fetches the models that facejax uses but does not carry, and keeps them in the user's cache.

    facejax weights                                list them
    facejax weights face-mesh                      the dense landmark detector (through pip)
    facejax weights face-mesh --from FILE.whl      the same from a wheel, a folder or the files
    facejax weights vgg19 --from vgg19.pth         a file that you own

The cache is $FACEJAX_CACHE, else $XDG_CACHE_HOME/facejax, else ~/.cache/facejax. Every file whose
content is known is checked against its SHA-256, when it is kept and when it is used.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from facejax.errors import InputError
from facejax.files import atomic_path, read_bytes


class Model(NamedTuple):
    """A model that can be kept in the cache."""

    summary: str
    files: Mapping[str, str]  # file name -> SHA-256; empty: one file of the user's own, any name
    suffixes: tuple[str, ...] = ()  # of the user's own file
    wheel: str = ""  # the Python package whose wheel carries the files, "" if none does
    platform: tuple[str, ...] = ()  # pip's choice of wheel; the model files are the same in all
    use: str = ""  # how to use it, if it is not used by itself


MODELS = {
    # Face Mesh and BlazeFace, Apache-2.0. Later releases of the package no longer carry them. The
    # package itself is never installed: its dependencies would force an old NumPy.
    "face-mesh": Model(
        summary="dense 3-D face landmarks, for real images and videos",
        files={
            "face_detection_short_range.tflite": (
                "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8"
            ),
            "face_landmark.tflite": (
                "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814"
            ),
        },
        wheel="mediapipe==0.10.21",
        platform=("--python-version", "3.11", "--platform", "manylinux_2_28_x86_64"),
    ),
    "vgg19": Model(
        summary="torchvision's VGG19, for the perceptual loss",
        files={},
        suffixes=(".pth", ".pt", ".safetensors", ".npz"),
        use="facejax train --config.model.vgg={path}",
    ),
}


def cache_dir() -> Path:
    """Returns the folder that the models are kept in; it may not exist yet."""
    if own := os.environ.get("FACEJAX_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "facejax"


def how_to_get(name: str) -> str:
    """Returns the command that brings the model `name`."""
    own = "" if MODELS[name].wheel else f" --from YOUR_FILE ({' '.join(MODELS[name].suffixes)})"
    return f"facejax weights {name}{own}"


def find(name: str) -> dict[str, Path]:
    """Returns the files of an installed model: file name -> path, checked.

    Raises:
      InputError: the model is missing, or a file is not the one that it should be.
    """
    model, folder = MODELS[name], cache_dir() / name
    names = list(model.files) or [own.name for own in _own_files(folder, model)][:1]
    missing = [file for file in names if not (folder / file).is_file()]
    if missing or not names:
        what = f" ({', '.join(missing)})" if missing else ""
        raise InputError(f"the model {name} is missing{what}; get it with: {how_to_get(name)}")
    paths = {file: folder / file for file in names}
    for file, due in model.files.items():
        _check_hash(read_bytes(paths[file]), due, str(paths[file]), f"run: {how_to_get(name)}")
    return paths


def install(name: str, sources: Sequence[str | os.PathLike] = ()) -> list[Path]:
    """Puts a model into the cache and returns the paths of its files.

    Args:
      name: a key of MODELS.
      sources: the wheel, a folder, or the files; none: pip fetches the wheel.

    Raises:
      InputError: no such source, no network, a wrong file, or a cache that cannot be written.
    """
    model = MODELS[name]
    paths = [Path(source) for source in sources]
    if not model.files:
        contents = _read_own(name, model, paths)
    elif paths:
        contents = _read_known(model, paths)
    else:
        with tempfile.TemporaryDirectory(prefix="facejax-") as folder:
            contents = _read_wheel(_download(model, Path(folder)), model)
    home = cache_dir() / name
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the cache folder {home} ({error.strerror}); set FACEJAX_CACHE"
        ) from error
    kept = [_keep(home / file, data) for file, data in contents.items()]
    for old in _own_files(home, model):  # one's own file replaces the one before
        if old not in kept:
            old.unlink()
    return kept


def status() -> Iterator[tuple[str, str]]:
    """Yields (name, "present: where" or "missing: how to get it") for every known model."""
    for name, model in MODELS.items():
        try:
            path = next(iter(find(name).values()))
            yield name, f"present: {path.parent if model.files else path}"
        except InputError as error:
            text = str(error)
            gone = " is missing" in text
            reason = f"missing: {how_to_get(name)}" if gone else f"broken: {text}"
            yield name, f"{reason} [{model.summary}]"


def _download(model: Model, folder: Path) -> Path:
    """Returns the model's wheel, fetched into `folder` by this interpreter's pip."""
    command = [sys.executable, "-m", "pip", "download", model.wheel, "--no-deps", "--quiet",
               "--disable-pip-version-check", "--only-binary=:all:", *model.platform,
               "--dest", str(folder)]  # fmt: skip
    sys.stdout.write(f"fetching {model.wheel} with pip (36 MB) ...\n")
    sys.stdout.flush()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise InputError(
            f"pip could not fetch {model.wheel}: {lines[-1].removeprefix('ERROR: ')}; check the "
            f"network, or run `pip download {model.wheel} --no-deps --only-binary=:all: "
            f"{' '.join(model.platform)}` elsewhere and give the wheel with --from"
        )
    return wheels[0]


def _read_known(model: Model, paths: Sequence[Path]) -> dict[str, bytes]:
    """Returns the checked contents of the model's files from a wheel, a folder, or the files."""
    for path in paths:
        if not path.exists():
            raise InputError(f"--from {path}: no such file or folder; check the path")
    if len(paths) == 1 and paths[0].is_file() and paths[0].suffix in (".whl", ".zip"):
        return _read_wheel(paths[0], model)
    inside = [p for path in paths for p in (path.rglob("*") if path.is_dir() else [path])]
    by_name = {p.name: p for p in inside if p.name in model.files}
    missing = [file for file in model.files if file not in by_name]
    if missing:
        raise InputError(
            f"--from {' '.join(map(str, paths))}: no {' and no '.join(missing)} there; give the "
            f"wheel of {model.wheel}, or a folder with the files"
        )
    contents = {file: read_bytes(by_name[file]) for file in model.files}
    for file, data in contents.items():
        _check_hash(data, model.files[file], str(by_name[file]), f"take it from {model.wheel}")
    return contents


def _read_wheel(path: Path, model: Model) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            by_name = {entry.rpartition("/")[2]: entry for entry in archive.namelist()}
            missing = [file for file in model.files if file not in by_name]
            if missing:
                raise InputError(
                    f"{path} carries no {' and no '.join(missing)}; due: the wheel of {model.wheel}"
                )
            contents = {file: archive.read(by_name[file]) for file in model.files}
    except (zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{path} is not a whole wheel ({error}); download it again") from error
    for file, data in contents.items():
        _check_hash(data, model.files[file], f"{file} in {path}", f"due is {model.wheel}")
    return contents


def _read_own(name: str, model: Model, paths: Sequence[Path]) -> dict[str, bytes]:
    if len(paths) != 1:
        raise InputError(f"{name} is a file of your own; give it: {how_to_get(name)}")
    if paths[0].suffix.lower() not in model.suffixes:
        raise InputError(f"--from {paths[0]}: due is one of {' '.join(model.suffixes)}")
    return {paths[0].name: read_bytes(paths[0])}


def _own_files(folder: Path, model: Model) -> list[Path]:
    """Returns the files of a model that has no fixed ones."""
    files = folder.iterdir() if folder.is_dir() else ()
    kept = (p for p in files if p.suffix.lower() in model.suffixes and not p.name.startswith("."))
    return sorted(kept)


def _keep(path: Path, data: bytes) -> Path:
    with atomic_path(path) as partial:
        partial.write_bytes(data)
    return path


def _check_hash(data: bytes, due: str, what: str, advice: str) -> None:
    got = hashlib.sha256(data).hexdigest()
    if got != due:
        raise InputError(
            f"{what} is not the file that facejax knows: SHA-256 is {got}, due is {due}; {advice}"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares `facejax weights [NAME] [--from PATH ...]`."""
    parser.add_argument("name", nargs="?", choices=MODELS, metavar="NAME", help=", ".join(MODELS))
    parser.add_argument(
        "--from",
        dest="sources",
        nargs="+",
        default=[],
        metavar="PATH",
        help="take the model from a wheel, a folder or its files instead of asking pip",
    )


def run(args: argparse.Namespace) -> int:
    """Fetches one model, or lists them all."""
    if args.name is None:
        if args.sources:
            raise InputError(f"--from needs a NAME before it: one of {', '.join(MODELS)}")
        for name, text in status():
            sys.stdout.write(f"{name:12} {text}\n")
        return 0
    for path in install(args.name, args.sources):
        sys.stdout.write(f"kept {path}\n")
        if use := MODELS[args.name].use:
            sys.stdout.write(f"use it: {use.format(path=path)}\n")
    return 0
