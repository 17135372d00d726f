"""The usual z-buffer in C (`zbuffer.c`), compiled on this machine and called through ctypes.

It is what facejax's rasteriser is measured against, not a part of it: nothing outside the
benchmarks needs a compiler.
"""

import ctypes
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from facejax.benchmarks import native

SOURCE = Path(__file__).with_name("zbuffer.c")
_FLOATS = np.ctypeslib.ndpointer(np.float32, flags="C_CONTIGUOUS")
_INTS = np.ctypeslib.ndpointer(np.int32, flags="C_CONTIGUOUS")


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

    Raises:
      NoCompilerError: nothing to compile with, or the compiler failed.
    """
    library, compiler = native.load(SOURCE)
    _declare(library)
    return CLoop(library, compiler)


def _declare(library: ctypes.CDLL) -> None:
    """Types of the arguments: a wrong array is refused instead of read."""
    sizes = [ctypes.c_int] * 6
    types: list[Any] = [_FLOATS, _INTS, *sizes, _FLOATS, _INTS, _FLOATS, ctypes.c_int, _FLOATS]
    library.zbuffer.argtypes, library.zbuffer.restype = types, None
