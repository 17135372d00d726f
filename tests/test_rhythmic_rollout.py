"""Blocks of a sound give what one pass over all of it gives."""

import functools

import jax
import numpy as np
import pytest

from facejax import rhythmic_rollout
from facejax.data import takes
from facejax.systems import SYSTEMS
from tests.systems.test_rhythmic_motion import FROZEN, PHI, PSI

RNG = np.random.default_rng(0)


@functools.cache
def run(name):
    """A system with numbers that let something through, as `bound` makes of it."""
    tiny = {"rhythmic_expression": PSI, "rhythmic_motion": PHI}[name]
    system = SYSTEMS[name].make(SYSTEMS[name].Config(**tiny))
    batch = {
        "rhythmic_expression": {"audio": np.zeros((1, 70)), "reference": np.zeros((1, 3))},
        "rhythmic_motion": {
            "known_motion": np.zeros((1, 13, 6)),
            "known_chunks": np.zeros((1, 19, 10)),
            "motion": np.zeros((1, 5, 6)),
            "chunks": np.zeros((1, 11, 10)),
        },
    }[name]
    shapes = jax.eval_shape(system.init, jax.random.key(0), FROZEN, batch)
    fill = lambda leaf: (0.4 * RNG.normal(size=leaf.shape) + 0.2).astype(leaf.dtype)
    params, stats = jax.tree.map(fill, shapes)
    stats = jax.tree.map(np.abs, stats)
    return rhythmic_rollout.bound(system.generate, (params["gen"], stats, FROZEN))


def chunks(frames):
    return (8000 * np.random.default_rng(1).normal(size=(frames + 6, 10))).astype(np.int16)


@pytest.mark.parametrize("frames", [1, 128, 300])
def test_expressions_in_blocks_are_those_of_each_frame_alone(frames):
    given, reference = chunks(frames), np.array([1.0, 2, 3])
    made = rhythmic_rollout.expressions(run("rhythmic_expression"), given, reference)
    assert made.shape == (frames, 3)
    for frame in {0, frames // 2, frames - 1}:
        alone = rhythmic_rollout.expressions(
            run("rhythmic_expression"), given[frame : frame + 7], reference
        )
        np.testing.assert_allclose(made[frame], alone[0], atol=1e-5)


@pytest.mark.parametrize("frames", [5, 128, 129, 400])
def test_head_motion_in_blocks_is_that_of_one_pass(frames):
    known = {
        "known_motion": RNG.normal(size=(13, 6)).astype(np.float32),
        "known_chunks": RNG.normal(size=(19, 10)).astype(np.float32),
    }
    given, data = chunks(frames), takes.Config(path="")
    made = rhythmic_rollout.head_motions(run("rhythmic_motion"), data, known, given)
    one = {name: value[None] for name, value in known.items()}
    heard = takes.as_floats(given)[None]
    due = run("rhythmic_motion")(one | {"chunks": heard})["motion"][0]
    assert made.shape == (frames, 6) and np.ptp(due) > 0
    np.testing.assert_allclose(made, due, atol=1e-4)
