import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from facejax import step as steps
from tests import toy

PLAIN = toy.Config()
NOISY = toy.Config(noise=1.0)


@functools.cache
def start(config=PLAIN):
    """The system, its first state and its optimisers; one a config, so that jit compiles once."""
    system, tx = toy.make(config), (optax.adam(1e-2), optax.adam(1e-2))
    init = jax.jit(lambda key, batch: steps.init_state(system, *tx, key, batch))
    return system, init(jax.random.key(0), toy.batch()), tx


@functools.cache
def compiled(config, options):
    system, _, tx = start(config)
    return jax.jit(steps.make_step(system, *tx, **dict(options)))


def run(count, *, config=PLAIN, rows=4, state=None, **options):
    system, first, _ = start(config)
    step = compiled(config, tuple(({"ema_decay": 0.9} | options).items()))
    state, terms = state or first, {}
    for _ in range(count):
        state, terms = step(state, system.frozen, toy.batch(rows), jax.random.key(1))
    return state, terms


def test_twenty_steps_on_one_batch_lower_the_generators_loss():
    _, first = run(1)
    _, last = run(20)
    assert last["gen/l1"] < 0.95 * first["gen/l1"]


def test_one_step_equals_the_two_updates_written_out():
    system, state, (gen_tx, dis_tx) = start()
    batch, gen, dis = toy.batch(), state.params["gen"], state.params["dis"]
    loss = lambda d: system.discriminator_loss(d, gen, state.stats, {}, batch, None)[0]
    update, _ = dis_tx.update(jax.grad(loss)(dis), state.opt["dis"], dis)
    dis = optax.apply_updates(dis, update)
    loss = lambda g: system.generator_loss(g, dis, state.stats, {}, batch, jax.random.key(0))[0]
    update, _ = gen_tx.update(jax.grad(loss)(gen), state.opt["gen"], gen)
    gen = optax.apply_updates(gen, update)
    found, _ = run(1)
    chex.assert_trees_all_close(found.params, {"gen": gen, "dis": dis}, rtol=1e-5)


def test_micro_batches_equal_the_whole_batch():
    whole, whole_terms = run(3, rows=8)
    parts, part_terms = run(3, rows=8, accumulate=4)
    chex.assert_trees_all_close(whole.params, parts.params, atol=1e-5)
    chex.assert_trees_all_close(whole_terms, part_terms, rtol=1e-4)
    assert parts.stats["gen"]["calls"] == 4 * whole.stats["gen"]["calls"]


def test_every_row_is_in_one_micro_batch():
    cut = steps._cut({"x": jnp.arange(12).reshape(6, 2)}, 3)["x"]
    assert cut.shape == (3, 2, 2)
    np.testing.assert_array_equal(np.sort(cut.ravel()), np.arange(12))


def test_a_batch_that_cannot_be_cut_is_refused():
    with pytest.raises(ValueError, match="batch of 4 cannot be cut into 3"):
        run(1, accumulate=3)


def test_the_discriminator_moves_only_every_nth_step():
    state, _ = run(0)
    moved, terms = [], []
    for _ in range(5):
        following, values = run(1, state=state, dis_every=3)
        moved.append(not np.array_equal(following.params["dis"]["in"], state.params["dis"]["in"]))
        terms.append(values)
        state = following
    assert moved == [True, False, False, True, False]
    assert all(v["dis/hinge"] > 0 for v in terms) and terms[1]["dis/grad_norm"] == 0
    assert state.opt["dis"][0].count == 2 and state.opt["gen"][0].count == 5


def test_an_average_without_decay_is_the_generator():
    state, _ = run(3, ema_decay=0.0)
    chex.assert_trees_all_equal(state.ema, state.params["gen"])


def test_the_average_lags_and_warms_up():
    before, _ = run(0)
    after, _ = run(1, ema_decay=0.999)
    due = jax.tree.map(lambda a, b: 0.1 * a + 0.9 * b, before.ema, after.params["gen"])
    chex.assert_trees_all_close(after.ema, due, rtol=1e-5)  # (1 + 0) / (10 + 0) = 0.1
    late = jax.tree.map(lambda x: x, before).replace(step=jnp.int32(100_000))
    after, _ = run(1, ema_decay=0.999, state=late)
    due = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b, before.ema, after.params["gen"])
    chex.assert_trees_all_close(after.ema, due, rtol=1e-5)


def test_each_step_draws_other_noise_and_a_resumed_one_the_same():
    middle, first = run(1, config=NOISY)
    _, second = run(1, config=NOISY, state=middle)
    assert first["gen/l1"] != second["gen/l1"]
    whole, _ = run(2, config=NOISY)
    resumed, _ = run(1, config=NOISY, state=middle)
    chex.assert_trees_all_equal(whole, resumed)


def test_terms_carry_every_name_of_the_system():
    _, terms = run(1, dis_every=2)
    assert set(terms) == {
        "dis/hinge", "dis/loss", "dis/grad_norm",
        "gen/l1", "gen/adversarial", "gen/loss", "gen/grad_norm",
    }  # fmt: skip
    np.testing.assert_allclose(
        terms["gen/loss"], 10 * terms["gen/l1"] + 0.1 * terms["gen/adversarial"], rtol=1e-5
    )
