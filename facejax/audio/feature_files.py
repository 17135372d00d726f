"""Speech features that another program wrote, checked at the door."""

import os
import zipfile
from pathlib import Path

import numpy as np

from facejax.audio.windows import SIZE, centre_rows
from facejax.errors import InputError


def read_features(path: str | os.PathLike, channels: int = 29) -> np.ndarray:
    """Returns the features float32 [T, channels] in a file.

    Args:
      path: .npy, or .npz with one array: rows [T, channels], or windows [T, 16, channels] around
        them, of any stride, whose centre rows are taken.
      channels: numbers a row.

    Raises:
      InputError: no such file, not an array of numbers, of another shape, empty, or not finite.
    """
    path = Path(path)
    array = _array(path)
    rows = centre_rows(array) if array.ndim == 3 and array.shape[1] == SIZE else array
    if rows.ndim != 2 or rows.shape[1] != channels or not len(rows):
        raise InputError(
            f"{path} has features of shape {array.shape}; due: [T, {channels}] or "
            f"[T, {SIZE}, {channels}], one row or window a video frame"
        )
    if not np.isfinite(rows).all():
        raise InputError(f"{path} has values that are not finite; extract the features again")
    return rows


def _array(path: Path) -> np.ndarray:
    if not path.is_file():
        raise InputError(f"no features file {path}; check the path")
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                if len(loaded.files) != 1:
                    raise ValueError(f"it holds the arrays {', '.join(loaded.files) or 'none'}")
                loaded = loaded[loaded.files[0]]
        return loaded.astype(np.float32, casting="same_kind", copy=False)
    except (ValueError, EOFError, OSError, TypeError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else "it is cut short"
        raise InputError(
            f"{path} is not a file of features that can be read ({reason}); due: .npy, or .npz "
            "with one array of numbers"
        ) from error
