"""A photometric fit whose answer is known: the synthetic head, from a perturbed start.

The images are made by a renderer that is not the fit's: 16 samples a pixel, hard edges. The start
has neutral shape, mean colours, flat light, and heads turned and moved away from the true poses.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax import photometric, sheets
from facejax.data.synthetic import head, look
from facejax.data.synthetic import paint as painter
from facejax.geometry.mesh import mesh_topology
from facejax.geometry.morphable import MorphableModel, face_shape
from facejax.geometry.shade import SH_CONSTANT, spherical_harmonics
from facejax.geometry.similarity import apply_similarity, fit_similarity
from facejax.photometric import Paint, Scene, Studio

SIZE = 96  # px
SAMPLES = 4  # along each side of a pixel
PAINTED, COLORS = 60, 8  # people that the model of colours is made of, and its components
PAINT_BLUR = 2.0  # mm
BACKDROP = 0.25
# Radians and millimetres: turned to one side, straight, turned to the other.
POSES = ((0.1, 0.45, -0.08, 4, -5, 900), (-0.15, 0, 0.05, -3, 2, 870), (0.2, -0.5, 0.1, 0, 3, 930))
OFF = ((0.12, -0.15, 0.1, 6, -5, 54), (-0.1, 0.12, 0.08, -5, 6, -48), (0.1, 0.14, -0.1, 5, 6, 42))
IDENTITY, EXPRESSION = 0.9, 0.6  # standard deviations of the true coefficients
PERSON = 1000  # seed


class Example(NamedTuple):
    """Images and what made them."""

    images: jax.Array  # [T, SIZE, SIZE, 3]
    truth: Scene
    start: Scene
    studio: Studio


def paint_model(people: int = PAINTED, components: int = COLORS) -> Paint:
    """Returns the principal components of the colours of so many synthetic people."""
    base = head.neutral()
    place, lid = (
        jnp.asarray(base.vertices, jnp.float32),
        jnp.asarray(base.eye_distance, jnp.float32),
    )
    draw = jax.jit(lambda person: painter.skin(place, lid, person, jnp.asarray(PAINT_BLUR)))
    colors = np.stack([draw(look.draw(np.random.default_rng(k))) for k in range(people)])
    mean = colors.mean(axis=0)
    _, spread, rows = np.linalg.svd((colors - mean).reshape(people, -1), full_matrices=False)
    basis = spread[:components, None] / np.sqrt(people) * rows[:components]
    shape = (components, *mean.shape)
    return Paint(jnp.asarray(mean, jnp.float32), jnp.asarray(basis.reshape(shape), jnp.float32))


def example() -> Example:
    """Returns the example, the same at every call."""
    model = jax.tree.map(jnp.asarray, head.model())
    topology = mesh_topology(np.asarray(model.faces), len(model.mean))
    paint, rng = paint_model(), np.random.default_rng(PERSON)
    light = np.asarray(look.draw(rng).light)
    parts = {
        "pose": POSES,
        "expression": EXPRESSION * rng.normal(size=(len(POSES), len(model.expression_basis))),
        "identity": IDENTITY * rng.normal(size=len(model.identity_basis)),
        "albedo": rng.normal(size=COLORS),
        "light": light[1:] / light[:1] / SH_CONSTANT,
    }
    truth = Scene(**{name: jnp.asarray(value, jnp.float32) for name, value in parts.items()})
    start = jax.tree.map(jnp.zeros_like, truth)._replace(pose=truth.pose + jnp.asarray(OFF))
    backdrop = jnp.full((SIZE * SAMPLES, SIZE * SAMPLES, 3), BACKDROP)
    studio = Studio(model, paint, topology, backdrop)
    sharp = photometric.render(truth, studio, smooth=False)
    cells = (len(POSES), SIZE, SAMPLES, SIZE, SAMPLES, 3)
    images = jnp.mean(sharp.reshape(cells), axis=(2, 4))
    return Example(images, truth, start, studio._replace(backdrop=backdrop[:SIZE, :SIZE]))


def distances(example: Example, scene: Scene) -> dict[str, float]:
    """Returns how far a scene is from the truth.

    A face that is turned and one whose shape is sheared look alike from the front, and so do paler
    skin and brighter light. So beside the raw differences stand those that an image can decide:
    the neutral shape after rigid registration, the place of the vertices in the image, the shading
    of the visible half of a sphere after a gain per channel.
    """
    truth, model = example.truth, example.studio.model
    used = np.unique(np.asarray(model.faces))
    neutral = jnp.zeros(len(model.expression_basis))
    ours, due = (face_shape(model, one.identity, neutral)[used] for one in (scene, truth))
    registered = apply_similarity(fit_similarity(ours, due, with_scale=False), ours)
    screens = [photometric.on_screen(one, model, SIZE, SIZE)[:, used, :2] for one in (scene, truth)]
    colors = [photometric.vertex_colors(one, example.studio.paint)[used] for one in (scene, truth)]
    pose = scene.pose - truth.pose
    image = photometric.render(scene, example.studio)
    return {
        "image_rms": _rms(image - example.images),
        "vertices_px": _rms(screens[0] - screens[1], points=True),
        "pose_degrees": float(jnp.degrees(_rms(pose[:, :3]))),
        "pose_mm_across": _rms(pose[:, 3:5]),
        "distance_percent": 100 * _rms(pose[:, 5] / truth.pose[:, 5]),
        "shape_mm": _rms(registered - due, points=True),
        "expression_mm": _rms(
            _moved(model, scene.expression - truth.expression)[:, used], points=True
        ),
        "albedo_rms": _rms(colors[0] - colors[1]),
        "shading_percent": 100 * _shading_error(scene.light, truth.light),
    }


def _moved(model: MorphableModel, expression: jax.Array) -> jax.Array:
    """How far an expression [T, E] moves the vertices, [T, V, 3] mm."""
    return face_shape(model, jnp.zeros(len(model.identity_basis)), expression) - model.mean[None]


def _rms(difference: jax.Array, points: bool = False) -> float:
    square = jnp.sum(difference**2, axis=-1) if points else difference**2
    return float(jnp.sqrt(jnp.mean(square)))


def _shading_error(light: jax.Array, due: jax.Array) -> float:
    """RMS difference over the visible half of a sphere, gains aside, over the mean."""
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(4000, 3))
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    bands = np.asarray(spherical_harmonics(jnp.asarray(normals[normals[:, 2] > 0.2])))
    ours, true = (bands @ np.asarray(photometric.full_light(one)) for one in (light, due))
    gain = (ours * true).sum(axis=0) / (ours**2).sum(axis=0)
    return float(np.sqrt(np.mean((gain * ours - true) ** 2)) / true.mean())


def run(steps: int, fit: Callable = photometric.fit) -> tuple[dict[str, Any], np.ndarray]:
    """Returns the report, ready for JSON, and the sheet, uint8 [H, W, 3]."""
    known = example()
    fitted = fit(known.images, known.start, known.studio, steps=steps)
    losses = np.asarray(fitted.losses)
    report = {
        "steps": steps,
        "loss": {"first": float(losses[0]), "last": float(losses[-1])},
        "start": distances(known, known.start),
        "fitted": distances(known, fitted.scene),
    }
    return report, _sheet(known, fitted.scene)


def _sheet(known: Example, scene: Scene) -> np.ndarray:
    """A row a view: the start, the fit, the truth, and fit minus truth, 8 times as strong."""
    start, fitted = (photometric.render(one, known.studio) for one in (known.start, scene))
    error = 0.5 + 4 * (fitted - known.images)
    columns = {"start": start, "fitted": fitted, "truth": known.images}
    images, labels = [], []
    for view in range(len(POSES)):
        images += [_picture(image[view] ** (1 / 2.2)) for image in columns.values()]
        images.append(_picture(error[view]))
        labels += [*columns, "fitted - truth, x8"]
    return sheets.grid(images, labels, columns=len(columns) + 1)


def _picture(image: jax.Array, zoom: int = 2) -> np.ndarray:
    small = np.round(np.clip(np.nan_to_num(np.asarray(image)), 0, 1) * 255).astype(np.uint8)
    return small.repeat(zoom, axis=0).repeat(zoom, axis=1)
