"""Reports what this machine has: versions, devices, models, and how to get what is missing."""

import argparse
import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path

PACKAGES = (
    "jax", "flax", "optax", "orbax-checkpoint", "chex", "numpy", "scipy", "av", "librosa",
    "opencv-python-headless", "ai-edge-litert", "tensorflow", "tensorflow-datasets", "clu",
)  # fmt: skip
ALTERNATIVES = {"tensorflow": "tensorflow-cpu", "opencv-python-headless": "opencv-python"}


def _version(package: str) -> str:
    for name in filter(None, (package, ALTERNATIVES.get(package))):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "MISSING: pip install facejax"


def _devices() -> list[tuple[str, str]]:
    import jax

    rows = [(f"device {d.id}", f"{d.platform} {d.device_kind}") for d in jax.devices()]
    return [*rows, ("processes", str(jax.process_count()))]


def _models() -> list[tuple[str, str]]:
    from facejax import weights

    return list(weights.status())


def _machine() -> list[tuple[str, str]]:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return [
        ("python", platform.python_version()),
        ("system", platform.platform(terse=True)),
        ("cores", str(os.cpu_count())),
        ("free disk", f"{free:.1f} GiB"),
    ]


def _codecs() -> list[tuple[str, str]]:
    import av

    wanted = (("h264", "video out"), ("aac", "sound out"))
    return [
        (codec, "ok" if codec in av.codecs_available else f"MISSING: no {what}; reinstall av")
        for codec, what in wanted
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command takes no arguments."""
    del parser


def run(args: argparse.Namespace) -> int:
    """Writes the report; returns 1 if a package or a codec is missing, else 0."""
    del args
    packages = [(name, _version(name)) for name in PACKAGES]
    sections = {
        "machine": _machine(),
        "packages": packages,
        "devices": _devices(),
        "video": _codecs(),
        "models": _models(),
    }
    for title, rows in sections.items():
        sys.stdout.write(f"{title}\n")
        for name, value in rows:
            sys.stdout.write(f"  {name:24} {value}\n")
    broken = [name for name, value in packages + sections["video"] if value.startswith("MISSING")]
    return 1 if broken else 0
