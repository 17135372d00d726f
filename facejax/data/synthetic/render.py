"""Frames of synthetic people: geometry by the rasteriser, colour by `paint`, light by harmonics.

The image is sampled on a grid twice as fine as its pixels and averaged, in amounts of light.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax.data.synthetic import figure, head, look, paint, rhythm, template
from facejax.geometry import rasterize, rotations, shade
from facejax.geometry.camera import camera_from_pose, project
from facejax.geometry.mesh import MeshTopology, mesh_topology
from facejax.geometry.morphable import MorphableModel, face_shape

OVERSAMPLING = 2
HAIR, BODY = 4, 5  # parts, after those of the template
NECK_FOOT = np.array([0.0, -135.0, -75.0])  # mm
BODY_TURN, BODY_SWAY = 0.12, 0.4  # shares of the head's motion


class Stage(NamedTuple):
    """What all people share: the model and the triangles of head, hair and body in one mesh."""

    model: MorphableModel
    topology: MeshTopology
    part: jax.Array  # [F] int32
    place: jax.Array  # [V, 3] paint coordinates of the head
    lid: jax.Array  # [V] mm from the lids' margin


class Person(NamedTuple):
    """What one person's frames share. Leading batch axes `...` on every field alike."""

    identity: jax.Array  # [..., I]
    hair: jax.Array  # [..., n, 3] mm in the head's frame
    hair_place: jax.Array  # [..., n, 3]
    body: jax.Array  # [..., m, 3] mm
    body_share: jax.Array  # [..., m] how much of it goes with the head
    look: look.Look


class Moment(NamedTuple):
    """What changes from frame to frame. Leading batch axes `...` on every field alike."""

    expression: jax.Array  # [..., E]
    pose: jax.Array  # [..., 6]


@functools.cache
def stage() -> Stage:
    """Returns the shared parts, computed once."""
    base = head.neutral()
    hair_faces, body_faces = figure.hair_faces(), figure.body_faces()
    counts = [len(base.vertices), hair_faces.max() + 1, body_faces.max() + 1]
    faces = [base.faces, hair_faces + counts[0], body_faces + counts[0] + counts[1]]
    part = [base.part, np.full(len(hair_faces), HAIR), np.full(len(body_faces), BODY)]
    return Stage(
        jax.tree.map(jnp.asarray, head.model()),
        mesh_topology(np.concatenate(faces).astype(np.int32), int(sum(counts))),
        jnp.asarray(np.concatenate(part), jnp.int32),
        jnp.asarray(base.vertices, jnp.float32),
        jnp.asarray(base.eye_distance, jnp.float32),
    )


def person(rng: np.random.Generator) -> Person:
    """Returns a random person."""
    identity = np.clip(rng.normal(size=head.NUM_IDENTITY), -2.2, 2.2)
    person_look = look.draw(rng)
    hair, place = figure.hair(person_look)
    body, share = figure.body(person_look)
    arrays: dict[str, Any] = {
        "identity": identity,
        "hair": hair + head.carried(identity, hair),
        "hair_place": place,
        "body": body + head.carried(identity, body) * share[:, None],
        "body_share": share,
    }
    arrays = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
    return Person(**arrays, look=person_look)


def moments(what: rhythm.Performance) -> Moment:
    """Returns a clip's moments [T]."""
    return Moment(jnp.asarray(what.expression), jnp.asarray(what.pose))


def body_pose(pose: jax.Array) -> jax.Array:
    """Returns the pose [6] of the shoulders under a head of this pose [6].

    They follow weakly: a share of the turn, about the neck's foot, and of the sway.
    """
    angles = pose[:3]
    sway = pose[3:5] - _turned_about(rhythm.PIVOT, angles)
    lean = BODY_TURN * angles
    place = BODY_SWAY * sway + _turned_about(NECK_FOOT, lean)
    return jnp.concatenate([lean, place, pose[5:]])


def _turned_about(pivot: np.ndarray, angles: jax.Array) -> jax.Array:
    """Returns where the origin goes, (x, y) mm, when it turns about a fixed point."""
    turn = rotations.euler_to_matrix(angles)
    moved = jnp.matmul(turn, jnp.asarray(pivot), precision="highest")
    return jnp.asarray(pivot - moved)[:2]


def scene_vertices(stage: Stage, person: Person, moment: Moment, size: int) -> jax.Array:
    """Returns the whole mesh in image coordinates, [V + n + m, 3] px, for one moment."""
    camera = camera_from_pose(moment.pose, size, size)
    body_camera = camera_from_pose(body_pose(moment.pose), size, size)
    face = face_shape(stage.model, person.identity, moment.expression)
    rigid = project(jnp.concatenate([face, person.hair]), camera)
    share = person.body_share[:, None]
    foot = project(person.body, body_camera)
    body = share * project(person.body, camera) + (1 - share) * foot
    return jnp.concatenate([rigid, body])


@functools.partial(jax.jit, static_argnames="size")
def project_face(stage: Stage, person: Person, moment: Moment, size: int) -> jax.Array:
    """Returns the model's vertices in the images, [T, V, 3] px, for `moment` [T]."""
    shape = face_shape(stage.model, person.identity, moment.expression)
    return project(shape, camera_from_pose(moment.pose, size, size))


