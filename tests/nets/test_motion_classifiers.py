import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from facejax.nets.motion_classifiers import MotionClassifier
from tests.nets.contracts import function, sizes, variables


@pytest.mark.parametrize(("channels", "count"), [(6, 132_325), (1, 131_845)])
def test_the_nets_have_their_sizes(channels, count):
    output, layers, found = sizes(MotionClassifier(), (2, 128, channels), train=False)
    assert (output, found) == ((2, 5), count)
    assert [layers[f"conv_{i}"][1] for i in range(4)] == [64, 32, 16, 8]


def motions(seed, number):
    """Five people, each nodding at a pace and about a pitch of their own: [5 number, 32, 6]."""
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(5), number)
    time, phase = np.arange(32)[None], rng.uniform(0, 2 * np.pi, (len(people), 1))
    x = 0.1 * rng.normal(size=(len(people), 32, 6))
    x[..., 0] += 0.1 * people[:, None] + np.sin((0.2 + 0.2 * people[:, None]) * time + phase)
    return jnp.asarray(x, jnp.float32), jnp.asarray(people)


def test_five_styles_are_told_apart_on_motion_that_was_not_trained_on():
    net, optimiser = MotionClassifier(5, (8, 8, 16)), optax.adam(3e-3)
    motion, people = motions(0, 40)
    made = variables(net, motion, train=False)

    def loss(params, stats):
        found = {"params": params, "batch_stats": stats}
        logits, updated = net.apply(found, motion, train=True, mutable="batch_stats")
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, people)
        return jnp.mean(losses), updated["batch_stats"]

    def step(_, carry):
        params, stats, state = carry
        gradient, stats = jax.grad(loss, has_aux=True)(params, stats)
        update, state = optimiser.update(gradient, state)
        return optax.apply_updates(params, update), stats, state

    params, stats = made["params"], made["batch_stats"]
    train = jax.jit(lambda carry: jax.lax.fori_loop(0, 80, step, carry))
    params, stats, _ = train((params, stats, optimiser.init(params)))
    motion, people = motions(1, 20)
    logits = function(net, train=False)({"params": params, "batch_stats": stats}, motion)
    assert float(jnp.mean(jnp.argmax(logits, -1) == people)) > 0.9  # chance: 0.2


def test_when_a_motion_is_long_a_style_counts_wherever_it_is():
    """The average pool: a motion twice over has the logits of one, but for its borders."""
    net = MotionClassifier(5, (4, 4))
    motion = jax.random.normal(jax.random.key(1), (1, 64, 6))
    run = functools.partial(function(net, train=False), variables(net, motion, train=False))
    once, many, other = run(motion), run(jnp.tile(motion, (1, 8, 1))), run(-motion)
    assert float(jnp.max(jnp.abs(many - once))) < 0.2 * float(jnp.max(jnp.abs(other - once)))
