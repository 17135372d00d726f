import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax import losses
from facejax.errors import InputError
from facejax.systems import SYSTEMS, posegan
from facejax.systems.posegan_config import MOST_NOISE

ENTRY = SYSTEMS["posegan"]
KEY = jax.random.key(0)
FRAMES, ROWS = 8, 4
TINY = {"encoder_widths": (2, 3, 4, 4), "unet_widths": (4, 4), "width": 4, "dis_width": 2}
# Half the compile time; the results differ by rounding.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def config(preset="paper", **options):
    return ENTRY.Config(**(TINY | ENTRY.presets[preset]() | options))


@functools.cache
def batch(frames=FRAMES):
    rng = np.random.default_rng(0)
    attributes = rng.normal(size=(ROWS, frames, 10)).astype(np.float32)
    return {
        "speech": rng.normal(size=(ROWS, frames, 16, 29)).astype(np.float32),
        "attributes": attributes,
        "state": attributes[:, 0],
        "speaker": np.arange(ROWS, dtype=np.float32) % 2,
    }


@functools.cache
def _start(options):
    system = ENTRY.make(config(**dict(options)))
    rng, shapes = np.random.default_rng(0), jax.eval_shape(system.init, KEY, {}, batch())
    fill = lambda leaf: (0.5 + 0.2 * rng.normal(size=leaf.shape)).astype(leaf.dtype)
    return system, *jax.tree.map(fill, shapes)


def start(**options):
    return _start(tuple(options.items()))


@functools.cache
def _generator_loss(options):
    system, params, stats = _start(options)
    loss = jit(jax.value_and_grad(system.generator_loss, has_aux=True))
    return loss(params["gen"], params["dis"], stats, {}, batch(), KEY)


def generator_loss(**options):
    return _generator_loss(tuple(options.items()))


# Losses.


def test_the_terms_are_those_of_a_loop_and_have_their_weights():
    rng = np.random.default_rng(1)
    made, target = rng.normal(size=(2, ROWS, FRAMES, 6)).astype(np.float32)
    table = posegan._pose_terms(config(), jnp.asarray(made), jnp.asarray(target))
    wrong = (made - target).astype(np.float64)
    steps = [wrong[i, t] - wrong[i, t - 1] for i in range(ROWS) for t in range(1, FRAMES)]
    due = {
        "pose": (1, np.mean(wrong**2)),
        "pose_motion": (10, np.mean(np.square(steps))),
        "initial": (10, np.mean(np.abs(wrong[:, 0]))),
    }
    assert table.keys() == due.keys()
    for name, (weight, value) in due.items():
        assert table[name][0] == weight and float(table[name][1]) == pytest.approx(value, rel=1e-5)


def test_the_loss_is_the_weighted_sum_and_every_weight_of_the_net_is_trained():
    (loss, (_, terms)), gradient = generator_loss()
    weights = {"pose": 1, "pose_motion": 10, "initial": 10, "adversarial": 0.1}
    assert terms.keys() == weights.keys()
    due = sum(weight * float(terms[name]) for name, weight in weights.items())
    assert float(loss) == pytest.approx(due, rel=1e-5)
    assert all(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(gradient))


def test_the_discriminators_loss_is_real_plus_generated():
    for kind in ("sequence", "motion"):
        system, params, stats = start(discriminator=kind)
        arguments = params["dis"], params["gen"], stats, {}, batch(), KEY
        loss, (after, terms) = jax.eval_shape(system.discriminator_loss, *arguments)
        assert terms.keys() == {"real", "generated"} and loss.shape == ()
        chex.assert_trees_all_equal_shapes(after, stats)


def test_running_statistics_move_each_in_their_own_loss():
    system, params, stats = start()
    (_, (after, _)), _ = generator_loss()
    chex.assert_trees_all_equal(after["dis"], stats["dis"])
    assert not all(map(np.array_equal, *map(jax.tree.leaves, (after["gen"], stats["gen"]))))
    arguments = params["dis"], params["gen"], stats, {}, batch(), KEY
    _, (after, _) = jit(system.discriminator_loss)(*arguments)
    chex.assert_trees_all_equal(after["gen"], stats["gen"])
    assert not all(map(np.array_equal, *map(jax.tree.leaves, (after["dis"], stats["dis"]))))


def test_the_energy_of_poses_and_of_changes_is_in_the_truths_units():
    rng = np.random.default_rng(1)
    one, other, truth = rng.normal(size=(3, 2, 80, 6)).astype(np.float32)
    due = []
    for lag in posegan.LAGS:
        change = lambda x, k=lag: np.stack(
            [x[:, t] - (x[:, t - k] if k else 0) for t in range(k, 80)], 1
        )
        a, b, y = change(one), change(other), change(truth)
        norm = lambda x: np.linalg.norm(x, axis=-1).mean()
        due.append((norm(a - y) + norm(b - y) - norm(a - b)) / 2 / norm(y))
    found = posegan._energy(*map(jnp.asarray, (one, other, truth)))
    assert float(found) == pytest.approx(np.mean(due), rel=1e-4)


def test_the_energy_score_is_least_for_the_truths_own_deviation():
    rng = np.random.default_rng(2)
    one, other, truth = rng.normal(size=(3, 20000, 6))
    scores = {
        scale: float(losses.energy_score(scale * one, scale * other, truth))
        for scale in (0.0, 0.7, 1.0, 1.4)
    }
    assert min(scores, key=scores.get) == 1.0
    with pytest.raises(ValueError, match="due: the target's"):
        losses.energy_score(one[:, :3], other, truth)


