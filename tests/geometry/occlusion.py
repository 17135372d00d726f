"""Scenes with occlusion edges, and the true derivatives of images of them by supersampling."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.benchmarks import meshes
from facejax.geometry.mesh import mesh_topology
from facejax.geometry.rasterize import fragments, interpolate, rasterize

SAMPLES = 8  # a side of a pixel
STEP = 0.5  # px, of central differences
# Name of the face -> grid points a side, image size. At 56 px the triangles of the sub-pixel one
# are as small, 0.3 px^2, as those of the dense one.
FACES = {
    "2k small": (meshes.SIDES["coarse-2k"], 128),
    "sub-pixel": (meshes.SIDES["coarse-5k"], 56),
    "2k": (meshes.SIDES["coarse-2k"], 256),
    "5k": (meshes.SIDES["coarse-5k"], 256),
    "106k": (meshes.SIDES["dense-106k"], 256),
}
FACE_PARAMETERS = [
    "2k small",
    "sub-pixel",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("2k", "5k", "106k")),
]
BALL = (24, 96)  # grid points a side, image size
MOTIONS = ("x", "scale", "cheek")


def weight(size, samples=1):
    """Smooth weights of a loss at the centres of samples, [n, n] float32, per pixel of area."""
    y, x = (np.mgrid[: size * samples, : size * samples] + 0.5) * (256 / (size * samples))
    waves = 0.4 * np.sin(x / 31) + 0.4 * np.cos(y / 23 + x / 80)
    return ((1 + x / 64 + y / 150 + waves) / samples**2).astype(np.float32)


@functools.cache
def face(name):
    """Screen [V, 3], topology, image size."""
    n, size = FACES[name]
    vertices, faces = meshes.grid_face(n)
    return meshes.on_screen(vertices, 1, size, size)[0], mesh_topology(faces, len(vertices)), size


def face_motions(screen, size):
    """Motions of the face's vertices that do not cancel in `weight`, by name, [V, 3] each."""
    middle = (screen[:, :2] - size / 2) * (256 / size)
    zero = np.zeros_like(screen[:, :1])
    width = max(15, 8 * 256 / size)  # some pixels at least
    cheek = np.exp(-((middle - [-58, 22]) ** 2).sum(1, keepdims=True) / (2 * width**2))
    motions = {
        "x": np.concatenate([zero + 1, zero, zero], 1),
        "scale": np.concatenate([middle / 100, zero], 1),
        "cheek": np.concatenate([-cheek, zero, zero], 1),
    }
    return {name: motion.astype(np.float32) for name, motion in motions.items()}


def ball(n, size):
    """A ball of one colour in front of a slanting wall of another, in one mesh.

    Returns screen [V, 3], topology, colours [V, 3], and which vertices are the ball's [V].
    """
    index = np.arange(n * n).reshape(n, n)
    a, b, c, d = (index[i : n - 1 + i, j : n - 1 + j].ravel() for i in (0, 1) for j in (0, 1))
    grid = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    turn, tilt = np.meshgrid(np.linspace(0, 2 * np.pi, n), np.linspace(0, np.pi, n))
    sphere = [np.sin(tilt) * np.cos(turn), np.cos(tilt), np.sin(tilt) * np.sin(turn)]
    sphere = np.stack(sphere, -1).reshape(-1, 3)
    c, s = np.cos(0.7), np.sin(0.7)
    sphere = sphere @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])  # hides the poles' rows
    c, s = np.cos(0.5), np.sin(0.5)
    sphere = sphere @ np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
    x, y = np.meshgrid(np.linspace(0.08, 0.9, n), np.linspace(0.06, 0.94, n))
    wall = np.stack([x, y, 0.3 + 0.1 * x], -1).reshape(-1, 3)
    screen = size * np.concatenate([0.23 * sphere + [0.46, 0.51, 0], wall])
    is_ball = np.arange(2 * n * n) < n * n
    colors = np.where(is_ball[:, None], [1.0, 0.8], [0.1, 0.3])
    colors = colors + 0.1 * np.sin(8 * screen[:, :1] / size)
    topology = mesh_topology(np.concatenate([grid, grid + n * n]), 2 * n * n)
    return screen.astype(np.float32), topology, colors.astype(np.float32), is_ball


def ball_motions(screen, is_ball):
    """Motions of the ball alone, [V, 3] each."""
    middle = (screen - screen[is_ball].mean(0)) * [1, 1, 0] / np.ptp(screen[is_ball, 0])
    return {
        "x": np.where(is_ball[:, None], np.float32([[1, 0, 0]]), 0),
        "scale": np.where(is_ball[:, None], middle.astype(np.float32), 0),
    }


def true_derivative(screen, topology, motion, size, colors=None):
    """Derivative of the weighted area, or sum of colours [V, C], along a motion [V, 3]."""
    weights = weight(size, SAMPLES)

    def value(shift):
        moved = (screen + shift * motion) * np.float32([SAMPLES, SAMPLES, 1])
        ids = rasterize(moved, topology, size * SAMPLES, size * SAMPLES)
        if colors is None:
            return np.sum(weights, where=np.asarray(ids) >= 0, dtype=np.float64)
        image = interpolate(colors, topology, fragments(moved, topology, ids))
        return np.sum(weights[..., None] * np.asarray(image), dtype=np.float64)

    return (value(STEP) - value(-STEP)) / (2 * STEP)


@functools.cache
def true_face_derivative(name, motion):
    screen, topology, size = face(name)
    return true_derivative(screen, topology, face_motions(screen, size)[motion], size)


@functools.cache
def true_ball_derivative(motion):
    screen, topology, colors, is_ball = ball(*BALL)
    motion = ball_motions(screen, is_ball)[motion]
    return true_derivative(screen, topology, motion, BALL[1], colors)


def odd_soup(size, seeds, count=30):
    """Screen [seeds, 3 count, 3] and topology of triangles degenerate, not finite, far and large
    among ordinary ones."""
    screens = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        corners = rng.uniform([-5, -5, -2], [size + 5, size + 5, 2], (count, 1, 3))
        corners = corners + rng.normal(0, 1, (count, 3, 3)) * [6, 6, 1]
        corners[0, 1] = corners[0, 0]
        corners[1, 2] = 0.5 * (corners[1, 0] + corners[1, 1])
        corners[2] = corners[3, 0]
        corners[4, 0, 0] = np.nan
        corners[5, 1, 2] = np.nan
        corners[6, 2, 1] = np.inf
        corners[7, 2, 2] = -np.inf
        corners[8, :, 0] += 1e6
        corners[9, :, 1] -= 1e30
        corners[10] = corners[11]
        corners[12, :, :2] = [[-90, -80], [200, -70], [10, 300]]
        corners[13, :, 2] *= 1e30
        screens.append(corners.reshape(-1, 3))
    topology = mesh_topology(np.arange(3 * count).reshape(count, 3), 3 * count)
    return np.stack(screens).astype(np.float32), topology


def draw(screen, topology, height, width):
    """Returns the fragments of a hard image."""
    return fragments(screen, topology, rasterize(screen, topology, height, width))


def slope(loss, screen, motions):
    """Derivatives of loss(screen) along motions {name: [V, 3]}, by reverse mode."""
    gradient = jax.jit(jax.grad(loss))(jnp.asarray(screen))
    return {name: float(jnp.sum(gradient * motion)) for name, motion in motions.items()}
