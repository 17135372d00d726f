import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax import losses


def test_hinge_is_zero_when_both_sides_are_beyond_the_margin():
    assert losses.hinge_discriminator([jnp.array([1.0, 3.0])], [jnp.array([-1.0, -2.0])]) == 0


def test_hinge_weighs_scales_alike_whatever_their_size():
    real = [jnp.full((2, 5), 0.5), jnp.full((1,), 1.0)]  # 0.5 and 0 below the margin
    fake = [jnp.full((2, 5), 0.0), jnp.full((1,), 2.0)]  # 1 and 3 above it
    assert losses.hinge_discriminator(real, fake) == pytest.approx((1.5 + 3) / 2)


def test_the_generator_gains_by_higher_scores():
    scores = [jnp.array([1.0, 3.0]), jnp.array([5.0])]
    assert losses.hinge_generator(scores) == pytest.approx(-(2 + 5) / 2)


def test_the_saturating_generator_gains_nothing_beyond_the_margin():
    scores = [jnp.array([0.5, 3.0]), jnp.array([-1.0])]
    assert losses.hinge_saturating(scores) == pytest.approx((0.25 + 2) / 2)
    gradient = jax.grad(losses.hinge_saturating)(scores)
    np.testing.assert_allclose(gradient[0], [-0.25, 0])


def test_least_squares_sums_the_scales_whatever_their_size():
    scores = [jnp.array([[1.0, 3.0]]), jnp.array([2.0])]
    assert losses.least_squares(scores, 1.0) == pytest.approx((0 + 4) / 2 + 1)
    assert losses.least_squares(scores, 0.0) == pytest.approx((1 + 9) / 2 + 4)


def test_feature_matching_of_equal_features_is_zero_and_of_ones_is_its_weight():
    zeros = [[jnp.zeros((2, i + 1, 3, 4)) for i in range(4)] for _ in range(2)]
    ones = jax.tree.map(lambda x: x + 1, zeros)
    assert losses.feature_matching(zeros, zeros) == 0
    assert losses.feature_matching(zeros, ones) == pytest.approx(4 * 0.8)  # the two scales halve


def test_feature_matching_does_not_move_the_real_side():
    x = [[jnp.ones((2, 3))]]
    gradient = jax.grad(losses.feature_matching)(x, [[jnp.zeros((2, 3))]])
    assert not np.any(gradient[0][0])


def test_l1_is_the_mean_over_all_elements():
    assert losses.l1(jnp.array([[1.0, -2.0]]), jnp.zeros((1, 2))) == pytest.approx(1.5)


def test_l1_refuses_shapes_that_would_broadcast():
    with pytest.raises(ValueError, match="shape"):
        losses.l1(jnp.zeros((2, 3)), jnp.zeros((1, 3)))


def test_masked_l1_counts_only_the_mask_and_divides_by_all():
    image, target = jnp.ones((1, 2, 4, 3)), jnp.zeros((1, 2, 4, 3))
    mask = jnp.zeros((1, 2, 4, 1)).at[:, :, :1].set(1)
    assert losses.masked_l1(image, target, mask) == pytest.approx(0.25)


def test_the_face_region_is_where_the_face_image_is_not_black():
    face = jnp.zeros((1, 2, 3, 3)).at[0, 1, 2, 1].set(0.02).at[0, 0, 0].set(0.003)
    expected = np.zeros((1, 2, 3, 1))
    expected[0, 1, 2] = 1  # the other sums to 0.009
    np.testing.assert_array_equal(losses.face_region(face), expected)


def test_perceptual_weights_the_layers():
    zeros = [jnp.zeros((2, 4, 3))] * 5
    ones = [jnp.ones((2, 4, 3))] * 5
    assert losses.perceptual(ones, zeros) == pytest.approx(1 / 32 + 1 / 16 + 1 / 8 + 1 / 4 + 1)


def test_perceptual_refuses_a_missing_layer():
    with pytest.raises(ValueError, match="zip"):
        losses.perceptual([jnp.zeros(2)] * 4, [jnp.zeros(2)] * 4)


def test_the_weighted_sum_is_that():
    terms = {"a": jnp.array(2.0), "b": jnp.array(3.0)}
    assert losses.weighted_sum(terms, {"a": 10.0, "b": 0.5}) == pytest.approx(21.5)


def test_the_weighted_sum_names_the_term_without_a_weight():
    with pytest.raises(ValueError, match="'b'"):
        losses.weighted_sum({"a": jnp.zeros(()), "b": jnp.zeros(())}, {"a": 1.0})


def test_cross_entropy_is_that_of_probabilities():
    logits = np.array([-3.0, -0.5, 0.0, 2.0])
    share = 1 / (1 + np.exp(-logits))
    for due in (0.0, 1.0, 0.25):
        expected = -np.mean(due * np.log(share) + (1 - due) * np.log(1 - share))
        assert float(losses.cross_entropy(jnp.asarray(logits), due)) == pytest.approx(expected)


def test_cross_entropy_of_extreme_scores_is_finite():
    scores = jnp.asarray([-200.0, 200.0])
    assert float(losses.cross_entropy(scores, 1.0)) == pytest.approx(100)
