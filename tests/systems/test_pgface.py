import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.errors import InputError
from facejax.geometry.morphable import MorphableModel, face_shape
from facejax.nets import pgface as nets
from facejax.systems import SYSTEMS, pgface
from tests.data import fake

ENTRY = SYSTEMS["pgface"]
KEY = jax.random.key(0)
FRAMES, ROWS = 6, 3
TINY = {"widths": (3, 3, 4, 4), "hidden": (5, 4)}
MODEL = MorphableModel(**fake.model_arrays())
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def config(**options):
    return ENTRY.Config(**(TINY | options))


@functools.cache
def batch():
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=(ROWS, *shape)).astype(np.float32)
    return {
        "speech": draw(FRAMES, 16, 29),
        "attributes": draw(FRAMES, 10),
        "identity": draw(FRAMES, 4),
        "around": draw(FRAMES + 15, 6),
        "speaker": np.arange(ROWS, dtype=np.float32),
    }


def table(rows=2):
    rng = np.random.default_rng(2)
    draw = lambda *shape: rng.normal(size=(rows, *shape)).astype(np.float32)
    return {"pose_mean": draw(6), "expression_mean": draw(3), "identity": draw(4)}


def start(**options):
    system = ENTRY.make(config(**options))
    rng, shapes = np.random.default_rng(0), jax.eval_shape(system.init, KEY, frozen(), batch())
    fill = lambda leaf: (0.5 + 0.2 * rng.normal(size=leaf.shape)).astype(leaf.dtype)
    return system, *jax.tree.map(fill, shapes)


def frozen():
    return {"morphable": MODEL, "speakers": table()}


def test_each_frame_has_the_poses_and_the_speech_around_it():
    seen = np.asarray(
        pgface.windows(
            config(), *(jnp.asarray(batch()[k]) for k in ("around", "speech", "speaker"))
        )
    )
    assert seen.shape == (ROWS, FRAMES, 16, 35)
    for row in range(ROWS):
        for t in range(FRAMES):
            for k in range(16):
                np.testing.assert_array_equal(seen[row, t, k, :6], batch()["around"][row, t + k])
                np.testing.assert_array_equal(seen[row, t, k, 6:], batch()["speech"][row, t, k])


def test_who_speaks_is_told_where_it_is_asked_for():
    seen = pgface.windows(
        config(speakers=4), *(jnp.asarray(batch()[k]) for k in ("around", "speech", "speaker"))
    )
    np.testing.assert_array_equal(
        seen[2, :, :, 35:], np.broadcast_to([0, 0, 1, 0], (FRAMES, 16, 4))
    )


def test_the_terms_are_those_of_a_loop_and_have_their_weights():
    rng = np.random.default_rng(1)
    made, target = (
        nets.Shape(*(jnp.asarray(rng.normal(size=(ROWS, FRAMES, n)), jnp.float32) for n in (4, 3)))
        for _ in range(2)
    )
    terms = pgface._shape_terms(config(), made, target)
    wrong = [np.asarray(a, np.float64) - np.asarray(b) for a, b in zip(made, target, strict=True)]
    steps = [wrong[1][i, t] - wrong[1][i, t - 1] for i in range(ROWS) for t in range(1, FRAMES)]
    due = {
        "identity": (1, np.mean(wrong[0] ** 2)),
        "expression": (2, np.mean(wrong[1] ** 2)),
        "expression_motion": (10, np.mean(np.square(steps))),
    }
    assert terms.keys() == due.keys()
    for name, (weight, value) in due.items():
        assert terms[name][0] == weight and float(terms[name][1]) == pytest.approx(value, rel=1e-5)


def test_vertices_are_measured_without_being_made():
    rng = np.random.default_rng(3)
    one, other = (
        (rng.normal(size=(5, 4)).astype("f4"), rng.normal(size=(5, 3)).astype("f4")) for _ in "ab"
    )
    apart = face_shape(MODEL, *one) - face_shape(MODEL, *other)
    due = np.square(np.asarray(apart, np.float64)).sum(-1).mean(-1)
    found = pgface.vertex_squares(MODEL, one[0] - other[0], one[1] - other[1])
    np.testing.assert_allclose(found, due, rtol=1e-4)


