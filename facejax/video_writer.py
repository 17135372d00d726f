"""Video out: H.264 and AAC, every frame at the exact time it is due, sound muxed as it goes.

Nothing grows with the length: pictures are encoded as they come, and the sound is read and encoded
up to the time that the pictures have reached.
"""

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soxr
from av.video.reformatter import Colorspace, VideoReformatter

from facejax.audio import waveform
from facejax.errors import InputError
from facejax.files import atomic_path, check_parent, write_errors
from facejax.media import Seconds, exact

SUFFIXES = (".mp4", ".m4v", ".mov")  # Matroska rounds every time to a millisecond
QUALITY = "18"  # x264's constant rate factor: visually lossless
AAC_BLOCK = 1024  # samples in a frame of AAC
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
BT709, LIMITED = 1, 1  # ITU-T H.273 codes of the colours written

Sound = str | os.PathLike | tuple[np.ndarray, int]


class VideoWriter:
    """Writes frames to a video file, which appears under its name when the block ends well.

    Example:
      with VideoWriter("talk.mp4", (256, 256), fps=Fraction(25), audio="driving.mp4") as writer:
          writer.write(frame)
    """

    def __init__(
        self,
        path: str | os.PathLike,
        size: tuple[int, int],
        *,
        fps: Fraction | int,
        time_base: Fraction | None = None,
        audio: Sound | None = None,
        audio_start: Seconds = 0,
    ):
        """Takes the form of the video; nothing is written before the block begins.

        Args:
          path: .mp4, .m4v or .mov.
          size: (height, width) px; an odd side is made even by repeating its last line.
          fps: frames a second, the mean where the rate varies.
          time_base: s; times given to `write` are rounded to multiples of it. Default: 1 / fps.
          audio: a file with sound, or (float [n] or [n, C] in [-1, 1], rate in Hz); None is silent.
          audio_start: s after the origin of the sound that coincides with time 0 of the video.

        Raises:
          InputError: unknown suffix, missing folder. On entering: a sound file without sound.
            Any time: the system refuses to write.
        """
        self._path = check_path(path)
        self._size = tuple(size)
        self._fps = Fraction(fps)
        self._time_base = Fraction(time_base or 1 / self._fps)
        self._period = max(1, round(1 / self._fps / self._time_base))
        self._audio_source, self._audio_start = audio, audio_start
        self._pending: tuple[int, np.ndarray] | None = None  # (pts, frame): its duration is open

    def __enter__(self) -> "VideoWriter":
        self._context = self._opened()
        self._context.__enter__()
        return self

    def __exit__(self, *error) -> bool | None:
        return self._context.__exit__(*error)

    def write(self, image: np.ndarray, time: Seconds | None = None) -> None:
        """Adds uint8 [H, W, 3] RGB, seen from `time` s on (default: 1 / fps after the last).

        Raises:
          ValueError: another size or type, or a time that does not come after the last one.
        """
        if image.dtype != np.uint8 or image.shape != (*self._size, 3):
            raise ValueError(f"image is {image.dtype} {image.shape}; due: uint8 {*self._size, 3}")
        last = self._pending[0] if self._pending else -self._period
        pts = last + self._period if time is None else round(Fraction(time) / self._time_base)
        if self._pending and pts <= last:
            raise ValueError(f"time {time} s does not come after the last frame's")
        self._flush(pts)
        self._pending = pts, image

    @contextlib.contextmanager
    def _opened(self) -> Iterator[None]:
        source = self._audio_source
        sound = None if source is None else _Sound(source, self._audio_start)
        with (
            atomic_path(self._path) as partial,
            write_errors(self._path),
            av.open(os.fspath(partial), "w", options={"movflags": "faststart"}) as container,
        ):
            self._container, self._sound = container, sound
            self._add_streams()
            yield
            if self._pending is None:
                raise ValueError("no frame was written")
            end = self._pending[0] + self._period
            self._flush(end)
            container.mux(self._video.encode())
            if sound is not None:
                self._mux_sound(end * self._time_base, last=True)
                container.mux(self._audio.encode())

    def _add_streams(self) -> None:
        height, width = (side + side % 2 for side in self._size)
        self._reformatter = VideoReformatter()
        self._video = self._container.add_stream("libx264", rate=self._fps)
        self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
        self._video.options = {"crf": QUALITY}
        context = self._video.codec_context
        context.time_base = self._time_base
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        if self._sound is not None:
            self._audio = self._container.add_stream("aac", rate=self._sound.rate)
            self._audio.layout = self._sound.layout

    def _flush(self, until: int) -> None:
        """Encodes the pending frame, shown until pts `until`, and the sound up to then."""
        if self._pending is None:
            return
        pts, image = self._pending
        pad = [(0, side % 2) for side in self._size]
        rgb = av.VideoFrame.from_ndarray(np.pad(image, [*pad, (0, 0)], mode="edge"), "rgb24")
        frame = self._reformatter.reformat(
            rgb, format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=LIMITED
        )
        frame.pts, frame.time_base, frame.duration = pts, self._time_base, until - pts
        self._container.mux(self._video.encode(frame))
        if self._sound is not None:
            self._mux_sound(until * self._time_base)

    def _mux_sound(self, until: Fraction, *, last: bool = False) -> None:
        assert self._sound is not None
        for frame in self._sound.frames(until, last=last):
            self._container.mux(self._audio.encode(frame))


