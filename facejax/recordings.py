"""Which videos to preprocess, what they are called, who speaks in them, how they are cut."""

import math
import os
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from facejax.errors import InputError
from facejax.media import Seconds, exact

SUFFIXES = (
    ".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts",
    ".webm", ".wmv",
)  # fmt: skip


class Recording(NamedTuple):
    """One source video."""

    name: str  # unique in a data folder; the ids of its clips begin with it
    speaker: str
    path: Path


def find(inputs: Sequence[str | os.PathLike], speaker: str = "") -> list[Recording]:
    """Returns the videos among files and folders (searched to any depth), in order.

    A file is called by its name without suffix; one in a searched folder by its path in there. The
    speaker is the one given; else the topmost sub-folder of the searched folder (a folder for each
    person), or the video's own name.

    Raises:
      InputError: an input is missing, a folder holds no video, or two videos have one name.
    """
    found: dict[Path, Recording] = {}
    for given in map(Path, inputs):
        if not given.exists():
            raise InputError(f"no file or folder {given}; check the path (in {Path.cwd()})")
        for recording in _inside(given, speaker) if given.is_dir() else [_single(given, speaker)]:
            found.setdefault(recording.path.resolve(), recording)
    recordings = list(found.values())
    name, count = Counter(r.name for r in recordings).most_common(1)[0]
    if count > 1:
        paths = ", ".join(str(r.path) for r in recordings if r.name == name)
        raise InputError(f"{count} videos are called {name!r}: {paths}; rename all but one")
    return recordings


def _single(path: Path, speaker: str) -> Recording:
    return Recording(path.stem, speaker or path.stem, path)


def _inside(folder: Path, speaker: str) -> list[Recording]:
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    paths = [path for path in paths if not path.name.startswith(".")]
    if not paths:
        raise InputError(f"folder {folder} holds no video ({' '.join(SUFFIXES)})")
    recordings = []
    for path in paths:
        inner = path.relative_to(folder).with_suffix("")
        recordings.append(Recording(inner.as_posix(), speaker or inner.parts[0], path))
    return recordings


def parts(duration: float, longest: float, start: float, end: float | None) -> list[tuple]:
    """Returns the spans [(start, end), ...] in s that a video is cut into, all of equal length.

    Args:
      duration: of the video, s. The last part has no end: stated durations are not exact.
      longest: of a part, s.
      start: of what is used, s.
      end: likewise; None is the end.
    """
    first, last = exact(start), exact(min(end or duration, duration))
    count = max(1, math.ceil((last - first) / exact(longest)))
    step = Fraction(last - first) / count
    edges: list[Seconds | None] = [first + k * step for k in range(count)]
    return list(zip(edges, [*edges[1:], None if end is None else exact(end)], strict=True))
