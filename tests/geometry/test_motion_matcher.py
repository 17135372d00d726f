"""The motion matcher."""

import functools

import jax
import numpy as np
import pytest

from facejax.geometry import motion_matcher as matcher


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    spread = np.array(matcher.SPREAD)
    reference = (rng.normal(size=(3, 7, 6)) * spread).astype(np.float32)
    target = (rng.normal(size=(3, 6)) * spread).astype(np.float32)
    return reference, target


def test_the_match_has_the_least_distance_in_standard_deviations(drawn):
    reference, target = drawn
    for row, (candidates, wanted) in enumerate(zip(*drawn, strict=True)):
        costs = [
            sum(((a - b) / s) ** 2 for a, b, s in zip(one, wanted, matcher.SPREAD, strict=True))
            for one in candidates
        ]
        found = matcher.standardised_cost(reference, target)[row]
        np.testing.assert_allclose(found, costs, rtol=1e-4)
        assert matcher.match(reference, target)[row] == int(np.argmin(costs))


def test_the_released_match_compares_rotations_alone(drawn):
    reference, target = drawn
    costs = np.abs(reference[..., :3] - target[:, None, :3]).mean(-1)
    np.testing.assert_allclose(matcher.rotation_cost(reference, target), costs, rtol=1e-5)
    far = reference + np.array([0, 0, 0, 900, 900, 900], np.float32)
    np.testing.assert_array_equal(
        matcher.match(far, target, matcher.rotation_cost), costs.argmin(-1)
    )


def test_one_of_the_references_matches_itself(drawn):
    reference, _ = drawn
    np.testing.assert_array_equal(matcher.match(reference, reference[:, 4]), [4, 4, 4])


def test_the_cost_does_not_depend_on_the_size_of_the_image(drawn):
    reference, target = drawn
    half = np.array([1, 1, 1, 0.5, 0.5, 0.5], np.float32)
    small = matcher.standardised_cost(reference * half, target * half, size=128)
    np.testing.assert_allclose(small, matcher.standardised_cost(reference, target), rtol=1e-5)


def test_training_takes_the_worst_three_times_in_four_and_else_any(drawn):
    reference, target = drawn
    many = 8000
    pick = functools.partial(matcher.match_for_training, reference=reference[0], target=target[0])
    keys = jax.random.split(jax.random.key(0), many)
    chosen = np.bincount(jax.jit(jax.vmap(lambda key: pick(key)))(keys), minlength=7) / many
    due = np.full(7, 0.25 / 7)
    due[np.argmax(matcher.standardised_cost(reference[0], target[0]))] += 0.75
    sigma = np.sqrt(due * (1 - due) / many)
    assert np.all(np.abs(chosen - due) < 5 * sigma)
