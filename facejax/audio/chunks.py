"""Raw sound cut to the frames of a video, as Rhythmic Head Motion hears it.

A chunk is the sound of one frame, 0.04 s at 25 frames a second; a frame is heard with the three
chunks before it and the three after, x_{t-3:t+4} (Chen et al., ECCV 2020, section 3.2). Beyond
either end of a sound its own first and last chunks are repeated, as the authors do.
"""

import numpy as np

from facejax.errors import InputError
from facejax.nets.rhythmic_motion import WINDOW

AROUND = WINDOW // 2  # chunks before a frame, and as many after it


def samples_a_frame(rate: float, fps: float) -> int:
    """Returns the samples in a chunk.

    Raises:
      InputError: they are no whole number.
    """
    count = round(rate / fps)
    if count < 1 or abs(count * fps - rate) > 1e-6 * rate:
        raise InputError(
            f"a frame has {rate / fps:.4g} samples of sound ({rate:g} Hz at {fps:g} frames a "
            "second); due: a whole number, as at 25 frames a second; set data.fps or data.rate"
        )
    return count


def count(samples: int, size: int) -> int:
    """Returns how many frames go with a sound: the nearest whole number."""
    return (samples + size // 2) // size


def padded_chunks(wave: np.ndarray, size: int, frames: int) -> np.ndarray:
    """Returns the chunks of `frames` frames and those around them, [frames + 6, size].

    Rows t to t + 6 are what frame t is heard with. A sound that is too short is filled up with
    silence before its ends are repeated.

    Args:
      wave: [n].
      size: samples in a chunk.
      frames: at least 1.
    """
    wave = wave[: frames * size]
    wave = np.pad(wave, (0, frames * size - len(wave))).reshape(frames, size)
    head, tail = wave[:AROUND], wave[-AROUND:]
    lack = AROUND - len(head)  # of sounds of one or two frames
    before = np.pad(head, ((lack, 0), (0, 0)))
    after = np.pad(tail, ((0, lack), (0, 0)))
    return np.concatenate([before, wave, after])


def windows(chunks: np.ndarray) -> np.ndarray:
    """Returns padded chunks [..., T + 6, n] as windows [..., T, 7 n], one after another in time."""
    frames = chunks.shape[-2] - WINDOW + 1
    near = np.arange(frames)[:, None] + np.arange(WINDOW)
    return chunks[..., near, :].reshape(*chunks.shape[:-2], frames, -1)