def test_every_weight_of_the_net_is_trained_and_statistics_move():
    system, params, stats = start(lambda_vertices=0.1)
    loss = jit(jax.value_and_grad(system.generator_loss, has_aux=True))
    (value, (after, terms)), gradient = loss(params["gen"], {}, stats, frozen(), batch(), KEY)
    weights = {"identity": 1, "expression": 2, "expression_motion": 10, "vertices": 0.1}
    assert terms.keys() == weights.keys()
    due = sum(weight * float(terms[name]) for name, weight in weights.items())
    assert float(value) == pytest.approx(due, rel=1e-5)
    assert all(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(gradient))
    assert not all(map(np.array_equal, *map(jax.tree.leaves, (after["gen"], stats["gen"]))))
    assert system.discriminator_loss({}, params["gen"], stats, {}, batch(), KEY)[0] == 0


def test_training_begins_at_the_mean_face_of_the_speakers():
    system = ENTRY.make(config())
    params, stats = system.init(KEY, frozen(), batch())
    inputs = {name: batch()[name] for name in ("speech", "around", "speaker")}
    made = jit(system.generate)(params["gen"], stats, frozen(), inputs)
    for name, key in (("identity", "identity"), ("expression", "expression_mean")):
        due = np.broadcast_to(table()[key].mean(0), made[name].shape)
        np.testing.assert_allclose(made[name], due, atol=1e-6)


def test_without_pose_only_speech_counts():
    system, params, stats = start(pose=False)
    generate = jit(system.generate)
    inputs = {name: batch()[name] for name in ("speech", "around", "speaker")}
    made = generate(params["gen"], stats, frozen(), inputs)
    other = generate(params["gen"], stats, frozen(), inputs | {"around": -inputs["around"]})
    np.testing.assert_array_equal(made["expression"], other["expression"])
    quiet = generate(params["gen"], stats, frozen(), inputs | {"speech": -inputs["speech"]})
    assert bool(jnp.any(made["expression"] != quiet["expression"]))


def test_data_without_a_face_has_no_identity_to_learn():
    system = ENTRY.make(config())
    data = batch() | {"identity": np.zeros((ROWS, FRAMES, 0), np.float32)}
    speakers = table() | {"identity": np.zeros((2, 0), np.float32)}
    params, stats = jax.eval_shape(system.init, KEY, {"speakers": speakers}, data)
    arguments = params["gen"], {}, stats, {}, data, KEY
    _, (_, terms) = jax.eval_shape(system.generator_loss, *arguments)
    assert terms.keys() == {"expression", "expression_motion"}


def test_the_paper_has_the_specified_count():
    system = ENTRY.make(ENTRY.Config())
    leaf = lambda *shape: jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    shapes = {
        "speech": leaf(32, 16, 29), "attributes": leaf(32, 71), "identity": leaf(32, 80),
        "around": leaf(47, 6),
    }  # fmt: skip
    params, _ = jax.eval_shape(system.init, KEY, {}, shapes)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 47_554


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (2, 3)}, r"model.widths is \(2, 3\); due: 4 numbers"),
        ({"hidden": (2, 0)}, "model.hidden is"),
        ({"speakers": -1}, "model.speakers is -1; due: 0 or more"),
        ({"lambda_identity": float("inf")}, "model.lambda_identity is inf"),
        ({"speech_noise": -0.1}, "model.speech_noise is -0.1"),
    ],
)
def test_a_wrong_number_is_named(options, message):
    with pytest.raises(InputError, match=message):
        config(**options)


def test_what_the_data_cannot_give_is_refused():
    with pytest.raises(InputError, match=r"model.speakers is 1, and the data has 2"):
        jax.eval_shape(ENTRY.make(config(speakers=1)).init, KEY, frozen(), batch())
    vertices = ENTRY.make(config(lambda_vertices=1.0))
    with pytest.raises(InputError, match="the data has no face model"):
        jax.eval_shape(vertices.init, KEY, {"speakers": table()}, batch())
