import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.spatial.transform import Rotation

from facejax.geometry import similarity

fit_similarity = jax.jit(similarity.fit_similarity, static_argnames=("with_scale", "method"))
METHODS = ("svd", "horn")


def umeyama(source, target, weights):
    """One pair of clouds in float64, by the book: (scale, rotation, translation)."""
    weights = weights / weights.sum()
    centre_x, centre_y = weights @ source, weights @ target
    x, y = source - centre_x, target - centre_y
    u, s, vt = np.linalg.svd((weights[:, None] * y).T @ x)
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = u * signs @ vt
    scale = (s * signs).sum() / (weights @ (x**2).sum(-1))
    return scale, rotation, centre_y - scale * rotation @ centre_x


@pytest.fixture
def clouds():
    """Noisy, unrelated enough for a reflection in some; [4, 9, 3] float32."""
    rng = np.random.default_rng(5)
    source = rng.normal(size=(4, 9, 3)) * [3, 2, 1] + [10, -4, 7]
    turn = Rotation.random(4, random_state=1).as_matrix()
    target = 1.7 * np.einsum("bij,bnj->bni", turn, source) + rng.normal(size=(4, 9, 3))
    return np.float32(source), np.float32(target)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mirror", [1, -1])
def test_equals_a_loop_over_the_batch(clouds, mirror, method):
    source, target = clouds[0], clouds[1] * np.float32([mirror, 1, 1])
    weights = np.random.default_rng(2).uniform(0.1, 3, (4, 9))
    found = fit_similarity(source, target, jnp.float32(weights), method=method)
    for i in range(4):
        scale, rotation, translation = umeyama(
            *(np.float64(c[i]) for c in (source, target)), weights[i]
        )
        np.testing.assert_allclose(found.scale[i], scale, rtol=1e-5)
        np.testing.assert_allclose(found.rotation[i], rotation, atol=1e-5)
        np.testing.assert_allclose(found.translation[i], translation, atol=2e-4)


def test_the_rotation_equals_scipys(clouds):
    source, target = (cloud[0] - cloud[0].mean(0) for cloud in clouds)
    weights = np.arange(1.0, 10)
    centre = [weights @ cloud / weights.sum() for cloud in (source, target)]
    due, _ = Rotation.align_vectors(target - centre[1], source - centre[0], weights=weights)
    found = fit_similarity(source, target, jnp.float32(weights), with_scale=False)
    np.testing.assert_allclose(found.rotation, due.as_matrix(), atol=1e-5)
    assert found.scale == 1


def test_a_similarity_is_recovered_and_inverted(clouds):
    source = clouds[0]
    turn = Rotation.random(4, random_state=9).as_matrix()
    truth = similarity.Similarity(
        jnp.float32([0.3, 1, 2, 40]), jnp.float32(turn), jnp.float32(np.arange(12).reshape(4, 3))
    )
    target = similarity.apply_similarity(truth, source)
    found = fit_similarity(source, target)
    np.testing.assert_allclose(found.rotation, truth.rotation, atol=2e-6)
    np.testing.assert_allclose(found.scale, truth.scale, rtol=2e-6)
    back = similarity.apply_similarity(similarity.invert_similarity(found), target)
    np.testing.assert_allclose(back, source, atol=2e-5)


@pytest.mark.parametrize("method", METHODS)
def test_dense_clouds_far_away_keep_their_digits(method):
    rng = np.random.default_rng(0)
    source = rng.normal(size=(53_215, 3)) * [60, 60, 30] + [5, -20, 800]
    source = source[np.argsort(source[:, 1])]  # a mesh's order, unlike noise, adds up rounding
    turn = Rotation.from_euler("xyz", [0.2, 0.5, -0.1]).as_matrix()
    target = jnp.float32(1.3 * source @ turn.T)
    found = fit_similarity(jnp.float32(source), target, method=method)
    np.testing.assert_allclose(found.rotation, turn, atol=5e-6)
    np.testing.assert_allclose(found.scale, 1.3, rtol=2e-6)


@pytest.mark.parametrize("method", METHODS)
def test_no_other_rotation_does_better_on_a_mirrored_cloud(clouds, method):
    source = clouds[0][0] - clouds[0][0].mean(0)
    target = source * np.float32([-1, 1, 1])
    best = fit_similarity(source, target, with_scale=False, method=method)
    np.testing.assert_allclose(np.linalg.det(best.rotation), 1, atol=1e-5)
    turns = Rotation.random(2000, random_state=0).as_matrix()
    errors = ((np.einsum("bij,nj->bni", turns, source) - target) ** 2).sum((-2, -1))
    least = ((source @ np.asarray(best.rotation).T - target) ** 2).sum()
    assert least <= errors.min() + 1e-4


