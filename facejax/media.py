"""Opening video and sound files: the one place where FFmpeg's refusals become InputErrors.

Times are exact rational seconds from the file's origin: the first video frame, or the first sample
of a file without video. Sound and pictures share that clock.
"""

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from facejax.errors import InputError

Seconds = float | Fraction


@contextlib.contextmanager
def open_media(path: str | os.PathLike) -> Iterator[InputContainer]:
    """Yields an open container; FFmpeg's errors inside the block become InputErrors.

    Raises:
      InputError: missing, a folder, empty, not a video or sound file, cut short or damaged.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"no file {path}; check the path (current folder: {Path.cwd()})")
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a video or sound file")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes); give a whole file")
    try:
        container = av.open(os.fspath(path))
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise InputError(_refusal(path, error)) from error
    with container:
        if container.format.name == "tty":  # FFmpeg draws any *.txt as a terminal film
            raise InputError(f"{path} is a text file, not a video or sound file")
        try:
            yield container
        except av.error.FFmpegError as error:
            raise InputError(
                f"{path} is damaged and cannot be decoded to its end ({_reason(error)}); "
                "copy or download it again, or re-encode it"
            ) from error


def video_stream(container: InputContainer) -> VideoStream | None:
    """Returns the first video stream that is not a cover picture, or None."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    return None


def origin(container: InputContainer) -> Fraction:
    """Returns the time stamp, in s, of the file's first video frame (or first sample)."""
    streams = [video_stream(container), *container.streams.audio]
    for stream in streams:
        if stream is not None and stream.time_base is not None:
            return (stream.start_time or 0) * Fraction(stream.time_base)
    return Fraction(0)


def exact(time: Seconds) -> Fraction:
    """Returns `time` in s as the simple fraction it was meant to be (6.4 -> 32/5)."""
    return Fraction(time).limit_denominator(10**6)


def seek(container: InputContainer, start: Seconds) -> None:
    """Moves to a key frame safely before `start` s after the origin (the caller drops the rest)."""
    # One second of margin: containers index decoding time, which precedes presentation time.
    target = exact(start) + origin(container) - 1
    if exact(start) > 1:
        container.seek(int(target * 1_000_000), backward=True)


def _refusal(path: Path, error: Exception) -> str:
    data = path.open("rb").read(1 << 12)
    if isinstance(error, PermissionError):
        return f"cannot read {path}: permission denied"
    if b"\0" not in data and _is_text(data):
        return f"{path} is a text file, not a video or sound file"
    if data[4:8] in (b"ftyp", b"moov", b"mdat"):
        return (
            f"{path} is cut short: its index is missing, no frame can be read; "
            "copy or download it again"
        )
    return f"{path} is not a video or sound file that can be read ({_reason(error)})"


def _is_text(data: bytes) -> bool:
    try:
        data[:-4].decode("utf-8")  # the last bytes may be half a character
    except UnicodeDecodeError:
        return False
    return True


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).split(";")[0].lower()
