import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax import sharding
from facejax.errors import InputError
from facejax.systems import SYSTEMS, facial
from tests.fake_talks import TINY

ENTRY = SYSTEMS["facial"]
KEY = jax.random.key(0)
FRAMES, SIZE = 8, 10  # of expression, three
# Half the compile time; the results differ by rounding.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def config(preset="paper", **options):
    return ENTRY.Config(**(TINY | ENTRY.presets[preset]() | options))


@functools.cache
def batch(rows=4, frames=FRAMES):
    rng = np.random.default_rng(0)
    attributes = rng.normal(size=(rows, frames, SIZE)).astype(np.float32)
    speech = rng.normal(size=(rows, frames, 16, 29)).astype(np.float32)
    return {
        "speech": speech,
        "attributes": attributes,
        "state": attributes[:, 0],
        "identity": np.zeros((rows, frames, 2), np.float32),
        "speaker": np.zeros(rows, np.float32),
    }


def start(**options):
    return _start(tuple(options.items()))


@functools.cache
def _start(options):
    system = ENTRY.make(config(**dict(options)))
    if not options:
        return system, batch(), *system.init(KEY, {}, batch())
    # Numbers that need no compilation; what `init` gives is tested on the paper's preset.
    rng, shapes = np.random.default_rng(0), jax.eval_shape(system.init, KEY, {}, batch())
    fill = lambda leaf: (0.5 + 0.2 * rng.normal(size=leaf.shape)).astype(leaf.dtype)
    return system, batch(), *jax.tree.map(fill, shapes)


@functools.cache
def differentiated(loss):
    return jit(jax.value_and_grad(loss, has_aux=True))


def generator_loss(**options):
    system, data, params, stats = start(**options)
    arguments = params["gen"], params["dis"], stats, {}, data, KEY
    (loss, (after, terms)), gradient = differentiated(system.generator_loss)(*arguments)
    return loss, terms, after, gradient


def discriminator_loss():
    system, data, params, stats = start()
    arguments = params["dis"], params["gen"], stats, {}, data, KEY
    (loss, (after, terms)), gradient = differentiated(system.discriminator_loss)(*arguments)
    return loss, terms, after, gradient


@functools.cache
def made_in_training():
    """What the generator makes with the statistics of the batch."""
    _, data, params, stats = start()
    net = facial.generator(config(), SIZE)
    variables = {"params": params["gen"], "batch_stats": stats["gen"]}
    run = functools.partial(net.apply, train=True, mutable=["batch_stats"])
    return np.asarray(jit(run)(variables, data["speech"], data["state"])[0], np.float64)


def moved(a, b):
    return any(bool(jnp.any(x != y)) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True))


# Terms and weights.

PAPER = {
    "expression": 2, "expression_motion": 20, "pose": 1, "pose_motion": 10,
    "blink": 5, "blink_motion": 50, "state": 10, "adversarial": 0.1,
}  # fmt: skip
RELEASED = PAPER | {
    "expression": 20, "expression_motion": 200, "blink": 0.5, "blink_motion": 1,
}  # fmt: skip


def oracle(made, target, preset):
    """The terms of attributes, by loops."""
    wrong, parts = made - target, {"pose": (0, 6), "blink": (6, 7), "expression": (7, SIZE)}
    rows, frames = wrong.shape[:2]
    due = {"state": 0.0}
    for name, (a, b) in parts.items():
        values = [wrong[i, t, a:b] for i in range(rows) for t in range(frames)]
        steps = [
            wrong[i, t, a:b] - wrong[i, t - 1, a:b] for i in range(rows) for t in range(1, frames)
        ]
        due[name], due[f"{name}_motion"] = (np.mean(np.square(x)) for x in (values, steps))
        twice = 1 if preset == "released" and name == "expression" else 0  # the published slip
        due["state"] += np.mean(np.abs(wrong[:, 0, a - twice : b]))
    return due


@pytest.mark.parametrize(("preset", "weights"), [("paper", PAPER), ("released", RELEASED)])
def test_the_terms_are_those_of_a_loop_and_have_their_weights(preset, weights):
    rng = np.random.default_rng(1)
    made, target = rng.normal(size=(2, 4, FRAMES, SIZE)).astype(np.float32)
    table = facial._attribute_terms(config(preset), jnp.asarray(made), jnp.asarray(target))
    due = oracle(made.astype(np.float64), target.astype(np.float64), preset)
    assert table.keys() == due.keys()
    for name, (weight, term) in table.items():
        assert weight == weights[name] and float(term) == pytest.approx(due[name], rel=1e-5)
    assert config(preset).lambda_adversarial == weights["adversarial"]


def test_the_loss_is_the_weighted_sum_of_the_terms_of_what_is_made():
    loss, terms, _, gradient = generator_loss()
    assert terms.keys() == PAPER.keys()
    due = sum(weight * float(terms[name]) for name, weight in PAPER.items())
    assert float(loss) == pytest.approx(due, rel=1e-5)
    for name, value in oracle(made_in_training(), batch()["attributes"], "paper").items():
        assert float(terms[name]) == pytest.approx(value, rel=1e-3)
    assert all(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(gradient))


