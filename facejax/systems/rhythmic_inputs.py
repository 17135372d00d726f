"""From a batch to what Rhythmic Head Motion's generator sees: drawn landmarks, the projected face.

Head motions are those of `geometry.rigid_motion`, px of the images.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax.errors import InputError
from facejax.geometry import rigid_motion
from facejax.geometry.camera import camera_from_pose, project
from facejax.geometry.face_projection import (
    BLACK,
    FAINT,
    CanonicalFace,
    canonical_face,
    project_face,
)
from facejax.geometry.head_motion import LANDMARKS
from facejax.geometry.landmarks import draw_strokes
from facejax.geometry.morphable import MorphableModel, face_shape
from facejax.geometry.rasterize import fragments, interpolate, rasterize
from facejax.nets.rhythmic import Inputs
from facejax.nets.rhythmic_embedding import for_targets
from facejax.systems.drawing import triangles
from facejax.systems.rhythmic_config import Config

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
    references = _checked(config, batch)
    height, width = references.shape[2:4]
    places = jnp.asarray(batch["matched"]).astype(jnp.int32)
    reference_landmarks = jnp.asarray(batch["reference_landmarks"])[..., :LANDMARKS, :2]
    projection, projection_landmarks = _projection(config, frozen, batch, height)
    landmarks = [reference_landmarks.reshape(-1, LANDMARKS, 2), batch["landmarks"]]
    strokes = draw_sketch(jnp.concatenate([*landmarks, projection_landmarks]), height, width)
    ends = np.cumsum([len(landmarks[0]), len(landmarks[1])])
    sketches, sketch, projection_sketch = jnp.split(strokes, ends)
    sketches = sketches.reshape(*references.shape[:-1], 1)
    matched, matched_sketch = _chosen(references, places), _chosen(sketches, places)
    if config.crop_mouth:
        matched = cut_out(matched, _chosen(reference_landmarks, places), eyes=in_use)
        projection = cut_out(projection, projection_landmarks, eyes=in_use)
    references, sketches = (_filled(config, x) for x in (references, sketches))
    return Inputs(
        references, sketches, sketch, matched, matched_sketch, projection, projection_sketch
    )


def _projection(
    config: Config, frozen: Mapping[str, Any], batch: Mapping[str, Any], size: int
) -> tuple[jax.Array, jax.Array]:
    """Returns the projected faces [B, H, W, 3] and their landmarks [B, 68, 2], given or drawn."""
    if not config.use_projection:  # nothing sees them
        count = len(batch["landmarks"])
        return jnp.full((count, size, size, 3), BLACK), jnp.asarray(batch["landmarks"])
    if "projection" in batch:
        return jnp.asarray(batch["projection"]), jnp.asarray(batch["projection_landmarks"])
    face = _for_heads(key_face(frozen["morphable"], batch["key_frame"]), batch)
    drawn = project_face(face, batch["head"], triangles(frozen["morphable"]), size)
    return drawn.image, drawn.landmarks[..., :2]


def _checked(config: Config, batch: Mapping[str, Any]) -> jax.Array:
    """Returns the references, [R, K, H, W, 3], whose size and number fit the config."""
    images = jnp.asarray(batch["references"])
    _, count, height, width, _ = images.shape
    step = 2**config.downs
    if height != width or height % step:
        raise InputError(
            f"images are {width}x{height} px; due: squares whose side is a multiple of {step} px "
            f"for model.downs = {config.downs}; change data.size or model.downs"
        )
    if config.attention == "hybrid" and count > config.shots:
        raise InputError(
            f"there are {count} references and model.shots is {config.shots}; due: as many at "
            "most; set data.references and model.shots alike, or give fewer"
        )
    return images


def _filled(config: Config, values: jax.Array) -> jax.Array:
    """Returns values [R, K, ...], repeated where the net is for more references than there are."""
    if config.attention != "hybrid":
        return values
    return values[:, jnp.arange(config.shots) % values.shape[1]]


def _chosen(values: jax.Array, places: jax.Array) -> jax.Array:
    """Returns values [R, K, ...] of the references numbered places [B]: [B, ...], R divides B."""
    return values[for_targets(jnp.arange(len(values)), len(places)), places]


def _for_heads(rows: Any, batch: Mapping[str, Any]) -> Any:
    """Repeats rows [R, ...] of clips for the batch's targets, [B, ...]."""
    return jax.tree.map(lambda x: for_targets(x, len(batch["head"])), rows)


def draw_sketch(landmarks: jax.Array, height: int, width: int) -> jax.Array:
    """Returns landmarks [..., 68 or more, 2 or more] px in white strokes, [..., H, W, 1]."""
    points = jnp.asarray(landmarks)[..., :LANDMARKS, :2]
    return draw_strokes(points, height, width)


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


def cropped_to(image: jax.Array, projection: jax.Array) -> jax.Array:
    """Returns the image [B, H, W, 3] where the projected face shows more than black, -1 elsewhere.

    The target of the warped projection. (The published code decides channel by channel.)
    """
    return jnp.where(jnp.any(projection > FAINT, axis=-1, keepdims=True), image, BLACK)


class FlowTarget(NamedTuple):
    """The true flow of the face's mesh, and where it shows."""

    flow: jax.Array  # [B, H, W, 2] px
    weight: jax.Array  # [B, H, W, 1]


def flow_targets(
    config: Config, frozen: Mapping[str, Any], batch: Mapping[str, Any]
) -> dict[str, FlowTarget]:
    """Returns backward flows from the target to the images that are warped, by their names."""
    model = frozen["morphable"]
    size = batch["target"].shape[1]
    identity = _for_heads(batch["key_frame"]["identity"], batch)
    own = {"identity": identity} | dict(batch["target_motion"])
    here = screen_of(model, own, size, size)
    there = {}
    if config.use_matched:
        places = batch["matched"].astype(jnp.int32)
        chosen = {k: _chosen(v, places) for k, v in batch["reference_motion"].items()}
        there["matched"] = screen_of(model, own | chosen, size, size)
    if config.use_projection:
        face = _for_heads(key_face(model, batch["key_frame"]), batch)
        there["projection"] = rigid_motion.from_canonical(face.vertices, batch["head"])
    topology = triangles(model)

    def one(frame: tuple[jax.Array, dict[str, jax.Array]]) -> dict[str, FlowTarget]:
        screen, others = frame
        seen = fragments(screen, topology, rasterize(screen, topology, size, size))
        weight = seen.mask[..., None].astype(screen.dtype)
        flows = {
            name: interpolate((other - screen)[:, :2], topology, seen, 0.0)
            for name, other in others.items()
        }
        return {name: FlowTarget(flow, weight) for name, flow in flows.items()}

    if jax.default_backend() == "cpu":  # a frame at a time stays in cache
        return jax.lax.map(one, (here, there))
    return jax.vmap(one)((here, there))
