"""Waveforms in: any container PyAV reads, on the clock of the file's video, streamed or whole."""

import os
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
import soxr

from facejax.errors import InputError
from facejax.media import Seconds, exact, open_media, origin, seek

RATE = 16000  # Hz, mono: what every speech feature of facejax works on
JITTER = Fraction(1, 50)  # s: timestamps this close to the running sample count are rounding


def read_blocks(
    path: str | os.PathLike, *, start: Seconds = 0, end: Seconds | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (rate, block) with the sound from `start` to `end`, gap-free, at its own rate.

    The first sample sounds exactly at `start` s after the file's origin (its first video frame):
    what comes earlier is cut, what is missing (a late stream, a lost packet) is silence, so that
    sample n always sounds at start + n / rate.

    Yields:
      rate in Hz; float32 [n, C] in [-1, 1], C = 1 or 2 (more channels are mixed down to 2).

    Raises:
      InputError: the file has no sound, or cannot be decoded.
    """
    with open_media(path) as container:
        if not container.streams.audio:
            raise InputError(f"{path} has no sound; give a file with an audio track")
        stream = container.streams.audio[0]
        rate, channels = stream.rate, min(stream.channels, 2)
        layout = "mono" if channels == 1 else "stereo"
        convert = av.AudioResampler(format="flt", layout=layout, rate=rate)
        zero = origin(container) + exact(start)
        limit = None if end is None else max(0, round((exact(end) - exact(start)) * rate))
        seek(container, start)
        done = 0
        for frame in container.decode(stream):
            for piece in convert.resample(frame):
                block = piece.to_ndarray().reshape(-1, channels)
                if stream.channels > 2:  # the sum of several may leave the range
                    block = block.clip(-1, 1)
                block = _placed(block, _sample_index(piece, zero, done), done, rate)
                if limit is not None:
                    block = block[: limit - done]
                done += len(block)
                if len(block):
                    yield rate, block
            if limit is not None and done >= limit:
                return


def load(
    path: str | os.PathLike,
    rate: int = RATE,
    *,
    start: Seconds = 0,
    end: Seconds | None = None,
) -> np.ndarray:
    """Returns the sound from `start` to `end` s as float32 [n] mono at `rate` Hz.

    Channels are averaged and resampled while reading (soxr, high quality, band limited).

    Raises:
      InputError: the file has no sound, or cannot be decoded.
    """
    pieces = load_blocks(path, rate, start=start, end=end)
    return np.concatenate([np.zeros(0, np.float32), *pieces])


def load_blocks(
    path: str | os.PathLike,
    rate: int = RATE,
    *,
    start: Seconds = 0,
    end: Seconds | None = None,
) -> Iterator[np.ndarray]:
    """Yields what `load` returns in pieces of any size, never holding the whole."""
    stream = None
    for source_rate, block in read_blocks(path, start=start, end=end):
        stream = stream or soxr.ResampleStream(source_rate, rate, 1, dtype="float32")
        yield stream.resample_chunk(block.mean(axis=1))
    if stream is not None:
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def resample(wave: np.ndarray, source_rate: int, rate: int = RATE) -> np.ndarray:
    """Returns `wave` [n] or [n, C] at `rate` Hz (soxr, high quality)."""
    if source_rate == rate:
        return np.asarray(wave, np.float32)
    return soxr.resample(np.asarray(wave, np.float32), source_rate, rate).astype(np.float32)


def _sample_index(piece: av.AudioFrame, zero: Fraction, done: int) -> int:
    """Returns where the piece begins, in samples after `zero`."""
    if piece.pts is None or piece.time_base is None:
        return done
    return round((piece.pts * Fraction(piece.time_base) - zero) * piece.sample_rate)


def _placed(block: np.ndarray, first: int, done: int, rate: int) -> np.ndarray:
    """Returns what follows the `done` samples given so far, of a block stamped for `first`."""
    late = first - done
    if done and abs(late) <= JITTER * rate:
        return block
    if late > 0:
        silence = np.zeros((late, block.shape[1]), block.dtype)
        return np.concatenate([silence, block])
    return block[-late:]
