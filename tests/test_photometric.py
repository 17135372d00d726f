import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax import cli, photometric, photometric_example
from facejax.geometry.mesh import mesh_topology
from facejax.photometric import Paint, Scene, Studio
from tests.fake_faces import EXPRESSION, IDENTITY, make_model

SIDE, COLORS = 24, 3


@pytest.fixture(scope="module")
def studio():
    rng = np.random.default_rng(0)
    model = jax.tree.map(jnp.asarray, make_model())
    count = len(model.mean)
    basis = jnp.float32(0.05 * rng.normal(size=(COLORS, count, 3)))
    paint = Paint(jnp.full((count, 3), 0.5), basis)
    topology = mesh_topology(np.asarray(model.faces), count)
    return Studio(model, paint, topology, jnp.full((SIDE, SIDE, 3), 0.2))


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(1)
    draw = lambda *shape: jnp.float32(0.5 * rng.normal(size=shape))
    pose = jnp.array([[0.1, 0.3, 0.0, 2.0, 1.0, 1000.0], [0.0, -0.2, 0.1, 0.0, 0.0, 950.0]])
    return Scene(pose, draw(2, EXPRESSION), draw(IDENTITY), draw(COLORS), 0.2 * draw(8, 3))


def test_flat_white_light_shows_the_albedo(studio, scene):
    dark = scene._replace(light=jnp.zeros((8, 3)), albedo=jnp.zeros(COLORS))
    image = np.asarray(photometric.render(dark, studio, smooth=False))
    seen = np.abs(image - 0.2).max(-1) > 0.05
    assert 0.2 < seen.mean() < 0.9
    np.testing.assert_allclose(image[seen], 0.5, atol=1e-5)
    np.testing.assert_allclose(image[~seen], 0.2)


@pytest.mark.slow
def test_gradients_are_those_of_finite_differences(studio, scene):
    """Colour and light enter smoothly; the image is linear in each of the two."""
    target = photometric.render(jax.tree.map(lambda x: 1.01 * x, scene), studio)

    @jax.jit
    def loss(scene):
        return jnp.mean((photometric.render(scene, studio) - target) ** 2)

    gradient = jax.grad(loss)(scene)
    assert all(np.isfinite(x).all() and np.abs(x).max() > 0 for x in gradient)
    rng = np.random.default_rng(2)
    for name in ("albedo", "light"):
        value = getattr(scene, name)
        way = jnp.float32(rng.normal(size=value.shape))
        ends = [loss(scene._replace(**{name: value + step * way})) for step in (0.1, -0.1)]
        slope = float(jnp.sum(getattr(gradient, name) * way))
        np.testing.assert_allclose(slope, float(ends[0] - ends[1]) / 0.2, rtol=2e-3)


@pytest.mark.slow
def test_a_fit_from_the_answer_stays_there(studio, scene):
    images = photometric.render(scene, studio)
    fitted = photometric.fit(images, scene, studio, steps=3, rate=1e-4, prior=0.0)
    assert float(fitted.losses[0]) < 1e-10
    for found, due in zip(fitted.scene, scene, strict=True):
        np.testing.assert_allclose(found, due, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_the_example_recovers_the_head(tmp_path):
    assert cli.main(["gallery", "--out", str(tmp_path), "--steps", "400"]) == 0
    report = json.loads((tmp_path / "photometric.json").read_text())
    start, fitted = report["start"], report["fitted"]
    due = {
        "vertices_px": 0.06, "pose_degrees": 0.2, "shape_mm": 0.4, "expression_mm": 0.4,
        "albedo_rms": 0.4, "shading_percent": 0.4, "image_rms": 0.1,
    }  # fmt: skip
    for name, share in due.items():
        assert fitted[name] < share * start[name], name
    assert (tmp_path / "gallery.png").exists() and (tmp_path / "photometric.png").exists()


def test_the_model_of_colours_explains_the_colours():
    paint = photometric_example.paint_model(people=6, components=5)
    assert paint.basis.shape[0] == 5 and np.isfinite(paint.basis).all()
    gram = np.einsum("avc,bvc->ab", paint.basis, paint.basis)
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-3 * gram.max()


def test_a_wrong_number_of_steps_is_refused(capsys, tmp_path):
    assert cli.main(["gallery", "--out", str(tmp_path / "g"), "--steps", "-1"]) == 2
    assert "--steps is -1; due: 0 or more" in capsys.readouterr().err
    assert not (tmp_path / "g").exists()