@functools.partial(jax.jit, static_argnames="size")
def draw(stage: Stage, person: Person, moment: Moment, size: int) -> tuple[jax.Array, jax.Array]:
    """Returns frames and masks of one person.

    Args:
      stage: from `stage()`.
      person: without batch axes.
      moment: [T].
      size: S.

    Returns:
      uint8 [T, S, S, 3] sRGB and uint8 [T, S, S], 255 where there is a person.
    """
    fine = size * OVERSAMPLING
    backdrop = _backdrop(person.look, fine)

    def one(moment: Moment) -> tuple[jax.Array, jax.Array]:
        light, covered = _samples(stage, person, moment, fine)
        light = jnp.where(covered[..., None], light, backdrop)
        image = _srgb(_pool(jax.lax.optimization_barrier(light)))
        return _bytes(image), _bytes(_pool(covered[..., None].astype(jnp.float32))[..., 0])

    return jax.lax.map(one, moment)


def _samples(
    stage: Stage, person: Person, moment: Moment, size: int
) -> tuple[jax.Array, jax.Array]:
    """Returns light [size, size, 3] and coverage [size, size] of one frame, unfiltered."""
    screen = scene_vertices(stage, person, moment, size)
    triangle = rasterize.rasterize(screen, stage.topology, size, size)
    fragments = rasterize.fragments(screen, stage.topology, triangle)
    normals = shade.vertex_normals(screen * jnp.array([[1.0, -1.0, -1.0]]), stage.topology)
    others = jnp.concatenate([person.hair_place, person.body])
    place = jnp.concatenate([stage.place, others])
    lid = jnp.concatenate([stage.lid, jnp.full(len(others), stage.lid.max())])
    attributes = jnp.concatenate([place, normals, lid[:, None]], axis=-1)
    seen = rasterize.interpolate(attributes, stage.topology, fragments)
    seen = jax.lax.optimization_barrier(seen)  # else it is fused into every use, and done anew
    part = stage.part.at[jnp.maximum(triangle, 0)].get(mode="promise_in_bounds")
    blur = 1.0 / camera_from_pose(moment.pose, size, size).scale
    normal = _unit(seen[..., 3:6])
    normal = jnp.where(normal[..., 2:] < 0, -normal, normal)  # both sides of sheets are seen
    light = _lit(seen[..., :3], normal, seen[..., 6], part, person.look, blur)
    return light, fragments.mask


def _lit(
    place: jax.Array,
    normal: jax.Array,
    lid: jax.Array,
    part: jax.Array,
    look: look.Look,
    blur: jax.Array,
) -> jax.Array:
    """Returns the light [H, W, 3] that comes from each sample."""
    half = look.key + jnp.array([0.0, 0.0, 1.0])
    half = half / jnp.linalg.norm(half)
    once = jax.lax.optimization_barrier  # what is fused into several uses is computed as often
    toward = once(jnp.clip(normal @ half, 0, 1))[..., None]
    bands = once(shade.spherical_harmonics(normal))
    irradiance = once(jnp.maximum(jnp.matmul(bands, look.light, precision="highest"), 0.02))

    skin = paint.skin(place, lid, look, blur) * irradiance + 0.035 * toward**12 + 0.05 * toward**60
    eye = (
        paint.eye(place, look, blur) * irradiance + once(paint.glint(place, look, blur))[..., None]
    )
    mouth = paint.mouth(place, look, blur) * irradiance
    teeth = paint.teeth(place, look, blur) * irradiance + 0.15 * toward**50
    down = jnp.broadcast_to(jnp.array([0.0, -1.0, 0.0]), normal.shape)
    strand = _unit(down + normal * normal[..., 1:2])  # hair falls along the surface
    along = once(jnp.clip(1 - (strand @ half) ** 2, 0, 1))[..., None]
    locks = paint.hair(place, look, blur)
    hair = locks * irradiance + (0.12 * jnp.sqrt(locks) + 0.015) * along**24 * toward
    body = paint.body(place, look, blur) * irradiance
    light = skin
    for number, other in (
        (template.EYE, eye),
        (template.MOUTH, mouth),
        (template.TEETH, teeth),
        (HAIR, hair),
        (BODY, body),
    ):
        light = jnp.where((part == number)[..., None], other, light)
    return light


def _unit(vector: jax.Array) -> jax.Array:
    return vector / jnp.maximum(jnp.linalg.norm(vector, axis=-1, keepdims=True), 1e-6)


def _backdrop(look: look.Look, size: int) -> jax.Array:
    across = (jnp.arange(size) + 0.5) / size * 2 - 1
    x, y = jnp.meshgrid(across, -across)
    return paint.wall(x, y, look)


def _pool(image: jax.Array) -> jax.Array:
    height, width, channels = image.shape
    blocks = (height // OVERSAMPLING, OVERSAMPLING, width // OVERSAMPLING, OVERSAMPLING, channels)
    return jnp.mean(image.reshape(blocks), axis=(1, 3))


def _srgb(light: jax.Array) -> jax.Array:
    """Amounts of light to sRGB, highlights rolled off softly."""
    knee = 0.7
    over = jnp.maximum(light - knee, 0)
    rolled = jnp.minimum(light, knee) + (1 - knee) * (1 - jnp.exp(-over / (1 - knee)))
    return rolled ** (1 / 2.2)


def _bytes(image: jax.Array) -> jax.Array:
    return jnp.round(jnp.clip(image, 0, 1) * 255).astype(jnp.uint8)
