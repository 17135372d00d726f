"""A morphable model of a bulged sheet, and HeadGAN batches of noise that fit it."""

import jax
import numpy as np

from facejax.geometry.morphable import MorphableModel

SMALL = {"width": 2, "hidden": 3, "dis_width": 2, "mouth_size": 8}  # of a Config, for 16 px


def model(side=5, identities=2, expressions=3):
    rng = np.random.default_rng(0)
    u, v = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side + 1))
    mean = np.stack([60 * u, 80 * v, 40 - 20 * (u**2 + v**2)], -1).reshape(-1, 3)
    number = np.arange(len(mean)).reshape(side + 1, side)
    a, b = number[:-1, :-1].ravel(), number[:-1, 1:].ravel()
    c, d = number[1:, :-1].ravel(), number[1:, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([b, d, c], -1)])
    basis = lambda n: rng.normal(size=(n, len(mean), 3)).astype(np.float32)
    return MorphableModel(
        mean=mean.astype(np.float32),
        identity_basis=basis(identities),
        expression_basis=basis(expressions),
        faces=faces.astype(np.int32),
        colors=np.full((len(mean), 3), 0.5, np.float32),
        points=np.arange(len(mean), dtype=np.int32),
        landmarks=rng.integers(0, len(mean), 70).astype(np.int32),
    )


def motion(rng, *batch, identities=2, expressions=3):
    pose = 0.1 * rng.normal(size=(*batch, 6))
    pose[..., 3:] = [0, 0, 4 * 180]  # the image is 180 mm wide
    return {
        "identity": rng.normal(size=(*batch, identities)).astype(np.float32),
        "expression": rng.normal(size=(*batch, expressions)).astype(np.float32),
        "pose": pose.astype(np.float32),
    }


def batch(rows=2, height=16, width=20, frames=3, audio=4, seed=0):
    rng = np.random.default_rng(seed)
    image = lambda: np.tanh(rng.normal(size=(rows, height, width, 3))).astype(np.float32)
    noise = lambda *shape: rng.uniform(size=(rows, *shape)).astype(np.float32)
    return {
        "reference": image(),
        "target": image(),
        "reference_motion": motion(rng, rows),
        "driving_motion": motion(rng, rows, frames),
        "landmarks": noise(70, 2) * np.float32([width, height]),
        "audio": noise(audio),
        "mask": noise(height, width, 1),
    }


def inputs(batch, references=None):
    """What `generate` is given of a batch; of the first references only, where so asked."""
    names = ("reference", "reference_motion", "driving_motion", "audio")
    picked = {name: batch[name] for name in names}
    for name in ("reference", "reference_motion"):
        picked[name] = jax.tree.map(lambda x: x[:references], picked[name])
    return picked
