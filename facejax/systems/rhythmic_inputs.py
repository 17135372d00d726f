"""From a batch to what Rhythmic Head Motion's generator sees: drawn landmarks, the projected face.

Head motions are those of `geometry.rigid_motion`, px of the images.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from facejax.errors import InputError
from facejax.geometry import rigid_motion
from facejax.geometry.camera import camera_from_pose, project
from facejax.geometry.face_projection import (
    BLACK,
    CanonicalFace,
    canonical_face,
    cropped_to_face,
    project_face,
)
from facejax.geometry.landmarks import draw_landmarks
from facejax.geometry.morphable import MorphableModel, face_shape
from facejax.geometry.rasterize import fragments, interpolate, rasterize
from facejax.nets.rhythmic import Inputs
from facejax.systems.drawing import triangles
from facejax.systems.rhythmic_config import Config

LANDMARKS = 68
# Boxes of the published code around the landmarks named, with a margin in px of 256.
MOUTH = ((48, 50, 51, 54, 57), 5)
EYES = ((tuple(range(36, 42)), 2), (tuple(range(42, 48)), 2))


def draw_inputs(
    config: Config, frozen: Mapping[str, Any], batch: Mapping[str, Any], *, in_use: bool = False
) -> Inputs:
    """Returns what the generator sees.

    Args:
      config: sizes, and whether mouths are cut out.
      frozen: "morphable", where the batch has a key frame.
      batch: see `systems.rhythmic`.
      in_use: whether eyes are cut out beside mouths, as the published code does after training.

    Raises:
      InputError: the images' size or the number of references does not fit the config.
    """
    references, sketches = _references(config, batch)
    height, width = references.shape[2:4]
    count = batch["landmarks"].shape[0]
    places = jnp.asarray(batch["matched"]).astype(jnp.int32)
    matched, matched_landmarks = (
        _chosen(jnp.asarray(batch[name]), places) for name in ("references", "reference_landmarks")
    )
    sketch = draw_sketch(batch["landmarks"], height, width)
    if not config.use_projection:
        projection = jnp.full((count, height, width, 3), BLACK)
        projection_landmarks = batch["landmarks"]
    elif "projection" in batch:
        projection, projection_landmarks = batch["projection"], batch["projection_landmarks"]
    else:
        drawn = project_face(
            key_face(frozen["morphable"], batch["key_frame"]),
            batch["head"],
            triangles(frozen["morphable"]),
            height,
        )
        projection, projection_landmarks = drawn.image, drawn.landmarks[..., :2]
    if config.crop_mouth:
        matched = cut_out(matched, matched_landmarks, eyes=in_use)
        projection = cut_out(projection, projection_landmarks, eyes=in_use)
    return Inputs(
        references,
        sketches,
        sketch,
        matched,
        draw_sketch(matched_landmarks, height, width),
        projection,
        draw_sketch(projection_landmarks, height, width),
    )


def _references(config: Config, batch: Mapping[str, Any]) -> tuple[jax.Array, jax.Array]:
    """Returns K images and their sketches, repeated where the net is for more than there are."""
    images = jnp.asarray(batch["references"])
    _, count, height, width, _ = images.shape
    step = 2**config.downs
    if height != width or height % step:
        raise InputError(
            f"images are {width}x{height} px; due: squares whose side is a multiple of {step} px "
            f"for model.downs = {config.downs}; change data.size or model.downs"
        )
    sketches = draw_sketch(batch["reference_landmarks"], height, width)
    if config.attention != "hybrid" or count == config.shots:
        return images, sketches
    if count > config.shots:
        raise InputError(
            f"there are {count} references and model.shots is {config.shots}; due: as many at "
            "most; set data.references and model.shots alike, or give fewer"
        )
    rows = jnp.arange(config.shots) % count
    return images[:, rows], sketches[:, rows]


def _chosen(values: jax.Array, places: jax.Array) -> jax.Array:
    """Returns values [R, K, ...] of the references numbered places [B]: [B, ...], R = B or 1."""
    rows = jnp.arange(len(places)) % len(values)
    return values[rows, places]


def draw_sketch(landmarks: jax.Array, height: int, width: int) -> jax.Array:
    """Returns landmarks [..., 68 or more, 2 or more] px in white strokes, [..., H, W, 1]."""
    points = jnp.asarray(landmarks)[..., :LANDMARKS, :2]
    return jnp.max(draw_landmarks(points, height, width), axis=-1, keepdims=True)


def cut_out(image: jax.Array, landmarks: jax.Array, *, eyes: bool) -> jax.Array:
    """Returns the image [B, H, W, 3], black in boxes around mouth and, if asked, eyes.

    So that the expression of what is warped is not copied (published code).
    """
    height, width = image.shape[1:3]
    y = (jnp.arange(height) + 0.5)[None, :, None]
    x = (jnp.arange(width) + 0.5)[None, None, :]
    inside = jnp.zeros((1, 1, 1), bool)
    for points, margin in (MOUTH, *EYES) if eyes else (MOUTH,):
        chosen = landmarks[:, jnp.asarray(points), :2]
        edge = margin * width / 256
        low, high = (f(chosen, axis=1)[:, :, None, None] for f in (jnp.min, jnp.max))
        across = (x >= low[:, 0] - edge) & (x <= high[:, 0] + edge)
        along = (y >= low[:, 1] - edge) & (y <= high[:, 1] + edge)
        inside = inside | (across & along)
    return jnp.where(inside[..., None], BLACK, image)


def screen_of(
    model: MorphableModel, motion: Mapping[str, jax.Array], height: int, width: int
) -> jax.Array:
    """Returns the vertices in px of the image, [..., V, 3]; the motion as in `drawing`."""
    vertices = face_shape(model, motion["identity"], motion["expression"])
    return project(vertices, camera_from_pose(motion["pose"], height, width))


def key_face(model: MorphableModel, key_frame: Mapping[str, jax.Array]) -> CanonicalFace:
    """Returns the coloured mesh of a key frame (Eq. 1's right-hand side).

    Args:
      model: MorphableModel.
      key_frame: image [B, H, W, 3], identity, expression, pose, and head [B, 6].
    """
    image = key_frame["image"]
    vertices = screen_of(model, key_frame, *image.shape[1:3])
    landmarks = jnp.take(vertices, model.landmarks[:LANDMARKS], axis=-2)
    return canonical_face(image, vertices, landmarks, key_frame["head"])


class FlowTarget(NamedTuple):
    """A flow and where it holds."""

    flow: jax.Array  # [B, H, W, 2] px
    weight: jax.Array  # [B, H, W, 1]


class WarpTargets(NamedTuple):
    """What the warped images should be, and how they should be warped."""

    cropped: jax.Array | None  # [B, H, W, 3] the target where the projected face is
    matched: FlowTarget | None
    projection: FlowTarget | None


def warp_targets(
    config: Config, frozen: Mapping[str, Any], batch: Mapping[str, Any]
) -> WarpTargets:
    """Returns the targets of the flow losses; flows only where config.flow_target is "mesh"."""
    model, target = frozen["morphable"], batch["target"]
    height, width = target.shape[1:3]
    mesh = config.flow_target == "mesh"
    cropped, matched, projection = None, None, None
    own = {"identity": batch["key_frame"]["identity"]} | dict(batch["target_motion"])
    here = screen_of(model, own, height, width) if mesh else None
    if config.use_projection:
        face = key_face(model, batch["key_frame"])
        drawn = project_face(face, batch["head"], triangles(model), height)
        cropped = cropped_to_face(target, drawn)
        if mesh:
            there = rigid_motion.from_canonical(face.vertices, batch["head"])
            projection = _mesh_flow(model, here, there, height)
    if mesh and config.use_matched:
        places = batch["matched"].astype(jnp.int32)
        chosen = {k: _chosen(v, places) for k, v in batch["reference_motion"].items()}
        there = screen_of(model, own | chosen, height, width)
        matched = _mesh_flow(model, here, there, height)
    return WarpTargets(cropped, matched, projection)


def _mesh_flow(model: MorphableModel, here: Any, there: jax.Array, size: int) -> FlowTarget:
    """Returns the backward flow of the mesh, from where it is to where the other image has it."""
    topology = triangles(model)

    def one(frame: tuple[jax.Array, jax.Array]) -> FlowTarget:
        screen, other = frame
        seen = fragments(screen, topology, rasterize(screen, topology, size, size))
        flow = interpolate((other - screen)[:, :2], topology, seen, 0.0)
        return FlowTarget(flow, seen.mask[..., None].astype(flow.dtype))

    if jax.default_backend() == "cpu":  # a frame at a time stays in cache
        return jax.lax.map(one, (here, there))
    return jax.vmap(one)((here, there))
