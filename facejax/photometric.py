"""Photometric fitting: pose, shape, expression, albedo and light, by gradient from images.

Analysis by synthesis (Blanz & Vetter, "A morphable model for the synthesis of 3D faces", 1999): a
face is rendered from its parameters, compared with an image pixel by pixel, and the parameters
follow the gradient (Adam). What lies inside triangles reaches the vertices through the barycentric
weights, outlines through `silhouette.antialias`.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from facejax import checks
from facejax.geometry.camera import camera_from_pose, project
from facejax.geometry.mesh import MeshTopology
from facejax.geometry.morphable import MorphableModel, face_shape
from facejax.geometry.rasterize import fragments, interpolate, rasterize
from facejax.geometry.shade import SH_CONSTANT, shade, vertex_normals
from facejax.geometry.silhouette import antialias

# What one unit of each parameter is worth to the optimiser: a step of Adam moves each by as much.
POSE_UNITS = (0.1, 0.1, 0.1, 5.0, 5.0, 60.0)  # rad, mm; depth moves the image the least
SHAPE_UNIT = 0.5  # of a standard deviation
ALBEDO_UNIT = 0.5
LIGHT_UNIT = 0.3


class Scene(NamedTuple):
    """One person in T images of the same light: a single one leaves depth and light in doubt."""

    pose: jax.Array  # [T, 6] pitch, yaw, roll in radians; x, y, z in millimetres
    expression: jax.Array  # [T, E]
    identity: jax.Array  # [I]
    albedo: jax.Array  # [A]
    light: jax.Array  # [8, 3] harmonics of degree 1 and 2; that of degree 0 is white, of radiance 1


class Paint(NamedTuple):
    """A linear model of the colours of a face's vertices, unit variance."""

    mean: jax.Array  # [V, 3] in [0, 1]
    basis: jax.Array  # [A, V, 3]


class Studio(NamedTuple):
    """What all scenes share."""

    model: MorphableModel
    paint: Paint
    topology: MeshTopology  # of the model's triangles
    backdrop: jax.Array  # [H, W, 3] what is seen beside the face


class Fitted(NamedTuple):
    """What came out of a fit."""

    scene: Scene
    losses: jax.Array  # [steps] mean squared difference of colours


def units(scene: Scene) -> Scene:
    """Returns the size of a natural step of every parameter."""
    one = jax.tree.map(jnp.ones_like, scene)
    return Scene(
        pose=one.pose * jnp.asarray([POSE_UNITS]),
        expression=one.expression * SHAPE_UNIT,
        identity=one.identity * SHAPE_UNIT,
        albedo=one.albedo * ALBEDO_UNIT,
        light=one.light * LIGHT_UNIT,
    )


def full_light(light: jax.Array) -> jax.Array:
    """Returns [9, 3] harmonics of a scene's light: brightness is the albedo's, not the light's."""
    first = jnp.full((1, 3), 1 / SH_CONSTANT, light.dtype)
    return jnp.concatenate([first, light])


def vertex_colors(scene: Scene, paint: Paint) -> jax.Array:
    """Returns the albedo of every vertex, [V, 3]."""
    return paint.mean + jnp.einsum("a,avc->vc", scene.albedo, paint.basis, precision="highest")


def on_screen(scene: Scene, model: MorphableModel, height: int, width: int) -> jax.Array:
    """Returns the face's vertices in the images, [T, V, 3] px."""
    shape = face_shape(model, scene.identity, scene.expression)
    return project(shape, camera_from_pose(scene.pose, height, width))


def render(scene: Scene, studio: Studio, smooth: bool = True) -> jax.Array:
    """Returns the images of a scene, [T, H, W, 3], differentiable in all of it.

    Args:
      scene: what is seen.
      studio: the rest.
      smooth: blend at silhouettes; False gives hard edges, through which no gradient passes.
    """
    model, paint, topology, backdrop = studio
    checks.shapes(backdrop=(backdrop, "H W 3"), mean=(paint.mean, "V 3"))
    height, width, _ = backdrop.shape
    albedo, light = vertex_colors(scene, paint), full_light(scene.light)

    def one(screen: jax.Array) -> jax.Array:
        upright = screen * jnp.array([[1.0, -1.0, -1.0]])  # y up, z to the viewer: light's frame
        lit = shade(albedo, vertex_normals(upright, topology), light)
        seen = fragments(screen, topology, rasterize(screen, topology, height, width))
        image = jnp.where(seen.mask[..., None], interpolate(lit, topology, seen), backdrop)
        return antialias(image, screen, topology, seen) if smooth else image

    return jax.lax.map(one, on_screen(scene, model, height, width))


@functools.partial(jax.jit, static_argnames=("steps",))
def fit(
    images: jax.Array,
    start: Scene,
    studio: Studio,
    *,
    steps: int = 300,
    rate: float = 0.1,
    prior: float = 1e-5,
) -> Fitted:
    """Returns the scene whose rendering is nearest to some images.

    Args:
      images: [T, H, W, 3].
      start: a rough guess: its outlines should lie within some pixels of the true ones.
      studio: the rest.
      steps: of Adam, the rate falling to 0 along a cosine.
      rate: of the first step, in `units`.
      prior: weight of the mean square of all coefficients beside the mean squared colour.
    """
    checks.shapes(images=(images, "T H W 3"), pose=(start.pose, "T 6"))
    unit = units(start)

    def loss(scaled: Scene) -> tuple[jax.Array, jax.Array]:
        scene = jax.tree.map(jnp.multiply, scaled, unit)
        error = jnp.mean((render(scene, studio) - images) ** 2)
        coefficients = jnp.concatenate([scene.identity, scene.expression.ravel(), scene.albedo])
        return error + prior * jnp.mean(coefficients**2), error

    adam = optax.adam(optax.cosine_decay_schedule(rate, steps))

    def step(carry: tuple, _: None) -> tuple:
        scaled, state = carry
        gradient, error = jax.grad(loss, has_aux=True)(scaled)
        update, state = adam.update(gradient, state)
        return (optax.apply_updates(scaled, update), state), error

    scaled = jax.tree.map(jnp.divide, start, unit)
    losses: jax.Array
    last, losses = jax.lax.scan(step, (scaled, adam.init(scaled)), None, length=steps)
    return Fitted(jax.tree.map(jnp.multiply, last[0], unit), losses)
