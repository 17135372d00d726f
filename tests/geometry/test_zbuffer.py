"""Coverage at its limits: centres on edges, slivers, the order of depths."""

import jax.numpy as jnp
import numpy as np
import pytest

from facejax.geometry.rasterize import mesh_topology, rasterize
from facejax.geometry.zbuffer import cover, depth_key, planes, triangles


def test_keys_are_ordered_as_depths():
    depth = np.array([-np.inf, -1e30, -2, -1e-30, 0, 1e-40, 1e-30, 1, 1.0000001, 1e30, np.inf])
    key = np.asarray(depth_key(jnp.asarray(depth, jnp.float32))).astype(np.int64)
    assert (np.diff(key) >= 0).all() and (np.diff(key)[[0, 1, 2, 3, 6, 7, 8, 9]] > 0).all()
    assert key.max() < 0xFFFFFFFF


def test_depth_of_slivers_stays_between_their_corners():
    rng = np.random.default_rng(0)
    pixel = rng.integers(10, 40, (20000, 2))
    centre, turn = pixel + 0.5, rng.uniform(0, 2 * np.pi, 20000)
    along = np.stack([np.cos(turn), np.sin(turn)], -1)
    start, end, middle = (
        centre + rng.uniform(*reach, (20000, 1)) * along for reach in ((-9, 0), (0, 9), (-1, 1))
    )
    middle += rng.normal(0, 1e-5, (20000, 2))
    z = rng.normal(size=(20000, 3))
    corners = np.concatenate([np.stack([start, end, middle], 1), z[..., None]], -1)
    screen = corners.reshape(-1, 3).astype(np.float32)
    faces = jnp.arange(60000, dtype=jnp.int32).reshape(-1, 3).T
    tri = triangles(jnp.asarray(screen), faces, 50, 50, "none")
    x, y = (pixel - np.stack([tri.boxes.first_x, tri.boxes.first_y], -1)).T
    inside, depth = cover(planes(tri), x, y)
    inside, depth = np.asarray(inside), np.asarray(depth)
    z = z.astype(np.float32)
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
