"""Files in and out: whole or not at all, and images checked at the door.

Every output is written beside its final place and renamed when complete, so that a full disk, a
Ctrl-C or a crash never leaves half a file under the name the user asked for.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from facejax.errors import InputError

LEAST_SIDE = 16  # px: nothing smaller can hold a face
MOST_PIXELS = 64_000_000  # 8000 x 8000: above it memory, not the face, decides
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
KINDS = "PNG, JPEG, WebP, BMP or TIFF"

_WRITE_ERRORS = {
    errno.ENOSPC: "the disk is full; free some space or choose another place",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another place",
    errno.EFBIG: "the file would exceed the largest size allowed here; choose another place",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.EACCES: "permission denied; choose a place that you may write to",
    errno.EPERM: "permission denied; choose a place that you may write to",
    errno.ENOENT: "a folder on the way to it has vanished; create it and run again",
    errno.EISDIR: "it is a folder; give a file name",
}
_ALWAYS_OURS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def check_parent(path: str | os.PathLike) -> Path:
    """Returns `path`, after checking that the folder it will be written into exists.

    Raises:
      InputError: the folder is missing or is a file.
    """
    path = Path(path)
    parent = path.absolute().parent
    if not parent.exists():
        raise InputError(f"cannot write {path}: no folder {parent}; create it: mkdir -p {parent}")
    if not parent.is_dir():
        raise InputError(f"cannot write {path}: {parent} is a file, not a folder")
    return path


@contextlib.contextmanager
def write_errors(path: str | os.PathLike, inside: str | os.PathLike = "") -> Iterator[None]:
    """Turns the system's refusals to write `path` into InputErrors; others pass unchanged.

    A full disk is always ours. A missing or forbidden file is ours only when the error names
    `inside` (default: `path`) or something below it: it may as well be an input of the caller's.
    """
    ours = os.path.abspath(inside or path)
    try:
        yield
    except OSError as error:
        named = os.path.abspath(error.filename) if isinstance(error.filename, str) else ""
        if error.errno in _ALWAYS_OURS or (error.errno in _WRITE_ERRORS and named.startswith(ours)):
            raise InputError(f"cannot write {path}: {_WRITE_ERRORS[error.errno]}") from error
        raise


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a sibling of `path` to write a file or a folder to; renames it when the block ends.

    The sibling keeps the suffix (writers choose the format by it). When the block raises, it is
    removed and `path` stays as it was.

    Raises:
      InputError: the parent folder is missing, or the system refused to write (disk full, ...).
    """
    path = check_parent(path)
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder; give another name, or remove it")
    partial = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        with write_errors(path, inside=partial):
            yield partial
            os.replace(partial, path)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def read_bytes(path: str | os.PathLike) -> bytes:
    """Returns the bytes of an input file.

    Raises:
      InputError: it is missing, a folder, empty, or not readable by this user.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"no file {path}; check the path (current folder: {Path.cwd()})")
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a file")
    try:
        data = path.read_bytes()
    except PermissionError as error:
        raise InputError(f"cannot read {path}: permission denied") from error
    if not data:
        raise InputError(f"{path} is empty (0 bytes); give a whole file")
    return data


def read_image(path: str | os.PathLike, *, least: int = LEAST_SIDE) -> np.ndarray:
    """Returns an image file as uint8 [H, W, 3] RGB, upright (EXIF orientation applied for JPEG).

    Grayscale is repeated over the channels, transparency is composited on white, 16-bit and
    floating-point images are brought to 8 bits.

    Args:
      path: the file.
      least: smallest side accepted, px.

    Raises:
      InputError: missing, not an image, cut short, smaller than `least`, over MOST_PIXELS.
    """
    data = read_bytes(path)
    height, width = _header_size(path, data)
    _check_size(path, height, width, least)
    is_jpeg = data.startswith(b"\xff\xd8")
    flags = cv2.IMREAD_COLOR if is_jpeg else cv2.IMREAD_UNCHANGED
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise InputError(f"{path} is not an image that can be read; give a {KINDS} file")
    height, width = image.shape[:2]
    _check_size(path, height, width, least)
    return _to_rgb(image)


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes uint8 [H, W, 3] RGB or [H, W] to `path`, in the format of its suffix, atomically.

    Raises:
      InputError: the suffix is of no known image format, or the place cannot be written.
      ValueError: the array is not an 8-bit image.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise ValueError(f"image is {image.dtype} {image.shape}; due: uint8 [H, W, 3] or [H, W]")
    suffix = Path(path).suffix.lower()
    pixels = np.ascontiguousarray(image[..., ::-1] if image.ndim == 3 else image)
    if suffix not in IMAGES:
        raise InputError(f"cannot write {path}: {suffix or 'no suffix'} is no image; use .png")
    _, data = cv2.imencode(suffix, pixels)
    with atomic_path(path) as partial:
        partial.write_bytes(data.tobytes())


def _to_rgb(image: np.ndarray) -> np.ndarray:
    """Returns uint8 RGB from whatever OpenCV decoded (gray, BGR or BGRA; 8, 16 bits or float)."""
    if image.dtype == np.uint16:
        image = (image / 257).round().astype(np.uint8)
    elif image.dtype != np.uint8:
        image = (np.clip(np.nan_to_num(image), 0, 1) * 255).round().astype(np.uint8)
    if image.ndim == 2:
        return np.repeat(image[..., None], 3, axis=-1)
    color = image[..., :3][..., ::-1] if image.shape[-1] >= 3 else image[..., :1].repeat(3, -1)
    if image.shape[-1] in (2, 4):
        alpha = image[..., -1:].astype(np.float32) / 255
        color = (color * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
    return np.ascontiguousarray(color)


def _check_size(path: str | os.PathLike, height: int, width: int, least: int) -> None:
    if height * width > MOST_PIXELS:
        raise InputError(
            f"{path} is {width}x{height} px, over the limit of {MOST_PIXELS // 10**6} megapixels; "
            "shrink it first, for example to 4096 px on its longer side"
        )
    if height * width > 0 and min(height, width) < least:
        raise InputError(
            f"{path} is {width}x{height} px; at least {least}x{least} px are needed: "
            "give a larger image"
        )


def _header_size(path: str | os.PathLike, data: bytes) -> tuple[int, int]:
    """Returns (height, width) as a PNG or JPEG states it before any decoding; (0, 0) for others."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        if b"IEND" not in data:
            raise InputError(f"{path} is cut short (no end mark); copy or download it again")
        return int.from_bytes(data[20:24]), int.from_bytes(data[16:20])
    if data.startswith(b"\xff\xd8"):
        return _jpeg_size(path, data)
    return 0, 0


def _jpeg_size(path: str | os.PathLike, data: bytes) -> tuple[int, int]:
    """Walks the segments of a JPEG (ITU T.81 annex B) to its frame header and its end mark."""
    height = width = 0
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height = int.from_bytes(data[at + 5 : at + 7])
            width = int.from_bytes(data[at + 7 : at + 9])
        at += 2 + length
        if marker == 0xDA:  # the pixels follow; an end mark cannot occur inside them
            if data.find(b"\xff\xd9", at) < 0:
                raise InputError(f"{path} is cut short (no end mark); copy or download it again")
            break
    return height, width
