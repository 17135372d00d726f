"""The usual z-buffer in C (`zbuffer.c`), compiled on this machine and called through ctypes.

It is what facejax's rasteriser is measured against, not a part of it: nothing outside the
benchmarks needs a compiler.
"""

import ctypes
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from facejax.files import atomic_path
from facejax.weights import cache_dir

SOURCE = Path(__file__).with_name("zbuffer.c")
FLAGS = ("-O3", "-std=c11", "-fPIC", "-shared")
_FLOATS = np.ctypeslib.ndpointer(np.float32, flags="C_CONTIGUOUS")
_INTS = np.ctypeslib.ndpointer(np.int32, flags="C_CONTIGUOUS")


class NoCompilerError(RuntimeError):
    """There is no C compiler here, or it refused; the message says which, in one line."""


class CLoop(NamedTuple):
    """The compiled loop and what compiled it."""

    library: Any
    compiler: str  # its first line of --version

    def ids(
        self, screen: np.ndarray, faces: np.ndarray, size: tuple[int, int], *, careful: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns triangle numbers (int32, -1 = empty) and depths, both [B, H, W].

        Args:
          screen: [B, V, 3] float32, pixels, smaller z is nearer.
          faces: [F, 3] int32.
          size: (H, W).
          careful: the loop whose inner part is stripped of what a triangle's pixels share.
        """
        return self._draw(screen, faces, size, careful, np.empty((0, 0), np.float32))[:2]

    def render(
        self, screen: np.ndarray, faces: np.ndarray, colors: np.ndarray, size: tuple[int, int]
    ) -> np.ndarray:
        """Returns interpolated vertex colours [V, C] as an image [B, H, W, C] float32."""
        return self._draw(screen, faces, size, False, colors)[2]

    def _draw(
        self,
        screen: np.ndarray,
        faces: np.ndarray,
        size: tuple[int, int],
        careful: bool,
        colors: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns ids, depths and images, of no channel where there are no colours."""
        (frames, vertices, _), channels = screen.shape, colors.shape[1]
        depth = np.empty((frames, *size), np.float32)
        ids = np.empty((frames, *size), np.int32)
        image = np.empty((frames, *size, channels), np.float32)
        sizes = (frames, vertices, len(faces), *size, careful)
        self.library.zbuffer(screen, faces, *sizes, depth, ids, colors, channels, image)
        return ids, depth, image


def load() -> CLoop:
    """Returns the loop, compiled unless the cache holds it already.

    The compiler is $CC, else cc; the cache is the one of `facejax weights`.

    Raises:
      NoCompilerError: nothing to compile with, or the compiler failed.
    """
    compiler = shutil.which(os.environ.get("CC") or "cc")
    if compiler is None:
        raise NoCompilerError(f"no C compiler: {os.environ.get('CC') or 'cc'} is not installed")
    version = _output([compiler, "--version"]).split("\n")[0]
    recipe = "\n".join((version, *FLAGS, SOURCE.read_text()))
    name = f"zbuffer-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.so"
    path = cache_dir() / "bench" / name
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as partial:
                _output([compiler, *FLAGS, str(SOURCE), "-o", str(partial), "-lm"])
        library = ctypes.CDLL(str(path))
    except (OSError, ValueError) as error:
        raise NoCompilerError(f"the C loop cannot be kept or loaded: {error}") from error
    _declare(library)
    return CLoop(library, version)


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or [f"exit status {error.returncode}"])[0]
        raise NoCompilerError(f"{command[0]} failed: {reason}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoCompilerError(f"{command[0]} failed: {error}") from error
    return done.stdout


def _declare(library: ctypes.CDLL) -> None:
    """Types of the arguments: a wrong array is refused instead of read."""
    sizes = [ctypes.c_int] * 6
    types: list[Any] = [_FLOATS, _INTS, *sizes, _FLOATS, _INTS, _FLOATS, ctypes.c_int, _FLOATS]
    library.zbuffer.argtypes, library.zbuffer.restype = types, None
