"""Video in and out through PyAV: exact timestamps at any frame rate, streamed, never held whole.

Frames are uint8 [H, W, 3] RGB, upright (rotation and pixel aspect applied). Times are exact
rational seconds from the file's first frame (`facejax.media`).
"""

import os
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import Colorspace, VideoReformatter
from av.video.stream import VideoStream

from facejax.audio import waveform
from facejax.errors import InputError
from facejax.media import Seconds, exact, open_media, origin, seek, video_stream
from facejax.video_writer import VideoWriter

__all__ = ["VideoInfo", "VideoWriter", "has_audio", "probe", "read_audio", "read_frames"]

HD_LINES = 720  # from here on untagged colours are BT.709, below BT.601 (what players do)


DEFAULT_FPS = Fraction(25)  # of files that state neither a rate nor times
UNSPECIFIED = 2  # ITU-T H.273 code of an untagged colour space


class VideoInfo(NamedTuple):
    """What a file says of its video."""

    fps: Fraction  # frames a second; the mean where the rate varies
    frames: int  # number of frames
    duration: float  # s
    size: tuple[int, int]  # (height, width) px, upright
    has_audio: bool
    time_base: Fraction  # s; every timestamp is a multiple of it


def probe(path: str | os.PathLike, *, least_frames: int = 1) -> VideoInfo:
    """Returns what is known of a video without decoding more than its first frame.

    Args:
      path: the file.
      least_frames: fewer frames than this are refused.

    Raises:
      InputError: not a video, no video in it, cut short, damaged, or too few frames.
    """
    with open_media(path) as container:
        stream = _video(container, path)
        frames = stream.frames or sum(packet.size > 0 for packet in container.demux(stream))
        if frames < max(least_frames, 1):
            raise InputError(
                f"{path} has {frames} frame{'s' * (frames != 1)}; at least {least_frames} are due: "
                "give a longer video"
            )
        fps = stream.average_rate or stream.guessed_rate or DEFAULT_FPS
        # Some containers (MPEG) state no length, or a wrong one: never shorter than its frames.
        info = fps, frames, max(_duration(container, stream), float(frames / fps))
        has_audio, time_base = bool(container.streams.audio), Fraction(stream.time_base or 1 / fps)
    _, first = next(read_frames(path))
    return VideoInfo(*info, first.shape[:2], has_audio, time_base)


def read_frames(
    path: str | os.PathLike, start: Seconds | None = None, end: Seconds | None = None
) -> Iterator[tuple[Fraction, np.ndarray]]:
    """Yields (time, frame) for every frame with start <= time < end, times strictly increasing.

    Args:
      path: the file.
      start: s after the file's first frame; None is the beginning.
      end: s after the file's first frame; None is the end.

    Yields:
      time in s after the file's first frame (not after `start`), uint8 [H, W, 3].

    Raises:
      InputError: as `probe`; damage inside the file is met when it is reached.
    """
    with open_media(path) as container:
        stream = _video(container, path)
        stream.thread_type = "AUTO"
        zero, reformatter, last = origin(container), VideoReformatter(), None
        if start is not None:
            seek(container, start)
        count = 0
        for frame in container.decode(stream):
            time = _frame_time(frame, stream, last, zero)
            if last is not None and time <= last:  # a broken muxer's duplicate
                continue
            last = time
            if start is not None and time < exact(start):
                continue
            if end is not None and time >= exact(end):
                break
            count += 1
            yield time, _rgb(frame, stream, reformatter)
        if not count and start is None and end is None:
            raise InputError(f"{path} holds no video frame; give another file")


def read_audio(
    path: str | os.PathLike,
    rate: int = 16000,
    start: Seconds | None = None,
    end: Seconds | None = None,
) -> np.ndarray:
    """Returns the sound of a video as float32 [n] mono; empty where the file has none.

    Sample 0 sounds at `start` (default: with the first frame), whatever offset the streams have.
    """
    if not has_audio(path):
        return np.zeros(0, np.float32)
    return waveform.load(path, rate, start=start or 0, end=end)


def has_audio(path: str | os.PathLike) -> bool:
    """Says whether the file has sound."""
    with open_media(path) as container:
        return bool(container.streams.audio)


def _video(container: InputContainer, path: str | os.PathLike) -> VideoStream:
    """Returns the video stream, after checking that the file is as long as its index says."""
    stream = video_stream(container)
    if stream is None:
        raise InputError(f"{path} has no video in it; give a file with pictures")
    index, size = stream.index_entries, os.path.getsize(path)
    last = index[-1] if len(index) else None
    if last is not None and last.size and last.pos + last.size > size:
        whole = sum(entry.pos + entry.size <= size for entry in index)
        raise InputError(
            f"{path} is cut short: {whole} of its {len(index)} frames are there; "
            "copy or download it again, or re-encode what is there"
        )
    return stream


def _duration(container: InputContainer, stream: VideoStream) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1e6


def _frame_time(
    frame: av.VideoFrame, stream: VideoStream, last: Fraction | None, zero: Fraction
) -> Fraction:
    if frame.pts is not None:
        return frame.pts * Fraction(frame.time_base or 1) - zero
    period = 1 / (stream.average_rate or stream.guessed_rate or DEFAULT_FPS)
    return Fraction(0) if last is None else last + period


def _rgb(frame: av.VideoFrame, stream: VideoStream, reformatter: VideoReformatter) -> np.ndarray:
    """Returns the frame as it is meant to be seen."""
    aspect = stream.sample_aspect_ratio or 1
    untagged_hd = frame.colorspace == UNSPECIFIED and frame.height >= HD_LINES
    rgb = reformatter.reformat(
        frame,
        width=max(1, round(frame.width * aspect)),
        height=frame.height,
        format="rgb24",
        src_colorspace=Colorspace.ITU709 if untagged_hd else None,
    )
    image = rgb.to_ndarray()
    # The display matrix turns the picture counter-clockwise by `rotation` degrees, like np.rot90.
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90) % 4))
