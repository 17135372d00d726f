"""Unprojection as a system."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.data.synthetic import head
from facejax.errors import InputError
from facejax.geometry.position_map import map_layout
from facejax.systems import unprojection
from facejax.systems import unprojection_inputs as inputs
from tests.nets.test_unprojection import checkpoint

SIZE = 32
KEY = jax.random.key(0)
SMALL = {"width": 1, "lambda_l2": 1e-4}
# Half the compile time; the results differ by rounding.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def frozen():
    model = head.model()
    layout = map_layout(model.mean, model.faces, model.landmarks, SIZE)._asdict()
    return {"morphable": model, "layout": layout}


def batch(rows=2):
    rng = np.random.default_rng(0)
    model = frozen()["morphable"]
    pose = np.float32([[0.1, -0.2, 0.05, 3, -4, 900], [0, 0.4, 0, 0, 5, 1000]])[:rows]
    motion = {
        "identity": rng.normal(size=(rows, len(model.identity_basis))).astype(np.float32),
        "expression": 0.3 * rng.normal(size=(rows, len(model.expression_basis))).astype(np.float32),
        "pose": pose,
    }
    image = rng.uniform(-1, 1, (rows, SIZE, SIZE, 3)).astype(np.float32)
    return {"image": image, "motion": motion}


@functools.cache
def start(**options):
    """The system, and numbers in the shapes of its first parameters and stats."""
    system = unprojection.make(unprojection.Config(**SMALL | options))
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(system.init, KEY, frozen(), batch())
    fill = lambda leaf: rng.uniform(0.1, 0.5, leaf.shape).astype(leaf.dtype)
    return system, *jax.tree.map(fill, shapes)


def test_depths_and_places_go_through_the_range_of_the_net_unchanged():
    places = np.random.default_rng(0).normal(16, 8, (1, SIZE, SIZE, 3)).astype(np.float32)
    there = inputs.scaled(jnp.asarray(places), SIZE)
    np.testing.assert_allclose(inputs.unscaled(there), places, atol=1e-5)
    corners = inputs.scaled(jnp.asarray([[0.0, 0, -SIZE / 2], [35.2, 35.2, 19.2]]), SIZE)
    np.testing.assert_allclose(corners, [[0, 0, 0], [1, 1, 1]], atol=1e-6)


def test_images_and_points_are_augmented_alike():
    """A bright spot stays under its point."""
    config = unprojection.Config(rotation=40.0, shift=0.1)
    centre = np.arange(SIZE) + 0.5
    points = np.array([[[14.0, 18.0, 3.0]], [[20.0, 12.0, -2.0]]], np.float32)
    square = (centre - points[:, :, :1]) ** 2  # [2, 1, S] in x
    spots = np.exp(-(square + ((centre - points[:, :, 1:2]) ** 2).transpose(0, 2, 1)) / 8)
    change = inputs.draw_change(config, KEY, 2, SIZE)
    image = np.asarray(inputs.changed_image(jnp.asarray(spots[..., None], jnp.float32), change))
    moved = np.asarray(inputs.changed_points(jnp.asarray(points), change))
    assert np.abs(moved - points).max() > 1
    for picture, point in zip(image[..., 0], moved[:, 0], strict=True):
        weight = picture / picture.sum()
        found = (weight.sum(0) @ centre, weight.sum(1) @ centre)
        np.testing.assert_allclose(found, point[:2], atol=0.1)
    np.testing.assert_allclose(moved[..., 2], points[..., 2] * np.asarray(change.scale)[:, None])


def test_colours_keep_their_range_and_patches_come_as_often_as_asked():
    image = jnp.full((64, 8, 8, 3), 0.5)
    config = unprojection.Config(least_gain=1.0, most_gain=1.0, occlusion=0.5, occlusion_size=1.0)
    made = np.asarray(inputs.recolored(config, KEY, image))
    assert made.min() >= 0 and made.max() <= 1
    share = np.mean([np.any(one != 0.5) for one in made])
    assert 0.3 < share < 0.7
    none = inputs.recolored(unprojection.Config(occlusion=0.0), KEY, image)
    assert np.all(np.ptp(np.asarray(none), axis=(1, 2)) == 0)  # a gain a channel, no more


def test_the_loss_is_the_weighted_square_of_the_maps_written_out():
    made, target = np.random.default_rng(0).uniform(size=(2, 3, 4, 4, 3))
    weight = np.random.default_rng(1).uniform(size=(4, 4))
    total = 0.0
    for one, other in zip(made, target, strict=True):
        for i in range(4):
            for j in range(4):
                total += weight[i, j] * np.sum((one[i, j] - other[i, j]) ** 2)
    found = unprojection._weighted_square(*map(jnp.asarray, (made, target, weight)))
    np.testing.assert_allclose(found, total / 48, rtol=1e-5)


def test_the_loss_has_its_terms_and_new_statistics():
    system, params, stats = start()
    loss, (new, terms) = jax.eval_shape(
        system.generator_loss, params["gen"], {}, stats, frozen(), batch(), KEY
    )
    assert loss.shape == () and set(terms) == {"position", "l2"}
    assert jax.tree.map(lambda x: x.shape, new) == jax.tree.map(lambda x: x.shape, stats)
    assert set(jax.eval_shape(start(lambda_l2=0.0)[0].generator_loss, params["gen"], {}, stats,
                              frozen(), batch(), KEY)[1][1]) == {"position"}  # fmt: skip


@pytest.mark.slow
def test_a_few_steps_lower_the_loss_and_move_the_statistics():
    system = start()[0]
    params, stats = system.init(KEY, frozen(), batch())
    before = stats["gen"]["stem"]["norm"]["mean"]
    loss = jit(jax.value_and_grad(system.generator_loss, has_aux=True))
    gen, losses = params["gen"], []
    for _ in range(12):
        (value, (stats, terms)), grad = loss(gen, {}, stats, frozen(), batch(), KEY)
        gen = jax.tree.map(lambda p, g: p - 0.3 * g, gen, grad)
        losses.append(float(value))
    assert set(terms) == {"position", "l2"} and np.isfinite(losses).all()
    assert losses[-1] < 0.8 * losses[0]
    assert not np.array_equal(stats["gen"]["stem"]["norm"]["mean"], before)


def test_what_is_generated_is_a_mesh_in_px():
    system, params, stats = start()
    made = jit(system.generate)(params["gen"], stats, frozen(), {"image": batch()["image"]})
    count = len(frozen()["morphable"].mean)
    shapes = {name: leaf.shape for name, leaf in made.items()}
    assert shapes == {
        "position": (2, SIZE, SIZE, 3), "vertices": (2, count, 3), "landmarks": (2, 70, 3)
    }  # fmt: skip
    assert np.all(np.abs(made["position"][..., :2] - 17.6) <= 17.6 + 1e-3)  # 0 to 1.1 sides


def test_training_begins_with_a_published_checkpoint(tmp_path):
    np.savez(tmp_path / "prnet.npz", **checkpoint(2))
    system = unprojection.make(unprojection.Config(width=2, initial=str(tmp_path / "prnet.npz")))
    params, stats = system.init(KEY, frozen(), batch())
    due = checkpoint(2)
    np.testing.assert_array_equal(
        params["gen"]["stem"]["conv"]["kernel"], due["resfcn256/Conv/weights"]
    )
    np.testing.assert_array_equal(
        stats["gen"]["stem"]["norm"]["mean"], due["resfcn256/Conv/BatchNorm/moving_mean"]
    )


def test_wrong_weights_are_refused_before_training(tmp_path):
    np.savez(tmp_path / "prnet.npz", **checkpoint(2))
    with pytest.raises(InputError, match=r"has width 2; due: model\.width = 16"):
        unprojection.make(unprojection.Config(initial=str(tmp_path / "prnet.npz")))
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    with pytest.raises(InputError, match="is not PRNet's checkpoint: it has no variable"):
        unprojection.make(unprojection.Config(initial=str(tmp_path / "other.npz")))


def test_sizes_that_do_not_fit_are_refused():
    system = unprojection.make(unprojection.Config(**SMALL))
    wrong = batch() | {"image": np.zeros((2, 48, 48, 3), np.float32)}
    with pytest.raises(InputError, match=r"data\.size is 48; due: a multiple of 32"):
        system.init(KEY, frozen(), wrong)


@pytest.mark.parametrize(
    "options", [{"width": 0}, {"occlusion": 1.5}, {"least_scale": 0.0}, {"most_gain": 0.1}]
)
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(InputError, match=rf"model\.{next(iter(options))} is"):
        unprojection.Config(**options)
