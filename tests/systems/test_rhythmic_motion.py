"""Psi and Phi as systems: losses, statistics, what is made, and that they learn."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from facejax.errors import InputError
from facejax.nets import rhythmic_motion as nets
from facejax.systems import SYSTEMS, rhythmic_motion

KEY = jax.random.key(0)
PSI = {"widths": (2, 3), "hidden": 4}
PHI = {"image_widths": (2, 2), "width": 4, "features": 3, "motion_widths": (3, 4), "hidden": 4}
TINY = {"rhythmic_expression": PSI, "rhythmic_motion": PHI}
RNG = np.random.default_rng(0)
FROZEN = {"landmarks": {"deviations": np.array([4.0, 2.0, 1.0], np.float32)}}
draw = lambda *shape: RNG.normal(size=shape).astype(np.float32)
BATCHES = {
    "rhythmic_expression": {"audio": draw(5, 90), "reference": draw(5, 3), "target": draw(5, 3)},
    "rhythmic_motion": {
        "known_motion": draw(3, 13, 6),
        "known_chunks": draw(3, 19, 9),
        "motion": draw(3, 5, 6),
        "chunks": draw(3, 11, 9),
    },
}
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def start(name, preset="paper", **options):
    entry = SYSTEMS[name]
    config = entry.Config(**(TINY[name] | entry.presets[preset]() | options))
    system, batch = entry.make(config), BATCHES[name]
    return system, batch, *system.init(KEY, FROZEN, batch)


@functools.cache
def generator_loss(name, preset="paper"):
    system, batch, params, stats = start(name, preset)
    loss = jit(jax.value_and_grad(system.generator_loss, has_aux=True))
    return loss(params["gen"], params["dis"], stats, FROZEN, batch, KEY)


@pytest.mark.parametrize(
    ("name", "preset", "terms"),
    [
        ("rhythmic_expression", "paper", {"components"}),
        ("rhythmic_motion", "paper", {"motion", "adversarial"}),
        ("rhythmic_motion", "released", {"motion"}),
    ],
)
def test_the_loss_is_the_weighted_sum_of_its_terms(name, preset, terms):
    (loss, (_, found)), gradient = generator_loss(name, preset)
    assert found.keys() == terms
    weights = {"adversarial": 0.01}
    due = sum(weights.get(term, 1) * float(value) for term, value in found.items())
    assert float(loss) == pytest.approx(due, rel=1e-5)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert sum(bool(np.any(leaf)) for leaf in jax.tree.leaves(gradient)) > 6


@pytest.mark.parametrize("name", list(TINY))
def test_statistics_move_with_the_generator_and_with_nothing_else(name):
    system, batch, params, stats = start(name)
    (_, (after, _)), _ = generator_loss(name)
    pairs = zip(jax.tree.leaves(after["gen"]), jax.tree.leaves(stats["gen"]), strict=True)
    assert all(np.any(new != old) for new, old in pairs)
    loss = jit(system.discriminator_loss)
    value, (same, terms) = loss(params["dis"], params["gen"], stats, FROZEN, batch, KEY)
    jax.tree.map(np.testing.assert_array_equal, same, stats)
    assert float(value) == pytest.approx(sum(map(float, terms.values())))


def test_components_are_measured_in_their_mean_deviation():
    """An oracle of the loss from what is made with the batch's statistics and no dropout."""
    system, batch, params, stats = start("rhythmic_expression", dropout=0.0)
    _, (_, terms) = system.generator_loss(params["gen"], {}, stats, FROZEN, batch, KEY)
    net = nets.ExpressionNet(**PSI, dropout=0.0)
    unit = np.sqrt(np.mean(np.square(FROZEN["landmarks"]["deviations"])))
    known = {"params": params["gen"], "batch_stats": stats["gen"]}
    made, _ = net.apply(
        known, batch["audio"], batch["reference"] / unit, train=True, mutable=["batch_stats"]
    )
    due = np.mean(np.square(np.asarray(made) - batch["target"] / unit))
    assert float(terms["components"]) == pytest.approx(due, rel=1e-4)


