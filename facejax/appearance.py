"""How a person looks, from a few frames: a colour for each vertex, and the light that falls on it.

The image is sampled where the vertices are seen. The light is nine spherical harmonics a channel in
the camera's frame (x right, y up, z to the viewer), so that it stays where it is when the head
turns; it is fitted to the samples by robust least squares. What it leaves unexplained is the
person's own: albedo = colour / shading. Colours are sRGB values in [0, 1] as they stand in the
image, as FACIAL and its 3-D reconstruction take them, not amounts of light.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree

from facejax import checks
from facejax.errors import InputError
from facejax.geometry import shade
from facejax.geometry.camera import camera_from_pose, project
from facejax.geometry.mesh import MeshTopology, mesh_topology
from facejax.geometry.morphable import MorphableModel, face_shape
from facejax.geometry.rasterize import fragments, rasterize

DETAIL = 256  # px: the size at which it is decided what is seen
DEPTH_SLACK = 3.0  # px of that size: a vertex this far behind what its pixel shows is still seen
LEAST_FACING = 0.3  # cosine: surfaces seen more slantwise show a neighbour's colour, or the wall's
# A sample, on the harmonics of each degree: a face shows half of all directions, and its paint may
# look like light. Chosen on the embedded people, where less finds light that is not there.
RIDGE = (0.0, 1e-3, 3e-3)
ROUNDS = 8  # of the robust fit
DARKEST = 0.2  # shading, of a mean of 1: the albedo is not divided by less
SAME_PLACE = 6.0  # mm: how far a vertex's mirror image may lie from the vertex that stands for it
NEIGHBOURS = 8  # from which a vertex that no frame shows takes its colour


class Appearance(NamedTuple):
    """What `geometry.shade.shade` needs beside the shape."""

    albedo: np.ndarray  # [V, 3] float32 in [0, 1]
    light: np.ndarray  # [9, 3] float32; the mean shading of what was seen is 1 in each channel


def estimate(
    model: MorphableModel,
    images: np.ndarray,
    identity: np.ndarray,
    expression: np.ndarray,
    pose: np.ndarray,
) -> Appearance:
    """Returns the appearance of the person in K frames under one light.

    A face alone cannot tell a dark skin in bright light from the reverse: the brightness and the
    tint of the light are what makes its mean shading 1, and the skin has the rest.

    Args:
      model: its `colors` say where a face is usually darker (lips); grey says nothing.
      images: [K, S, S, 3] in [0, 1].
      identity: [I].
      expression: [K, E].
      pose: [K, 6].

    Raises:
      InputError: no vertex is seen in any frame.
    """
    checks.shapes(
        images=(images, "K S S 3"),
        identity=(identity, "I"),
        expression=(expression, "K E"),
        pose=(pose, "K 6"),
    )
    topology = mesh_topology(np.asarray(model.faces), len(model.mean))
    seen = [
        _observe(model, topology, image, jnp.asarray(identity), jnp.asarray(e), jnp.asarray(p))
        for image, e, p in zip(images, expression, pose, strict=True)
    ]
    parts = zip(*seen, strict=True)
    color, normal, weight = (np.stack(part).astype(np.float64) for part in parts)
    if not weight.any():
        raise InputError("no part of the face lies inside the frames; take others")
    bands = np.asarray(shade.spherical_harmonics(jnp.asarray(normal, jnp.float32)), np.float64)
    light = _light(color, bands, weight, np.asarray(model.colors, np.float64))
    shading = np.maximum(bands @ light, DARKEST)
    total = weight.sum(0)
    albedo = np.sum(weight[..., None] * color / shading, 0) / np.maximum(total, 1e-9)[:, None]
    albedo = _fill(albedo, total > 0, np.asarray(model.mean, np.float64))
    return Appearance(np.clip(albedo, 0, 1).astype(np.float32), light.astype(np.float32))


def _observe(
    model: MorphableModel,
    topology: MeshTopology,
    image: np.ndarray,
    identity: jax.Array,
    expression: jax.Array,
    pose: jax.Array,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns what one frame shows of each vertex: colour [V, 3], normal [V, 3], weight [V]."""
    place, normal, facing = _geometry(model, topology, identity, expression, pose)
    place = np.asarray(place) * (len(image) / DETAIL)
    inside = np.all((place >= 0) & (place <= len(image)), axis=-1)
    return _sample(image, place), np.asarray(normal), np.asarray(facing) * inside


