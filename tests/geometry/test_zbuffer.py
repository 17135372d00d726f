"""Coverage at its limits: centres on edges, slivers, the order of depths."""

import jax.numpy as jnp
import numpy as np
import pytest

from facejax.geometry.rasterize import mesh_topology, rasterize
from facejax.geometry.zbuffer import Corners, cover, depth_key


def test_keys_are_ordered_as_depths():
    depth = np.array([-np.inf, -1e30, -2, -1e-30, 0, 1e-40, 1e-30, 1, 1.0000001, 1e30, np.inf])
    key = np.asarray(depth_key(jnp.asarray(depth, jnp.float32))).astype(np.int64)
    assert (np.diff(key) >= 0).all() and (np.diff(key)[[0, 1, 2, 3, 6, 7, 8, 9]] > 0).all()
    assert key.max() < 0xFFFFFFFF


def test_depth_of_slivers_stays_between_their_corners():
    rng = np.random.default_rng(0)
    start, end = rng.uniform(0, 50, (2, 20000, 2))
    middle = start + rng.uniform(size=(20000, 1)) * (end - start)
    middle += rng.normal(0, 1e-5, (20000, 2))
    corners = np.stack([start, end, middle], 1).astype(np.float32)
    pixel = (start + rng.uniform(size=(20000, 1)) * (end - start)).astype(np.float32)
    z = rng.normal(size=(20000, 3)).astype(np.float32)
    x, y = (Corners(*corners[..., axis].T) for axis in range(2))
    inside, depth = cover(*pixel.T, x, y, Corners(*z.T))
    inside, depth = np.asarray(inside), np.asarray(depth)
    assert inside.sum() > 100
    assert (depth >= z.min(1))[inside].all() and (depth <= z.max(1))[inside].all()


def turned(degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, s], [-s, c]])


SHEETS = {  # without the tolerance of zbuffer.py four of these have 1 to 416 holes
    "corners on pixel centres": (np.eye(2), 0.5),
    "seven tenths": (np.eye(2) * 0.7, 0.0),
    "thirds": (np.eye(2) / 3, 0.0),
    "stretched to the image": (np.diag([63 / 39, 47 / 39]), 0.0),
    "turned by 45 degrees": (turned(45) * np.sqrt(0.5), 20.3),
    "turned by 30 degrees": (turned(30), 20.0),
}


@pytest.mark.parametrize("sheet", SHEETS)
def test_sheets_have_no_holes(sheet):
    matrix, shift = SHEETS[sheet]
    index = np.arange(1600).reshape(40, 40)
    xy = np.stack([index % 40, index // 40], -1).reshape(-1, 2)
    a, b, c, d = (index[i : 39 + i, j : 39 + j].ravel() for i in (0, 1) for j in (0, 1))
    faces = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    corners = np.array([[0, 0], [39, 0], [39, 39], [0, 39]])
    flat = np.concatenate([xy, corners]) @ matrix + shift
    screen = np.pad(flat[:-4], ((0, 0), (0, 1))).astype(np.float32)
    ids = rasterize(screen, mesh_topology(faces, len(screen)), 48, 64)
    outline = flat[-4:]
    y, x = np.mgrid[:48, :64] + 0.5
    inside = np.ones((48, 64), bool)
    for (ax, ay), (bx, by) in zip(outline, np.roll(outline, -1, 0), strict=True):
        inside &= (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 1e-3
    assert inside.sum() > 100
    assert (np.asarray(ids)[inside] >= 0).all()
