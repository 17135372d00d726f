"""Talking clips without a person: loudness drives the expression, and each speaker has a pose."""

import pathlib

import numpy as np

from facejax.data import records, shards
from tests.data import fake

# Of a system that trains in seconds.
TINY = {
    "encoder_widths": (2, 3, 4, 4),
    "width": 4,
    "local_widths": (3, 3, 4, 4),
    "features": 3,
    "dis_width": 2,
}


def clip(clip_id="a", speaker="ann", frames=40, seed=0, fps=25, silent=False):
    """A clip of `data.fake` in which expression 0 is the loudness of noise."""
    rng = np.random.default_rng([seed, 1])
    base = fake.clip(clip_id, frames, 16, seed=seed)
    loud = 0.5 + 0.5 * np.sin(np.arange(frames) * 0.7 + seed)
    count = round(frames / fps * records.AUDIO_RATE)
    envelope = np.interp(np.arange(count) / records.AUDIO_RATE, np.arange(frames) / fps, loud)
    expression = rng.normal(0, 0.1, (frames, 3))
    expression[:, 0] = loud
    pose = rng.normal(0, [0.1, 0.2, 0.05, 5, 5, 20], (frames, 6))
    pose += np.array([0.1, -0.2, 0.3, 4, -6, 600]) * (1 + len(speaker))
    return base._replace(
        speaker_id=speaker,
        fps_num=fps,
        times=np.arange(frames) / fps,
        audio=(0 if silent else 1) * (9000 * envelope * rng.uniform(-1, 1, count)).astype(np.int16),
        expression=expression.astype(np.float32),
        pose=pose.astype(np.float32),
        blink=rng.uniform(0, 5, frames).astype(np.float32),
        identity=rng.normal(size=(frames, 4)).astype(np.float32),
    )


def folder(path, clips):
    """Writes a sealed data folder of {split: clips}."""
    path = pathlib.Path(path)
    for split, members in clips.items():
        for member in members:
            shards.write_shard(path, split, f"{split}-{member.clip_id}", [member])
    np.savez(path / records.MODEL, **fake.model_arrays())
    shards.seal(path)
    return str(path)


def facial_arrays(frames=40, seed=0):
    """The arrays of a file in the layout that FACIAL published."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, 5, (frames + 15, 29)).astype(np.float32)
    rows[:8], rows[frames + 8 :] = 0, 0
    face = rng.normal(size=(frames, 71)).astype(np.float32)
    face[:, 3] += 170
    windows = rows[np.arange(frames)[:, None] + np.arange(16)]
    return {"deepspeech": windows, "face": face}
