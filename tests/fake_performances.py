"""Talking clips without a person: the head turns, and the mouth opens with loudness."""

import numpy as np
from scipy.spatial.transform import Rotation

from facejax.data import records
from facejax.data.expressions import Expressions
from facejax.data.head_motions import HeadMotions
from facejax.data.takes import Config, ExpressionConfig
from tests import fake_talks
from tests.data import fake

SIZE = 16  # px
SCALE = SIZE / 256  # px a millimetre of the fake face
SMALL = {"rate": 1000, "tau": 13, "frames": 6, "components": 4}  # of a Config
UPPER, LOWER = [61, 62, 63], [65, 66, 67]


def turns(frames, seed=0):
    """Rotation vectors [T, 3] of the head in the image frame; the first frame is frontal."""
    rng = np.random.default_rng([seed, 3])
    speed, size = rng.uniform(0.1, 0.3, 3), rng.uniform(0.05, 0.25, 3)
    return np.sin(np.arange(frames)[:, None] * speed) * size


def loudness(frames, seed=0):
    """In [0, 1], [T]."""
    return 0.5 + 0.5 * np.sin(np.arange(frames) * 0.7 + seed)


def landmarks(frames, seed=0):
    """Landmarks [T, 70, 3] px in the image frame."""
    arrays = fake.model_arrays()
    face = arrays["mean"][arrays["landmarks"]] * [1, -1, -1]
    faces = np.repeat(face[None], frames, axis=0)
    faces[:, LOWER, 1] += 20 * loudness(frames, seed)[:, None]
    turned = Rotation.from_rotvec(turns(frames, seed)).as_matrix()
    return (SCALE * faces @ turned.transpose(0, 2, 1) + [SIZE / 2, SIZE / 2, 0]).astype(np.float32)


def clip(clip_id="a", frames=40, seed=0, fps=25, **changes):
    """A clip of `fake_talks` with such landmarks; its sound is noise of that loudness."""
    base = fake_talks.clip(clip_id, f"who-{seed}", frames, seed=seed, fps=fps)
    count = round(frames / fps * records.AUDIO_RATE)
    envelope = np.repeat(loudness(frames, seed), -(-count // frames))[:count]
    noise = np.random.default_rng([seed, 4]).uniform(-1, 1, count)
    audio = (9000 * envelope * noise).astype(np.int16)
    return base._replace(landmarks=landmarks(frames, seed), audio=audio, **changes)


folder = fake_talks.folder


def clips():
    """Two of them: a, of 40 frames, and b, of 30."""
    return [clip("a", 40, seed=1), clip("b", 30, seed=2)]


def expressions(path, seed=0, rows=None, **changes):
    """Psi's source over a folder of such clips."""
    config = ExpressionConfig(path=str(path), **SMALL | {"noise": ""} | changes)
    return Expressions(config, seed, rows)


def head_motions(path, seed=0, rows=None, **changes):
    """Phi's source over a folder of such clips."""
    config = Config(path=str(path), **SMALL | {"batch": 2} | changes)
    return HeadMotions(config, seed, rows)