def test_sums_are_over_time_and_channels_and_means_over_sequences():
    made, target = jnp.ones((4, FRAMES, SIZE)), jnp.asarray(batch()["attributes"])
    mean, total = (
        facial._attribute_terms(config(reduction=kind), made, target) for kind in ("mean", "sum")
    )
    for name, size in {"pose": 6, "blink": 1, "expression": SIZE - 7}.items():
        for term, frames in ((name, FRAMES), (f"{name}_motion", FRAMES - 1)):
            due = float(mean[term][1]) * size * frames
            assert float(total[term][1]) == pytest.approx(due, rel=1e-5)


def test_weights_of_0_leave_their_terms_and_the_discriminator_out():
    options = {"lambda_adversarial": 0.0, "lambda_pose_motion": 0.0}
    system, data, params, stats = start(**options)
    assert params["dis"] == {} and stats["dis"] == {}
    loss, (after, terms) = system.discriminator_loss({}, params["gen"], stats, {}, data, KEY)
    assert loss == 0 and terms == {} and after is stats
    arguments = params["gen"], params["dis"], stats, {}, data, KEY
    _, (_, terms) = jax.eval_shape(system.generator_loss, *arguments)
    assert terms.keys() == PAPER.keys() - {"pose_motion", "adversarial"}


def test_the_discriminators_loss_is_real_plus_generated():
    loss, terms, _, _ = discriminator_loss()
    assert terms.keys() == {"real", "generated"}
    assert float(loss) == pytest.approx(float(terms["real"] + terms["generated"]))
    _, data, params, stats = start()
    net = facial.discriminator(config())
    made = made_in_training()
    score = jit(functools.partial(net.apply, train=True, mutable=["batch_stats"]))
    after, due = stats["dis"], []
    for sequence, aim in ((data["attributes"], 1), (made.astype(np.float32), 0)):
        variables = {"params": params["dis"], "batch_stats": after}
        scores, updated = score(variables, sequence)
        after = updated["batch_stats"]
        due.append(float(np.mean((np.asarray(scores.scores[0]) - aim) ** 2)))
    assert [float(terms["real"]), float(terms["generated"])] == pytest.approx(due, rel=1e-3)


# Batch norm.


def test_running_statistics_move_each_in_their_own_loss():
    stats = start()[3]
    _, _, after_dis, _ = discriminator_loss()
    _, _, after_gen, _ = generator_loss()
    chex.assert_trees_all_equal(after_dis["gen"], stats["gen"])
    chex.assert_trees_all_equal(after_gen["dis"], stats["dis"])
    assert moved(after_dis["dis"], stats["dis"]) and moved(after_gen["gen"], stats["gen"])


def test_generating_takes_the_running_statistics_and_leaves_rows_alone():
    system, data, params, stats = start()
    inputs = {name: data[name] for name in ("speech", "state")}
    generate = jit(system.generate)
    whole = generate(params["gen"], stats, {}, inputs)["attributes"]
    assert whole.shape == (4, FRAMES, SIZE)
    one = generate(params["gen"], stats, {}, {k: v[1:2] for k, v in inputs.items()})["attributes"]
    np.testing.assert_allclose(one[0], whole[1], atol=1e-5)
    after = generator_loss()[2]
    other = generate(params["gen"], after, {}, inputs)["attributes"]
    assert bool(jnp.any(other != whole))


def test_a_batch_on_four_devices_has_the_statistics_of_the_whole():
    """Batch norm is over the global batch: what one device does, four do."""
    if len(jax.devices()) < 4:
        pytest.skip("needs four devices")
    system, data, params, stats = start()
    mesh = sharding.make_mesh(jax.devices()[:4])
    whole, rows = sharding.replicated(mesh), sharding.split(mesh)
    loss = jax.value_and_grad(system.generator_loss, has_aux=True)
    compiled = jit(
        loss, in_shardings=(whole, whole, whole, whole, rows, whole), out_shardings=whole
    )
    given = sharding.replicate((params["gen"], params["dis"], stats, {}), mesh)
    key = sharding.replicate(KEY, mesh)
    (loss, (after, terms)), gradient = compiled(*given, sharding.put_batch(data, mesh), key)
    due = generator_loss()
    chex.assert_trees_all_close(float(loss), float(due[0]), rtol=1e-5)
    chex.assert_trees_all_close(*jax.device_get((terms, due[1])), rtol=1e-4)
    chex.assert_trees_all_close(*jax.device_get((after, due[2])), rtol=1e-4, atol=1e-6)
    chex.assert_trees_all_close(*jax.device_get((gradient, due[3])), rtol=1e-3, atol=1e-4)


