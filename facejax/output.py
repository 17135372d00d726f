"""Pictures out: a video at the times and with the sound of a driver."""

import os
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from facejax.drivers import Driver
from facejax.progress import progress
from facejax.video_writer import VideoWriter


class Summary(NamedTuple):
    """What was made."""

    frames: int
    seconds: float
    fps: float
    sound: bool
    adapted: bool
    rate: float  # frames made in a second


def write_pictures(
    out: str | os.PathLike, pictures: Iterator[np.ndarray], driver: Driver
) -> Summary:
    """Writes pictures, uint8 [H, W, 3], at the times of a driver and with its sound.

    Raises:
      InputError: the output place will not do.
    """
    began = time.perf_counter()
    first = next(pictures)
    with VideoWriter(
        out,
        first.shape[:2],
        fps=driver.fps,
        time_base=driver.time_base,
        audio=driver.sound,
        audio_start=driver.sound_start,
    ) as writer:
        total = len(driver.times)
        for k, picture in enumerate(progress(_again(first, pictures), total, "animate")):
            writer.write(picture, float(driver.times[k]))
    length = float(driver.times[-1] + 1 / driver.fps)
    rate = total / (time.perf_counter() - began)
    return Summary(total, length, float(driver.fps), driver.sound is not None, False, rate)


def _again(first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from rest