def check_path(path: str | os.PathLike) -> Path:
    """Returns the path of a video to write.

    Raises:
      InputError: unknown suffix, or a missing folder.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise InputError(f"cannot write {path}: the name must end in {', '.join(SUFFIXES)}")
    return check_parent(path)


class _Sound:
    """Cuts a file's or an array's sound into AAC frames, stamped by counting samples."""

    def __init__(self, source: Sound, start: Seconds):
        self._blocks = _blocks(source, start)
        rate, first = next(self._blocks, (waveform.RATE, np.zeros((0, 1), np.float32)))
        self.rate = rate if rate in AAC_RATES else 48000
        self.layout = "mono" if first.shape[1] == 1 else "stereo"
        self._resample = None
        if self.rate != rate:
            self._resample = soxr.ResampleStream(rate, self.rate, first.shape[1], dtype="float32")
        self._held = self._converted(first)
        self._done = 0  # samples given out

    def frames(self, until: Fraction, *, last: bool = False) -> Iterator[av.AudioFrame]:
        """Yields the whole AAC frames that end by `until` s; with `last` the rest, too."""
        due = round(until * self.rate)
        while self._done + len(self._held) < due:
            block = next(self._blocks, None)
            if block is None:
                break
            self._held = np.concatenate([self._held, self._converted(block[1])])
        while len(self._held):
            size = min(AAC_BLOCK, due - self._done, len(self._held))
            if size <= 0 or (size < AAC_BLOCK and not last):
                return
            yield self._frame(self._held[:size])
            self._held = self._held[size:]

    def _converted(self, block: np.ndarray) -> np.ndarray:
        return block if self._resample is None else self._resample.resample_chunk(block)

    def _frame(self, block: np.ndarray) -> av.AudioFrame:
        planes = np.ascontiguousarray(block.T)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=self.layout)
        frame.sample_rate, frame.pts = self.rate, self._done
        frame.time_base = Fraction(1, self.rate)
        self._done += len(block)
        return frame


def _blocks(source: Sound, start: Seconds) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (rate, float32 [n, C]) from the sample at `start` on."""
    if not isinstance(source, tuple):
        yield from waveform.read_blocks(source, start=start)
        return
    wave, rate = np.asarray(source[0], np.float32), source[1]
    wave = wave[:, None] if wave.ndim == 1 else wave
    wave = wave[round(exact(start) * rate) :]
    for first in range(0, len(wave), rate):
        yield rate, wave[first : first + rate]
