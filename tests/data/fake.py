"""A tiny data folder: a moving disc for a head, so that tests need no data set."""

import pathlib

import cv2
import numpy as np

from facejax.data import records, shards


def model_arrays(identity=4, expression=3):
    """A flat 5 x 5 grid for a face, as the arrays of a MorphableModel."""
    rng = np.random.default_rng(7)
    grid = np.stack(np.meshgrid(np.linspace(-60, 60, 5), np.linspace(80, -80, 5)), -1)
    mean = np.concatenate([grid.reshape(-1, 2), np.zeros((25, 1))], 1).astype(np.float32)
    corner = np.array([r * 5 + c for r in range(4) for c in range(4)])
    faces = np.concatenate(
        [
            np.stack([corner, corner + 5, corner + 1], 1),
            np.stack([corner + 1, corner + 5, corner + 6], 1),
        ]
    )
    return {
        "mean": mean,
        "identity_basis": rng.normal(size=(identity, 25, 3)).astype(np.float32),
        "expression_basis": rng.normal(size=(expression, 25, 3)).astype(np.float32),
        "faces": faces.astype(np.int32),
        "colors": np.full((25, 3), 0.5, np.float32),
        "points": np.arange(9, dtype=np.int32),
        "landmarks": (np.arange(70) % 25).astype(np.int32),
    }


def clip(clip_id="a", frames=12, size=16, seed=0, silent=False):
    """A bright disc that moves with yaw; everything follows from the seed."""
    rng = np.random.default_rng(seed)
    yaw = 0.4 * np.sin(np.arange(frames) / 3 + seed)
    pose = np.zeros((frames, 6), np.float32)
    pose[:, 1], pose[:, 5] = yaw, 600
    images, centres = [], []
    background = rng.integers(0, 120, 3).tolist()
    for angle in yaw:
        x, y = size / 2 + size / 4 * np.sin(angle), size / 2
        image = np.full((size, size, 3), background, np.uint8)
        cv2.circle(image, (round(x), round(y)), size // 4, (220, 160, 120), -1)
        images.append(records.encode_frame(image))
        centres.append((x, y, 0))
    centre = np.asarray(centres, np.float32)[:, None]
    count = 0 if silent else int(frames / 25 * records.AUDIO_RATE)
    return records.Clip(
        clip_id=clip_id,
        speaker_id=f"speaker-{seed}",
        fps_num=25,
        fps_den=1,
        times=np.arange(frames) / 25,
        frames=images,
        audio=(3000 * np.sin(np.arange(count) / 9)).astype(np.int16),
        identity=np.repeat(rng.normal(size=(1, 4)), frames, 0).astype(np.float32),
        expression=rng.normal(size=(frames, 3)).astype(np.float32),
        pose=pose,
        blink=np.zeros(frames, np.float32),
        landmarks=np.repeat(centre, 70, 1),
        points=np.repeat(centre, 9, 1),
        valid=np.ones(frames, bool),
        box=np.array([0, 0, size, size], np.float32),
        source_size=np.array([size, size], np.int32),
        mask=[],
        licence="CC0-1.0",
    )


def folder(path, lengths=(12, 9, 14), size=16, test=1):
    """Writes a sealed data folder: one clip a source, the last `test` of them in split test."""
    path = pathlib.Path(path)
    for number, frames in enumerate(lengths):
        split = "test" if number >= len(lengths) - test else "train"
        name = f"clip-{number}"
        shards.write_shard(path, split, name, [clip(name, frames, size, seed=number)])
    np.savez(path / records.MODEL, **model_arrays())
    shards.seal(path)
    return path
