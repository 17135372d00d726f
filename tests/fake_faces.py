"""A small face model, faces of known motion, and a detector that sees what it is told."""

import numpy as np
import scipy.spatial

from facejax.face_mesh import Face
from facejax.face_topology import IBUG_68, LEFT_EYE, RIGHT_EYE
from facejax.geometry.camera import camera_from_pose, project
from facejax.geometry.morphable import MorphableModel, face_shape
from facejax.video import VideoWriter

IDENTITY, EXPRESSION, POINTS = 5, 4, 468


def make_model(seed=0):
    """468 points spread over the front of a head, with smooth random bases of a few mm."""
    rng = np.random.default_rng(seed)
    turn = np.arange(POINTS) * np.pi * (3 - np.sqrt(5))  # a sunflower: even cover of a disc
    radius = np.sqrt((np.arange(POINTS) + 0.5) / POINTS)
    x, y = 75 * radius * np.cos(turn), 95 * radius * np.sin(turn)
    mean = np.stack([x, y, 60 * np.sqrt(1.02 - radius**2)], axis=1).astype(np.float32)
    waves = rng.normal(0, 1 / 40, (IDENTITY + EXPRESSION, 3, 3))
    phases = rng.uniform(0, 2 * np.pi, (IDENTITY + EXPRESSION, 1, 3))
    basis = 3 * np.sin(np.einsum("nd,kcd->knc", mean, waves) + phases)
    basis = without_similarities(mean, basis).astype(np.float32)
    faces = scipy.spatial.Delaunay(mean[:, :2]).simplices.astype(np.int32)
    landmarks = np.array([*IBUG_68, RIGHT_EYE[0], LEFT_EYE[0]], np.int32)
    return MorphableModel(
        mean=mean,
        identity_basis=basis[:IDENTITY],
        expression_basis=basis[IDENTITY:],
        faces=faces,
        colors=np.full((POINTS, 3), 0.5, np.float32),
        points=np.arange(POINTS, dtype=np.int32),
        landmarks=landmarks,
    )


def without_similarities(mean, basis):
    """Takes out of a basis [K, N, 3] what moving, turning or scaling the mean could do."""
    spins = [np.cross(axis, mean) for axis in np.eye(3)]
    rows = [np.broadcast_to(axis, mean.shape) for axis in np.eye(3)] + spins
    rows = np.linalg.qr(np.stack([*rows, mean - mean.mean(axis=0)]).reshape(7, -1).T)[0]
    flat = basis.reshape(len(basis), -1)
    return (flat - flat @ rows @ rows.T).reshape(basis.shape)


def make_motion(frames, seed=0):
    """One identity, and smooth expressions and poses of a face well inside the picture."""
    rng = np.random.default_rng(seed)
    waves = np.sin(np.linspace(0, 4, frames)[:, None] + rng.uniform(0, 6, EXPRESSION + 6))
    pose = waves[:, EXPRESSION:] * [0.15, 0.3, 0.1, 8, 8, 60] + [0, 0, 0, 0, 0, 2100]
    return {
        "identity": np.tile(rng.normal(0, 0.5, IDENTITY), (frames, 1)).astype(np.float32),
        "expression": waves[:, :EXPRESSION].astype(np.float32),
        "pose": pose.astype(np.float32),
    }


def points_of(model, motion, size):
    """Returns [T, 468, 3] px in a frame of (height, width)."""
    shape = face_shape(model, motion["identity"], motion["expression"])
    return np.array(project(shape, camera_from_pose(motion["pose"], *size)))


def face_of(points, score=0.9):
    """A detector's face from its points [468, 3]."""
    box = np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)])
    return Face(points.astype(np.float32), score, box.astype(np.float32))


class FakeMesh:
    """Sees, call by call, the lists of faces it was given; the last list stays."""

    def __init__(self, script):
        self.script, self.calls = list(script), 0

    def faces(self, image, *, levels=4):
        del image, levels
        self.calls += 1
        return list(self.script[min(self.calls, len(self.script)) - 1])

    def track(self, image, previous=None, *, levels=4):
        del previous
        found = self.faces(image, levels=levels)
        return found[0] if found else None


def write_video(path, frames, size, fps=25, times=None, **kwargs):
    """Writes smooth noise that tells frames apart."""
    with VideoWriter(path, size, fps=fps, **kwargs) as writer:
        for k in range(frames):
            picture = np.full((*size, 3), 40 + k * 7 % 150, np.uint8)
            picture[:, : size[1] // 2, 0] += 50
            writer.write(picture, None if times is None else times[k])
    return path
