"""The 50 Hz clock of the speech features: overlapping frames of a sound that arrives in blocks.

Row k of every feature belongs to the time k / 50 s: its frame of 25 ms begins there, in the middle
of which (k / 50 s + 12.5 ms) longer frames are centred too.
"""

from collections.abc import Iterable, Iterator

import numpy as np

RATE = 16000  # Hz
FPS = 50  # rows a second
HOP = RATE // FPS  # samples
FRAME = 400  # samples: the 25 ms of the DeepSpeech front end
GROUP = 256  # frames worked on at a time: bounds the memory


def count(samples: int) -> int:
    """Returns how many rows a sound of so many samples has.

    Every second of the frames that begin each 10 ms and cover the sound, the last one padded with
    silence: as python_speech_features counts them and DeepSpeech thins them out.
    """
    if samples == 0:
        return 0
    frames_100hz = 1 + max(0, -(-(samples - FRAME) // (HOP // 2)))
    return -(-frames_100hz // 2)


def frames(
    blocks: Iterable[np.ndarray], length: int = FRAME, lead: int = 0
) -> Iterator[np.ndarray]:
    """Yields the frames of a sound, each as soon as it is complete.

    Args:
      blocks: [n] mono sound at 16 kHz, in pieces of any size.
      length: samples in a frame, at least 320.
      lead: samples before k / 50 s at which frame k begins; before the sound there is silence.

    Yields:
      float64 [m, length], m <= GROUP; count(samples) frames altogether.
    """
    held, heard, given = np.zeros(lead), 0, 0
    for block in blocks:
        held = np.concatenate([held, block])
        heard += len(block)
        ready = max(0, (len(held) - length) // HOP + 1)
        yield from _cut(held, ready, length)
        held = held[ready * HOP :]
        given += ready
    missing = count(heard) - given
    short = (missing - 1) * HOP + length - len(held)
    yield from _cut(np.pad(held, (0, max(0, short))), missing, length)


def _cut(wave: np.ndarray, number: int, length: int) -> Iterator[np.ndarray]:
    for k in range(0, number, GROUP):
        part = wave[k * HOP : (min(k + GROUP, number) - 1) * HOP + length]
        yield np.lib.stride_tricks.sliding_window_view(part, length)[::HOP]
