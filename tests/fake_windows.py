"""Batches of windows, and how two speakers look, that fit the sheet of `fake_headgan`."""

import numpy as np

from facejax.geometry import shade
from facejax.geometry.mesh import mesh_topology
from tests import fake_headgan

# Of a Config, for 16 px.
SMALL = {"width": 4, "halvings": 1, "trunk_residuals": 1, "residuals": 1, "dis_width": 2,
         "dis_scales": 2}  # fmt: skip


def frozen(height=16, width=16, speakers=2):
    """What the data of two speakers gives; the light is white and has no direction."""
    rng = np.random.default_rng(5)
    model = fake_headgan.model()
    light = np.zeros((speakers, 9, 3), np.float32)
    light[:, 0] = 1 / shade.SH_CONSTANT
    look = {
        "ids": np.array([f"speaker-{k}" for k in range(speakers)]),
        "identity": rng.normal(size=(speakers, 2)).astype(np.float32),
        "albedo": rng.uniform(size=(speakers, len(model.mean), 3)).astype(np.float32),
        "light": light,
        "reference": np.zeros((speakers, height, width, 3), np.uint8),
        "corners": mesh_topology(model.faces, len(model.mean)).corner_table,
    }
    return {"morphable": model, "appearance": look}


def motion(rng, *batch):
    """A window, or a stretch, of motion: identity [B, I], others [B, T, ...]."""
    values = fake_headgan.motion(rng, *batch)
    values["identity"] = rng.normal(size=(*batch[:-1], 2)).astype(np.float32)
    return values | {"blink": rng.uniform(0, 5, batch).astype(np.float32)}


def batch(rows=2, height=16, width=16, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "target": np.tanh(rng.normal(size=(rows, height, width, 3))).astype(np.float32),
        "motion": motion(rng, rows, 10),
        "speaker": (np.arange(rows) % 2).astype(np.float32),
    }
