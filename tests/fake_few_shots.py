"""Batches of references, a target and a key frame that fit the sheet of `fake_headgan`."""

import numpy as np

from facejax.geometry.camera import camera_from_pose, project
from facejax.geometry.morphable import face_shape
from tests import fake_headgan

# Of a Config, for 16 px and two references.
SMALL = {
    "shots": 2, "width": 2, "most_width": 4, "downs": 2, "adaptive_levels": 1, "compose_levels": 2,
    "flow_width": 2, "flow_downs": 1, "flow_residuals": 1, "dis_width": 2, "dis_layers": 2,
    "dis_scales": 1, "spectral": False,
}  # fmt: skip


def landmarks_of(motion, side):
    """The sheet's landmarks in the image, [..., 68, 2] px."""
    model = fake_headgan.model()
    face = face_shape(model, motion["identity"], motion["expression"])
    points = project(face, camera_from_pose(motion["pose"], side, side))
    return np.asarray(points)[..., model.landmarks[:68], :2]


def batch(rows=2, count=2, side=16, seed=0):
    rng = np.random.default_rng(seed)
    image = lambda *n: np.tanh(rng.normal(size=(rows, *n, side, side, 3))).astype(np.float32)
    motions = {
        "reference": fake_headgan.motion(rng, rows, count),
        "target": fake_headgan.motion(rng, rows),
        "key": fake_headgan.motion(rng, rows),
    }
    for name in ("reference", "target"):
        same = motions["key"]["identity"]
        motions[name]["identity"] = np.broadcast_to(
            same[:, None] if name == "reference" else same, motions[name]["identity"].shape
        )
    moving = lambda name: {k: motions[name][k] for k in ("expression", "pose")}
    return {
        "references": image(count),
        "reference_landmarks": landmarks_of(motions["reference"], side),
        "reference_motion": moving("reference"),
        "matched": (np.arange(rows) % count).astype(np.float32),
        "target": image(),
        "landmarks": landmarks_of(motions["target"], side),
        "target_motion": moving("target"),
        "head": (0.1 * rng.normal(size=(rows, 6))).astype(np.float32),
        "key_frame": motions["key"]
        | {"image": image(), "head": (0.1 * rng.normal(size=(rows, 6))).astype(np.float32)},
    }


def inputs(batch, references=None):
    """What `generate` is given of a batch; of the first sets of references only, where so asked."""
    picked = {k: batch[k] for k in ("matched", "landmarks", "head")}
    shared = ("references", "reference_landmarks", "key_frame")
    first = lambda x: {k: first(v) for k, v in x.items()} if isinstance(x, dict) else x[:references]
    return picked | {name: first(batch[name]) for name in shared}
