"""From motion to what FACIAL's rendering-to-video net sees: shaded faces and eye attention maps.

A motion of N frames is a dictionary of identity [N, I], expression [N, E], pose [N, 6] and blink
[N]. The appearance is `data.windows.appearances`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from facejax.geometry import rotations, shade
from facejax.geometry.camera import Camera, camera_from_pose, project
from facejax.geometry.mesh import MeshTopology
from facejax.geometry.morphable import MorphableModel, face_shape
from facejax.geometry.rasterize import fragments, interpolate, rasterize
from facejax.systems.facial_video_config import Config

BEFORE, AFTER = 6, 3  # drawn frames on each side of the one that is made
EYES = ((36, 42), (42, 48))  # landmarks of the right and the left eye
FULL_BLINK = 5.0  # AU45's scale
LEAST_TURN = 1e-3  # cosine: a face turned further shows no ellipse, only its edge


class Drawn(NamedTuple):
    """N frames, each by itself."""

    render: jax.Array  # [N, H, W, 3] in [-1, 1], black beside the face
    inside: jax.Array  # [N, H, W, 1] in [0, 1]: 1 within the eyes' ellipses
    blink: jax.Array  # [N] as the net is to see it


class Inputs(NamedTuple):
    """What the nets are given, and what of it belongs to the frame that is made."""

    condition: jax.Array  # [B, H, W, C (BEFORE + 1 + AFTER)], the oldest frame first
    render: jax.Array  # [B, H, W, 3] in [-1, 1]
    attention: jax.Array  # [B, H, W, 1]


def of_windows(config: Config, frozen: Mapping[str, Any], inputs: Mapping[str, Any]) -> Inputs:
    """Draws windows: motion {identity [B, I], others [B, W, ...]} and speaker [B]."""
    motion = inputs["motion"]
    count, length = motion["pose"].shape[:2]
    flat = {k: v.reshape(-1, *v.shape[2:]) for k, v in motion.items() if k != "identity"}
    flat["identity"] = jnp.repeat(motion["identity"], length, axis=0)
    drawn = draw(config, frozen, flat, jnp.repeat(inputs["speaker"], length))
    rows = jnp.arange(count * length).reshape(count, length)
    return _windows(config, drawn, rows)


def of_stretch(config: Config, frozen: Mapping[str, Any], inputs: Mapping[str, Any]) -> Inputs:
    """Draws the windows that lie in N consecutive frames, each frame once: B = N - BEFORE - AFTER.

    Args:
      config: the system's.
      frozen: as in `draw`.
      inputs: motion {identity [I], expression [N, E], pose [N, 6], blink [N]} and speaker [].
    """
    motion = dict(inputs["motion"])
    count = motion["pose"].shape[0]
    motion["identity"] = jnp.broadcast_to(motion["identity"], (count, *motion["identity"].shape))
    drawn = draw(config, frozen, motion, jnp.broadcast_to(inputs["speaker"], (count,)))
    length = BEFORE + 1 + AFTER
    rows = jnp.arange(count - length + 1)[:, None] + jnp.arange(length)[None]
    return _windows(config, drawn, rows)


def _windows(config: Config, drawn: Drawn, rows: jax.Array) -> Inputs:
    """Lays the frames `rows` [B, W] side by side."""
    blink = drawn.blink[:, None, None, None]
    if config.attention == "concat":
        frames = jnp.concatenate([drawn.render, drawn.inside * blink], axis=-1)
    else:
        frames = jnp.where(drawn.inside > 0.5, blink, drawn.render)
    count, height, width, channels = len(rows), *frames.shape[1:]
    condition = jnp.moveaxis(frames[rows], 1, 3).reshape(count, height, width, -1)
    assert condition.shape[-1] == rows.shape[1] * channels
    target = rows[:, BEFORE]
    return Inputs(condition, drawn.render[target], (drawn.inside * blink)[target])


def draw(
    config: Config,
    frozen: Mapping[str, Any],
    motion: Mapping[str, jax.Array],
    speaker: jax.Array,
) -> Drawn:
    """Draws N frames.

    Args:
      config: the system's.
      frozen: "morphable" and "appearance".
      motion: of N frames.
      speaker: [N] rows of the appearance.
    """
    model, look = frozen["morphable"], frozen["appearance"]
    height, width = look["reference"].shape[1:3]
    speaker = speaker.astype(jnp.int32)
    camera = camera_from_pose(motion["pose"], height, width)
    render = _render(config, model, look, motion, speaker, camera)
    inside = eye_ellipses(config, model, motion["identity"], camera, height, width)
    blink = motion["blink"]
    if config.blink == "scaled":
        blink = jnp.clip(blink, 0, FULL_BLINK) / FULL_BLINK
    return Drawn(render, inside, blink)


def _render(
    config: Config,
    model: MorphableModel,
    look: Mapping[str, jax.Array],
    motion: Mapping[str, jax.Array],
    speaker: jax.Array,
    camera: Camera,
) -> jax.Array:
    """Returns the lit faces, [N, H, W, 3] in [-1, 1], colours interpolated between vertices."""
    height, width = look["reference"].shape[1:3]
    none = jnp.zeros((2, 0), jnp.int32)
    topology = MeshTopology(jnp.transpose(model.faces), none, none, look["corners"])
    vertices = face_shape(model, motion["identity"], motion["expression"])
    normals = shade.vertex_normals(vertices, topology)
    turn = rotations.euler_to_matrix(motion["pose"][:, :3])
    turn = turn if config.inverse_light else jnp.swapaxes(turn, -1, -2)  # normals are rows
    normals = jnp.matmul(normals, turn, precision="highest")
    colors = shade.shade(look["albedo"][speaker], normals, look["light"][speaker])
    colors = 2 * jnp.clip(colors, 0.0, 1.0) - 1
    screen = project(vertices, camera)

    def one(frame: tuple[jax.Array, jax.Array]) -> jax.Array:
        points, color = frame
        triangle = rasterize(points, topology, height, width)
        return interpolate(color, topology, fragments(points, topology, triangle), -1.0)

    if jax.default_backend() == "cpu":  # a frame at a time stays in cache
        return jax.lax.map(one, (screen, colors))
    return jax.vmap(one)((screen, colors))


def eye_ellipses(
    config: Config,
    model: MorphableModel,
    identity: jax.Array,
    camera: Camera,
    height: int,
    width: int,
) -> jax.Array:
    """Returns 1 inside an ellipse around each eye, soft over a pixel, [N, H, W, 1].

    The ellipses lie in the face's plane around the eyes' centres on the face without expression, so
    that they move with the head and not with the lids.

    Args:
      config: half axes.
      model: MorphableModel.
      identity: [N, I].
      camera: of N images.
      height: H.
      width: W.
    """
    eyes = model.landmarks[EYES[0][0] : EYES[-1][1]]
    outline = model._replace(
        mean=model.mean[eyes],
        identity_basis=model.identity_basis[:, eyes],
        expression_basis=model.expression_basis[:, eyes],
    )
    still = jnp.zeros((len(identity), model.expression_basis.shape[0]))
    points = face_shape(outline, identity, still)
    first = EYES[0][0]
    centres = jnp.stack([jnp.mean(points[:, a - first : b - first], 1) for a, b in EYES], 1)
    centres = project(centres, camera)
    x = (jnp.arange(width) + 0.5)[None, None, :]
    y = (jnp.arange(height) + 0.5)[None, :, None]
    inside = jnp.zeros((len(identity), height, width))
    for eye in range(len(EYES)):
        across, up = (centres[:, eye, k][:, None, None] for k in (0, 1))
        inside = jnp.maximum(inside, _ellipse(config, camera, x - across, y - up))
    return inside[..., None]


def _ellipse(config: Config, camera: Camera, dx: jax.Array, dy: jax.Array) -> jax.Array:
    """Returns the ellipse at offsets dx [N, 1, W], dy [N, H, 1] px from its centre, [N, H, W].

    Image offsets are scale * rotation[:2, :2] of those in the face's plane; the determinant of that
    part of the rotation is rotation[2, 2], -1 for a face towards the viewer.
    """
    (a, b), (c, d) = ([camera.rotation[:, i, j][:, None, None] for j in (0, 1)] for i in (0, 1))
    facing = -camera.rotation[:, 2, 2][:, None, None]
    shown = facing > LEAST_TURN
    inverse = -1 / (jnp.where(shown, facing, 1.0) * camera.scale[:, None, None])
    u = (d * dx - b * dy) * inverse / config.eye_width
    v = (a * dy - c * dx) * inverse / config.eye_height
    edge = config.eye_height * camera.scale[:, None, None]  # px of the shorter half axis
    inside = jnp.clip((1 - jnp.sqrt(u**2 + v**2)) * edge + 0.5, 0.0, 1.0)
    return jnp.where(shown, inside, 0.0)