def test_training_begins_at_the_mean_face_of_the_speakers():
    system, data, _, _ = start()
    rng = np.random.default_rng(2)
    table = {"blink_mean": rng.uniform(size=2), "expression_mean": rng.normal(size=(2, SIZE - 7))}
    table = {name: value.astype(np.float32) for name, value in table.items()}
    params, stats = system.init(KEY, {"speakers": table}, data)
    inputs = {name: data[name] for name in ("speech", "state")}
    made = jit(system.generate)(params["gen"], stats, {}, inputs)["attributes"]
    due = [np.zeros(6), [table["blink_mean"].mean()], table["expression_mean"].mean(0)]
    due = np.broadcast_to(np.concatenate(due), made.shape)
    np.testing.assert_allclose(made, due, atol=1e-6)


# Learning.


def test_twenty_steps_on_one_batch_lower_every_loss():
    system, data, params, stats = start()
    gen, dis, history = params["gen"], params["dis"], []
    descend = lambda tree, slope: jax.tree.map(lambda x, g: x - 3e-3 * jnp.sign(g), tree, slope)
    for _ in range(20):
        (_, (stats, terms)), slope = differentiated(system.generator_loss)(
            gen, dis, stats, {}, data, KEY
        )
        gen = descend(gen, slope)
        history.append({name: float(term) for name, term in terms.items()})
    for name in ("expression", "pose", "blink", "state"):
        assert history[-1][name] < 0.95 * history[0][name], name
    scores = []
    for _ in range(20):
        (loss, (stats, _)), slope = differentiated(system.discriminator_loss)(
            dis, gen, stats, {}, data, KEY
        )
        dis = descend(dis, slope)
        scores.append(float(loss))
    assert scores[-1] < 0.9 * scores[0]


def test_a_dropped_state_is_0_and_noise_is_on_the_speech_alone():
    data = {"speech": jnp.ones((2000, 2, 16, 3)), "state": jnp.ones((2000, 3))}
    plain = facial._heard(config(), data, KEY)
    assert plain[0] is data["speech"] and plain[1] is data["state"]
    speech, state = facial._heard(config(state_dropout=0.3, speech_noise=0.5), data, KEY)
    kept = np.asarray(state).all(1)
    np.testing.assert_array_equal(kept, np.asarray(state).any(1))  # whole or not at all
    assert np.mean(kept) == pytest.approx(0.7, abs=0.04)
    assert float(jnp.std(speech)) == pytest.approx(0.5, rel=0.02)
    assert float(jnp.mean(speech)) == pytest.approx(1, abs=0.01)


# Sizes.


@pytest.mark.parametrize(("preset", "count"), [("paper", 1_294_471), ("released", 9_688_967)])
def test_presets_have_the_published_counts(preset, count):
    system = ENTRY.make(ENTRY.Config(**ENTRY.presets[preset]()))
    leaf = lambda *shape: jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    shapes = {"speech": leaf(128, 16, 29), "attributes": leaf(128, 71), "state": leaf(71)}
    params, stats = jax.eval_shape(system.init, KEY, {}, shapes)
    size = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
    assert size(params["gen"]) == count and size(params["dis"]) == 1_555_329
    made = jax.eval_shape(
        system.generate, params["gen"], stats, {}, {k: shapes[k] for k in ("speech", "state")}
    )
    assert made["attributes"].shape == (1, 128, 71)


def test_half_precision_leaves_results_and_parameters_whole():
    system = ENTRY.make(config(bfloat16=True))
    params, stats = jax.eval_shape(system.init, KEY, {}, batch())
    arguments = params["gen"], params["dis"], stats, {}, batch(), KEY
    loss, (_, terms) = jax.eval_shape(system.generator_loss, *arguments)
    assert {x.dtype for x in jax.tree.leaves((params, stats, loss, terms))} == {np.dtype("f4")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder_widths": (2, 3)}, "model.encoder_widths is .*four numbers"),
        ({"local_widths": (2, 3, 4, 0)}, "model.local_widths"),
        ({"width": 0}, "model.width is 0; due: 1 or more"),
        ({"lambda_pose": -1.0}, "model.lambda_pose is -1.0; due: 0 or more"),
        ({"lambda_state": float("nan")}, "model.lambda_state is nan"),
        ({"state_dropout": 1.5}, "model.state_dropout is 1.5"),
        ({"speech_noise": -0.1}, "model.speech_noise is -0.1"),
        ({"reduction": "max"}, "model.reduction is 'max'; due: mean or sum"),
    ],
)
def test_a_wrong_number_is_named(options, message):
    with pytest.raises(InputError, match=message):
        config(**options)


def test_a_length_that_the_unet_cannot_halve_is_refused():
    system = ENTRY.make(config("released"))
    with pytest.raises(
        InputError, match=r"data.frames is 48; with the U-net due: a multiple of 32"
    ):
        jax.eval_shape(system.init, KEY, {}, batch(frames=48))
