"""Motion on disk: an npz of the fields of `Motion`, and a mark of the face model it refers to.

A motion can be made once, from speech or from a video, looked at or edited, and drawn by any
renderer: `facejax animate ... --motion-out motion.npz`, then `--driving motion.npz`.
"""

import hashlib
import os
import zipfile
from typing import Any

import numpy as np

from facejax.checks import shapes
from facejax.errors import InputError
from facejax.files import atomic_path, read_bytes
from facejax.geometry.morphable import MorphableModel
from facejax.motion import Motion

SUFFIX = ".npz"
_AXES = {"identity": "I", "expression": "T E", "pose": "T 6", "blink": "T"}


def model_mark(model: MorphableModel) -> str:
    """Returns a short text that differs for models whose coefficients mean different things."""
    digest = hashlib.sha256()
    for array in (model.mean, model.identity_basis, model.expression_basis):
        digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    return digest.hexdigest()[:16]


def save_motion(path: str | os.PathLike, motion: Motion, model: MorphableModel) -> None:
    """Writes one clip's motion, whole or not at all.

    Args:
      path: ending in .npz.
      motion: identity [I], expression [T, E], pose [T, 6], blink [T], fps [].
      model: that it refers to.

    Raises:
      InputError: another ending, or the place cannot be written.
    """
    if not os.fspath(path).endswith(SUFFIX):
        raise InputError(f"{path}: a motion file ends in {SUFFIX}")
    arrays: dict[str, Any] = {"model": np.asarray(model_mark(model))}
    arrays |= {name: np.asarray(value, np.float32) for name, value in motion._asdict().items()}
    with atomic_path(path) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)


def load_motion(path: str | os.PathLike, model: MorphableModel) -> Motion:
    """Returns what `save_motion` wrote, in numpy arrays.

    Args:
      path: of the file.
      model: of the run that is to draw it.

    Raises:
      InputError: no such file, not a motion file, or a motion of another face model.
    """
    read_bytes(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in (*Motion._fields, "model")}
        shapes(**{name: (arrays[name], axes) for name, axes in _AXES.items()})
    except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        what = " ".join(str(error).split())
        raise InputError(
            f"{path} is not a motion file ({what}); make one with facejax animate --motion-out"
        ) from None
    if str(arrays["model"]) != model_mark(model):
        raise InputError(
            f"{path} holds a motion of another face model than the run's; make it anew with a run "
            "or data folder that has the same model.npz"
        )
    motion = Motion(**{name: arrays[name].astype(np.float32) for name in Motion._fields})
    finite = all(np.isfinite(value).all() for value in motion)
    if not finite or not len(motion.pose) or not motion.fps.shape == () or not motion.fps > 0:
        raise InputError(f"{path} is damaged: numbers that are not finite, no frame or no rate")
    return motion
