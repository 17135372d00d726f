import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from facejax import optimisers
from facejax.errors import InputError

HALF = optimisers.Optim(schedule="linear", constant_part=0.5)


def factors(optim, total, steps):
    factor = optimisers.rate_factor(optim, total, lambda epoch: 10 * epoch)
    return np.asarray([factor(jnp.int32(step)) for step in steps])


def test_headgans_rate_falls_over_the_last_four_epochs_and_never_is_zero():
    found = factors(optimisers.Optim(), 100, range(5, 100, 10))
    np.testing.assert_allclose(found, [1] * 6 + [0.8, 0.6, 0.4, 0.2], atol=1e-6)


def test_the_published_rate_is_zero_in_the_last_epoch():
    found = factors(optimisers.Optim(zero_last=True), 100, range(5, 100, 10))
    np.testing.assert_allclose(found, [1] * 6 + [0.75, 0.5, 0.25, 0], atol=1e-6)


def test_the_rate_changes_at_the_first_step_of_an_epoch():
    np.testing.assert_allclose(factors(optimisers.Optim(), 100, [59, 60]), [1, 0.8], atol=1e-6)


def test_the_linear_rate_holds_then_falls_to_nothing():
    found = factors(HALF, 100, [0, 49, 50, 75, 99, 100])
    np.testing.assert_allclose(found, [1, 1, 1, 0.5, 0.02, 0], atol=1e-6)


def test_the_rate_warms_up():
    optim = optimisers.Optim(schedule="constant", warmup_steps=4)
    np.testing.assert_allclose(factors(optim, 9, range(6)), [0.25, 0.5, 0.75, 1, 1, 1])


def test_a_discriminator_that_rests_keeps_to_the_steps_of_the_run():
    rates = {"gen_lr": 1.0, "dis_lr": 1.0, "dis_every": 4, "schedule": "linear"}
    both = optimisers.make_optimisers(
        optimisers.Optim(**rates, constant_part=0.0), 8, lambda epoch: epoch
    )
    weight = {"w": jnp.zeros(())}
    sizes = []
    for tx, updates in zip(both, (8, 2), strict=True):
        state = tx.init(weight)
        for _ in range(updates):
            change, state = tx.update({"w": jnp.ones(())}, state, weight)
        sizes.append(float(change["w"]))
    np.testing.assert_allclose(sizes, [-1 / 8, -1 / 2], rtol=1e-4)  # steps 7 and 4 of 8


@pytest.mark.parametrize("flat", [False, True])
def test_what_fits_no_pattern_stays(flat):
    optim = optimisers.Optim(trained="decoder/*, fusion/first_*", flat=flat, schedule="constant")
    tx, _ = optimisers.make_optimisers(optim, 9, lambda epoch: epoch)
    part = {"kernel": jnp.ones((2, 2))}
    weights = {"decoder": {"image": part}, "fusion": {"first_0": part, "image_0": part}}
    change, _ = tx.update(weights, tx.init(weights), weights)
    moved = jax.tree.map(lambda leaf: bool(jnp.all(leaf != 0)), change)
    assert moved == {
        "decoder": {"image": {"kernel": True}},
        "fusion": {"first_0": {"kernel": True}, "image_0": {"kernel": False}},
    }
    wrong = dataclasses.replace(optim, trained="decodr/*")
    tx, _ = optimisers.make_optimisers(wrong, 9, lambda epoch: epoch)
    with pytest.raises(InputError, match=r"'decodr/\*'; the parts are: decoder, fusion"):
        tx.init(weights)


def test_a_large_gradient_is_cut():
    tx, _ = optimisers.make_optimisers(optimisers.Optim(clip=1.0), 9, lambda epoch: epoch)
    weight = {"w": jnp.zeros(4)}
    _, state = tx.update({"w": jnp.full(4, 1e6)}, tx.init(weight), weight)
    moment = next(x for x in jax.tree.leaves(state) if x.shape == (4,))
    np.testing.assert_allclose(optax.tree.norm({"w": moment}), 0.5, rtol=1e-4)  # (1 - b1) * 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("schedule", "cosine"), ("ema", 1.0), ("gen_lr", -1.0), ("accumulate", 0), ("b1", 1.5)],
)
def test_a_value_out_of_range_is_named(name, value):
    with pytest.raises(InputError, match=f"optim.{name} is"):
        optimisers.Optim(**{name: value})


def test_the_rate_is_halved_every_five_epochs_from_the_fifth():
    optim = optimisers.Optim(schedule="halving", constant_epochs=4, decay_epochs=5)
    found = factors(optim, 200, range(5, 200, 10))
    due = [1] * 4 + [0.5 ** (past / 5) for past in range(1, 17)]
    np.testing.assert_allclose(found, due, rtol=1e-5)
    np.testing.assert_allclose(factors(optim, 200, [39, 40]), [1, 0.5**0.2], rtol=1e-5)


def test_weight_decay_is_added_to_the_gradient_as_torchs_adam_does():
    torch = pytest.importorskip("torch")
    optim = optimisers.Optim(gen_lr=0.1, b1=0.9, schedule="constant", weight_decay=0.3)
    tx, _ = optimisers.make_optimisers(optim, 9, lambda epoch: epoch)
    ours, theirs = jnp.array([2.0, -1.0]), torch.tensor([2.0, -1.0], requires_grad=True)
    peer = torch.optim.Adam([theirs], lr=0.1, betas=(0.9, 0.999), weight_decay=0.3)
    state = tx.init(ours)
    for _ in range(3):
        change, state = tx.update(2 * ours, state, ours)
        ours = optax.apply_updates(ours, change)
        peer.zero_grad()
        (theirs**2).sum().backward()
        peer.step()
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4)


def test_one_vector_of_all_parameters_moves_as_they_do_apart():
    params = {"a": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones((4,))}
    gradient = jax.tree.map(lambda x: jnp.sin(x) + 0.1, params)
    found = []
    for flat in (False, True):
        optim = optimisers.Optim(schedule="constant", clip=0.5, flat=flat)
        gen, _ = optimisers.make_optimisers(optim, 10, lambda epoch: epoch)
        state, moved = gen.init(params), params
        for _ in range(3):
            update, state = gen.update(gradient, state, moved)
            moved = optax.apply_updates(moved, update)
        found.append(moved)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), *found)