@jax.jit
def _geometry(
    model: MorphableModel,
    topology: MeshTopology,
    identity: jax.Array,
    expression: jax.Array,
    pose: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns vertices [V, 2] in px of DETAIL, normals [V, 3], and the cosine of those seen [V]."""
    vertices = face_shape(model, identity, expression)
    screen = project(vertices, camera_from_pose(pose, DETAIL, DETAIL))
    depth = fragments(screen, topology, rasterize(screen, topology, DETAIL, DETAIL)).depth
    column, row = (jnp.clip(jnp.floor(screen[:, k]), 0, DETAIL - 1).astype(int) for k in (0, 1))
    in_front = screen[:, 2] <= depth[row, column] + DEPTH_SLACK
    normal = shade.vertex_normals(screen * jnp.array([[1.0, -1.0, -1.0]]), topology)
    facing = normal[:, 2]
    return screen[:, :2], normal, jnp.where(in_front & (facing > LEAST_FACING), facing, 0.0)


def _sample(image: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Returns the image at places [V, 2] px, bilinear, borders repeated: [V, 3]."""
    place = np.clip(place - 0.5, 0, len(image) - 1)
    low = np.minimum(place.astype(int), max(len(image) - 2, 0))
    x, y = (place - low).T[..., None]
    column, row = low.T
    top = image[row, column] * (1 - x) + image[row, column + 1] * x
    bottom = image[row + 1, column] * (1 - x) + image[row + 1, column + 1] * x
    return top * (1 - y) + bottom * y


def _light(
    color: np.ndarray, bands: np.ndarray, weight: np.ndarray, prior: np.ndarray
) -> np.ndarray:
    """Fits colour ~ prior * (bands @ light), Cauchy-weighted; returns light [9, 3], mean shading 1.

    Args:
      color: [K, V, 3].
      bands: [K, V, 9].
      weight: [K, V] >= 0.
      prior: [V, 3] usual colours, in any scale.
    """
    used = weight > 0
    prior = np.broadcast_to(prior, color.shape)[used]
    prior = np.maximum(prior / np.maximum(prior.mean(0), 1e-6), 0.1)
    color, bands, weight = color[used], bands[used], weight[used]
    bend = np.diag(np.repeat(RIDGE, (1, 3, 5)))
    trust = np.ones_like(weight)
    for _ in range(ROUNDS):
        share = weight * trust / np.sum(weight * trust)
        channels = zip(prior.T, color.T, strict=True)
        light = np.stack([_solve(bands, *channel, share, bend) for channel in channels], -1)
        error = np.linalg.norm(color - prior * (bands @ light), axis=-1)
        scale = max(2.0 * float(np.median(error)), 1e-3)  # brows and beards lie beyond it
        trust = 1 / (1 + (error / scale) ** 2)
    share = weight * trust / np.sum(weight * trust)
    return light / (share @ (bands @ light))


def _solve(
    bands: np.ndarray, prior: np.ndarray, color: np.ndarray, share: np.ndarray, bend: np.ndarray
) -> np.ndarray:
    """Returns one channel's light, [9]."""
    rows = bands * prior[:, None]
    gram = rows.T @ (rows * share[:, None]) + bend
    return np.linalg.solve(gram + 1e-9 * np.eye(9), rows.T @ (color * share))


def _fill(albedo: np.ndarray, known: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Gives vertices that no frame shows the colour of their mirror image, or of those around."""
    distance, twin = cKDTree(mean).query(mean * [-1, 1, 1])
    mirrored = ~known & known[twin] & (distance <= SAME_PLACE)
    albedo = np.where(mirrored[:, None], albedo[twin], albedo)
    known = known | mirrored
    if known.all():
        return albedo
    count = min(NEIGHBOURS, int(known.sum()))
    distance, near = cKDTree(mean[known]).query(mean[~known], k=[*range(1, count + 1)])
    share = 1 / np.maximum(distance, 1e-3)
    share /= share.sum(1, keepdims=True)
    albedo[~known] = np.einsum("vn,vnc->vc", share, albedo[known][near])
    return albedo