def test_two_motions_differ_by_their_noise_alone():
    _, params, stats = start(preset="diverse", noise=3)
    both, _ = posegan._moved(config("diverse", noise=3), params["gen"], stats, batch(), KEY, 2)
    assert both.shape == (2 * ROWS, FRAMES, 6)
    assert bool(jnp.any(both[:ROWS] != both[ROWS:]))
    (_, (_, terms)), _ = generator_loss(preset="diverse", noise=3, lambda_adversarial=0.0)
    assert terms.keys() == {"energy", "initial"}


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        ({"lambda_adversarial": 0.0}, {"adversarial"}),
        ({"initial_pose": False}, {"initial"}),
        ({"audio": False}, set()),
    ],
)
def test_ablations_train_without_what_they_leave_out(options, gone):
    system, params, stats = start(**options)
    assert (params["dis"] == {}) == ("lambda_adversarial" in options)
    arguments = params["gen"], params["dis"], stats, {}, batch(), KEY
    _, (_, terms) = jax.eval_shape(system.generator_loss, *arguments)
    assert terms.keys() == {"pose", "pose_motion", "initial", "adversarial"} - gone
    loss, (_, terms) = (
        system.discriminator_loss({}, None, stats, {}, None, KEY)
        if gone == {"adversarial"}
        else (0, (stats, {}))
    )
    assert loss == 0 and terms == {}


# Making poses.


def told_rows(seed=0, speaker=0.0, frames=FRAMES):
    rng = np.random.default_rng(seed)
    speech = batch()["speech"][:1, :frames]
    noise = rng.normal(size=(1, frames, 16, MOST_NOISE)).astype(np.float32)
    who = np.full((1, frames, 16, 1), speaker, np.float32)
    return np.concatenate([speech, who, noise], -1)


def test_generating_depends_on_noise_speaker_and_initial_pose_where_the_net_is_told():
    def made(options, seed=0, speaker=0.0, initial=0.0):
        _, params, stats = start(**options)
        inputs = {"speech": told_rows(seed, speaker), "state": np.full((1, 6), initial, np.float32)}
        return np.asarray(
            run(tuple(options.items()))(params["gen"], stats, {}, inputs)["attributes"]
        )

    run = functools.cache(lambda options: jit(_start(options)[0].generate))
    told, plain = {"noise": 3, "speakers": 2}, {}
    assert made(plain).shape == (1, FRAMES, 6)
    for change in ({"seed": 1}, {"speaker": 1.0}):
        np.testing.assert_array_equal(made(plain), made(plain, **change))
        assert np.any(made(told) != made(told, **change))
    assert np.any(made(plain) != made(plain, initial=1.0))


def test_the_paper_has_the_specified_counts():
    system = ENTRY.make(ENTRY.Config())
    leaf = lambda *shape: jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    shapes = {"speech": leaf(256, 16, 29), "attributes": leaf(256, 71), "state": leaf(71)}
    params, _ = jax.eval_shape(system.init, KEY, {}, shapes)
    size = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
    assert size(params["gen"]) == 9_589_222 and size(params["dis"]) == 1_555_329


def test_half_precision_leaves_results_and_parameters_whole():
    system = ENTRY.make(config("diverse", bfloat16=True, speakers=2))
    params, stats = jax.eval_shape(system.init, KEY, {}, batch())
    arguments = params["gen"], params["dis"], stats, {}, batch(), KEY
    loss, (_, terms) = jax.eval_shape(system.generator_loss, *arguments)
    assert {x.dtype for x in jax.tree.leaves((params, stats, loss, terms))} == {np.dtype("f4")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder_widths": (2, 3)}, "model.encoder_widths is .*four numbers"),
        ({"unet": "vnet"}, "model.unet is 'vnet'; due: posegan, tface, gesture"),
        ({"unet_widths": (4, 0)}, "model.unet_widths"),
        ({"width": 0}, "model.width is 0; due: 1 or more"),
        ({"noise": 17}, "model.noise is 17; due: 0 to 16"),
        ({"discriminator": "image"}, "model.discriminator is 'image'; due: sequence or motion"),
        ({"lambda_pose": -1.0}, "model.lambda_pose is -1.0; due: 0 or more"),
        ({"speech_noise": -0.1}, "model.speech_noise is -0.1"),
        ({"audio": False, "initial_pose": False}, "one of them True"),
        ({"lambda_energy": 1.0}, "model.noise is 0; set it to 1 or more"),
    ],
)
def test_a_wrong_number_is_named(options, message):
    with pytest.raises(InputError, match=message):
        config(**options)


def test_what_the_data_cannot_give_is_refused():
    system = ENTRY.make(config(speakers=1))
    table = {"pose_mean": np.zeros((3, 6), np.float32)}
    with pytest.raises(InputError, match=r"model.speakers is 1, and the data has 3; set it to 3"):
        jax.eval_shape(system.init, KEY, {"speakers": table}, batch())
    paper = ENTRY.make(ENTRY.Config())
    with pytest.raises(InputError, match=r"data.frames is 8; .*due: a multiple of 32, as 256"):
        jax.eval_shape(paper.init, KEY, {}, batch())
