"""The reference meshes of the benchmarks: a face-like surface of any number of triangles.

A square grid is wrapped over an ellipsoid, to 20 degrees behind its widest section, so that some
triangles always face away as on a real face mesh; a nose and eye sockets make it hide parts of
itself when it turns. No licensed model is needed, and everyone measures the same triangles.
"""

import numpy as np

# Grid points a side, by name: V = n * n vertices and F = 2 (n - 1)^2 triangles.
SIDES = {
    "coarse-2k": 36,  # V 1,296, F 2,450
    "coarse-5k": 50,  # V 2,500, F 4,802
    "dense-69k": 187,  # V 34,969, F 69,192
    "dense-106k": 231,  # V 53,361, F 105,800
    "dense-421k": 460,  # V 211,600, F 421,362
}
CAP = np.deg2rad(110.0)  # from the middle of the face to the rim
AXES = (0.72, 1.0, 0.85)  # half width, half height, half depth
JITTER = 0.02  # of a grid step: no vertex lies exactly on an axis or on a neighbour's line
FILL = 0.8  # height of the unturned ellipsoid, as a share of the image's smaller side
YAW, ROLL = 0.6, 0.1  # radians: turns of a batch go from -YAW to YAW, all tilted by ROLL
LONE_YAW = 0.3  # of a single frame


def grid_face(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the vertices [n * n, 3] float32 and triangles [2 (n - 1)^2, 3] int32 of a face.

    Model frame, in half heights of the head: x right, y up, z towards the viewer. Triangles are
    counter-clockwise seen from outside.

    Args:
      n: grid points a side, at least 2.
    """
    right, up = np.meshgrid(np.linspace(-1, 1, n), np.linspace(-1, 1, n))
    # The square becomes a disk (lines stay elliptic arcs), the disk's radius an angle.
    x, y = right * np.sqrt(1 - up**2 / 2), up * np.sqrt(1 - right**2 / 2)
    radius = np.clip(np.hypot(x, y), 1e-9, 1)
    reach = np.sin(radius * CAP) / radius
    sphere = np.stack([reach * x, reach * y, np.cos(radius * CAP)], axis=-1).reshape(-1, 3)
    vertices = sphere * np.asarray(AXES) * (1 + _relief(sphere))[:, None]
    vertices += np.random.default_rng(0).normal(0, JITTER / n, vertices.shape)
    return vertices.astype(np.float32), _grid_triangles(n)


def on_screen(vertices: np.ndarray, frames: int, height: int, width: int) -> np.ndarray:
    """Returns the face under `frames` turns of the head, [frames, V, 3] float32.

    Image frame, pixels: x right, y down, z away from the viewer.

    Args:
      vertices: [V, 3] of `grid_face`.
      frames: 1 for a single, slightly turned face; more for a sweep from one side to the other.
      height: of the image.
      width: of the image.
    """
    yaws = [LONE_YAW] if frames == 1 else np.linspace(-YAW, YAW, frames)
    scale = FILL * min(height, width) / 2
    flip = scale * np.array([1.0, -1.0, -1.0])
    centre = np.array([width / 2, height / 2, 0.0])
    turned = [vertices @ _rotation(yaw, ROLL).T * flip + centre for yaw in yaws]
    return np.stack(turned).astype(np.float32)


def smooth_colors(vertices: np.ndarray, channels: int = 3) -> np.ndarray:
    """Returns vertex colours in [0, 1] that vary smoothly over the face, [V, channels] float32."""
    phase = np.arange(channels)[None, :]
    waves = 3 * vertices[:, :1] + (1 + phase) * vertices[:, 1:2] + phase
    return (0.5 + 0.5 * np.sin(waves)).astype(np.float32)


def _relief(sphere: np.ndarray) -> np.ndarray:
    """Share by which points [N, 3] of the unit sphere stand out: a nose, and two eye sockets."""
    x, y, _ = sphere.T
    nose = 0.25 * np.exp(-(x**2 / 0.02 + (y - 0.05) ** 2 / 0.05))
    eyes = 0.06 * np.exp(-((np.abs(x) - 0.35) ** 2 + (y - 0.25) ** 2) / 0.01)
    return nose - eyes


def _grid_triangles(n: int) -> np.ndarray:
    """Two triangles a cell of an n x n grid of vertices, [2 (n - 1)^2, 3]."""
    index = np.arange(n * n, dtype=np.int32).reshape(n, n)
    low_left, low_right = index[:-1, :-1].ravel(), index[:-1, 1:].ravel()
    up_left, up_right = index[1:, :-1].ravel(), index[1:, 1:].ravel()
    lower = np.stack([low_left, low_right, up_left], axis=1)
    upper = np.stack([low_right, up_right, up_left], axis=1)
    return np.concatenate([lower, upper])


def _rotation(yaw: float, roll: float) -> np.ndarray:
    c, s = np.cos(yaw), np.sin(yaw)
    about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    c, s = np.cos(roll), np.sin(roll)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ about_y