def test_points_without_weight_may_hold_anything(clouds):
    source, target = (cloud[0].copy() for cloud in clouds)
    weights = np.ones(9, np.float32)
    weights[[2, 6]] = 0
    kept = weights > 0
    due = fit_similarity(source[kept], target[kept])
    source[2], target[6] = np.nan, np.inf
    found = fit_similarity(source, target, weights)
    np.testing.assert_allclose(found.rotation, due.rotation, atol=1e-6)
    np.testing.assert_allclose(found.translation, due.translation, atol=1e-4)
    gradient = jax.jit(jax.grad(lambda x: fit_similarity(x, target, weights).scale))(source)
    assert np.isfinite(gradient).all()


POINT = np.full((6, 3), 7.3)
CLOUD = np.random.default_rng(8).normal(size=(6, 3))
LINE = np.linspace(-1, 1, 6)[:, None] * np.array([1.0, 2, 3]) + 3
CROSS = np.concatenate([np.eye(3), -np.eye(3)])
DEGENERATE = {
    "source is a point": (POINT, CLOUD),
    "target is a point": (CLOUD, POINT),
    "both are points": (POINT, POINT),
    "one pair": (CLOUD[:1], CLOUD[1:2]),
    "line onto itself": (LINE, LINE),
    "line reversed": (LINE, -LINE),
    "line onto cloud": (LINE, CLOUD),
    "plane": (CLOUD * [1, 1, 0], CLOUD * [1, 1, 0]),
    "isotropic": (CROSS, CROSS),
    "isotropic, mirrored": (CROSS, -CROSS),
    "mirrored": (CLOUD, CLOUD * [-1, 1, 1]),
}


@functools.partial(jax.jit, static_argnums=(2, 3))
@functools.partial(jax.grad, argnums=(0, 1))
def degenerate_gradients(source, target, with_scale, method):
    found = fit_similarity(source, target, with_scale=with_scale, method=method)
    spread = jnp.arange(9.0).reshape(3, 3)
    return found.scale + jnp.sum(found.rotation * spread) + jnp.sum(found.translation)


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize(("with_scale", "method"), [(True, "svd"), (False, "svd"), (True, "horn")])
def test_degenerate_input_gives_a_proper_rotation_and_finite_gradients(name, with_scale, method):
    source, target = (jnp.float32(cloud) for cloud in DEGENERATE[name])
    found = fit_similarity(source, target, with_scale=with_scale, method=method)
    np.testing.assert_allclose(found.rotation @ found.rotation.T, np.eye(3), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(found.rotation), 1, atol=1e-5)
    assert all(np.isfinite(part).all() for part in found)
    gradients = degenerate_gradients(source, target, with_scale, method)
    assert all(np.isfinite(part).all() for part in gradients)


@pytest.mark.parametrize("method", METHODS)
def test_a_collapsed_source_is_moved_without_scale_or_turn(method):
    found = fit_similarity(jnp.float32(POINT), jnp.float32(CLOUD), method=method)
    assert found.scale == 1
    np.testing.assert_array_equal(found.rotation, np.eye(3))
    np.testing.assert_allclose(found.translation, CLOUD.mean(0) - 7.3, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_collapsed_target_has_scale_zero(method):
    found = fit_similarity(jnp.float32(CLOUD), jnp.float32(POINT), method=method)
    assert found.scale == 0
    np.testing.assert_array_equal(found.rotation, np.eye(3))
    np.testing.assert_allclose(found.translation, [7.3] * 3, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_zero_weights_give_the_identity(method):
    found = fit_similarity(jnp.float32(CLOUD), jnp.float32(2 * CLOUD), jnp.zeros(6), method=method)
    assert found.scale == 1
    np.testing.assert_array_equal(found.rotation, np.eye(3))
    np.testing.assert_array_equal(found.translation, np.zeros(3))


@pytest.mark.parametrize("method", METHODS)
def test_a_line_turns_by_the_angle_between_the_lines_and_no_more(method):
    turn = Rotation.from_euler("xyz", [0.3, -0.5, 0.2]).as_matrix()
    found = fit_similarity(jnp.float32(LINE), jnp.float32(LINE @ turn.T), method=method)
    direction = np.array([1, 2, 3]) / np.sqrt(14)
    np.testing.assert_allclose(found.rotation @ direction, turn @ direction, atol=1e-5)
    angle = np.arccos((np.trace(found.rotation) - 1) / 2)
    np.testing.assert_allclose(angle, np.arccos(direction @ turn @ direction), atol=1e-4)


def test_derivatives_equal_finite_differences(clouds):
    with jax.enable_x64(True):
        source, target = (jnp.asarray(cloud[0, :5], jnp.float64) for cloud in clouds)
        weights = jnp.asarray(np.random.default_rng(3).uniform(0.5, 2, 5))
        check_grads(fit_similarity, (source, target, weights), 1, ["rev"], rtol=1e-3)


def test_scale_is_required_to_be_asked_away_by_name(clouds):
    with pytest.raises(ValueError, match="target"):
        fit_similarity(clouds[0], clouds[1][:, :5])
    with pytest.raises(TypeError):
        similarity.fit_similarity(*clouds, None, False)