def test_an_expression_is_made_in_pixels():
    system, batch, params, stats = start("rhythmic_expression")
    made = system.generate(params["gen"], stats, FROZEN, batch)["expression"]
    twice = {"landmarks": {"deviations": 2 * FROZEN["landmarks"]["deviations"]}}
    larger = system.generate(
        params["gen"], stats, twice, batch | {"reference": 2 * batch["reference"]}
    )["expression"]
    np.testing.assert_allclose(larger, 2 * np.asarray(made), rtol=1e-4)


def test_the_published_code_hears_16_bit_numbers():
    system, batch, params, stats = start("rhythmic_expression", "released", dropout=0.0)
    plain, *_ = start("rhythmic_expression", scaled=False, dropout=0.0)
    loud = batch | {"audio": 32768 * batch["audio"]}
    made, due = (
        one.generate(params["gen"], stats, FROZEN, given)["expression"]
        for one, given in ((system, batch), (plain, loud))
    )
    np.testing.assert_allclose(made, due, rtol=1e-5)


def test_what_was_made_of_the_reference_serves_again():
    system, batch, params, stats = start("rhythmic_motion")
    whole = system.generate(params["gen"], stats, FROZEN, batch)
    again = {name: whole[name] for name in ("weights", "biases")} | {"chunks": batch["chunks"]}
    found = system.generate(params["gen"], stats, FROZEN, again)["motion"]
    np.testing.assert_allclose(found, whole["motion"], atol=1e-6)
    assert whole["motion"].shape == (3, 5, 6)


def test_the_discriminator_learns_to_tell_and_the_generator_to_please_it():
    config = rhythmic_motion.Config(**PHI)
    rng = np.random.default_rng(1)
    real, made = (jnp.asarray(rng.normal(size=(16, 20, 6)) * size) for size in (1.0, 0.3))
    net = nets.MotionDiscriminator()
    params = net.init(KEY, real)["params"]
    optimiser = optax.adam(0.05)

    @jit
    def step(params, state):
        loss = lambda p: (
            rhythmic_motion._cross_entropy(config, p, real, 1.0)
            + rhythmic_motion._cross_entropy(config, p, made, 0.0)
        )
        value, gradient = jax.value_and_grad(loss)(params)
        change, state = optimiser.update(gradient, state)
        return optax.apply_updates(params, change), state, value

    state = optimiser.init(params)
    for _ in range(150):
        params, state, value = step(params, state)
    assert value < 0.3
    please = lambda size: rhythmic_motion._cross_entropy(config, params, size * made, 1.0)
    assert jax.grad(please)(1.0) < 0  # more motion is more like the real


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("rhythmic_expression", {"widths": ()}, "widths"),
        ("rhythmic_expression", {"dropout": 1.0}, "dropout"),
        ("rhythmic_expression", {"audio_scale": 0.0}, "audio_scale"),
        ("rhythmic_motion", {"image_widths": (8,)}, "image_widths"),
        ("rhythmic_motion", {"width": 0}, "width"),
        ("rhythmic_motion", {"lambda_adversarial": -1.0}, "lambda_adversarial"),
        ("rhythmic_motion", {"dropout": -0.1}, "dropout"),
    ],
)
def test_numbers_out_of_range_are_refused(name, options, told):
    with pytest.raises(InputError, match=told):
        SYSTEMS[name].Config(**options)


@pytest.mark.parametrize("name", list(TINY))
def test_twenty_steps_on_one_batch_lower_the_loss(name):
    system, batch, params, stats = start(name, dropout=0.0)
    optimiser = optax.adam(0.01)

    @jit
    def step(gen, stats, state):
        loss = jax.value_and_grad(system.generator_loss, has_aux=True)
        (value, (stats, _)), gradient = loss(gen, params["dis"], stats, FROZEN, batch, KEY)
        change, state = optimiser.update(gradient, state)
        return optax.apply_updates(gen, change), stats, state, value

    gen, state, values = params["gen"], optimiser.init(params["gen"]), []
    for _ in range(20):
        gen, stats, state, value = step(gen, stats, state)
        values.append(float(value))
    assert values[-1] < 0.9 * values[0]
