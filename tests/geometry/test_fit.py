import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import lsq_linear

from facejax.geometry import camera as cameras
from facejax.geometry import fit
from facejax.geometry.camera import project
from facejax.geometry.coefficients import fit_coefficients
from facejax.geometry.morphable import MorphableModel, face_shape

camera_from_pose = jax.jit(cameras.camera_from_pose)
pose_from_camera = jax.jit(cameras.pose_from_camera)
fit_shape = jax.jit(fit.fit_shape, static_argnames="camera_from")
fit_shape_bounded = jax.jit(fit.fit_shape_bounded, static_argnames=("camera_from", "steps"))
FLIP = np.array([1.0, -1, -1])


def make_model(vertices, points, identities, expressions, seed=0):
    """A face-sized ellipsoid cap, in mm, with smooth and correlated bases of falling deviation."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-1, 1, (2, vertices))
    mean = np.stack([75 * x, 100 * y, 60 * np.sqrt(2.1 - x**2 - y**2)], -1)
    mean[0], mean[1] = (-45, 30, 50), (45, 30, 50)  # the outer eye corners

    def basis(count, size):
        waves, phases = rng.normal(size=(count, 3)) * 0.03, rng.uniform(0, 6, count)
        bumps = np.sin(mean @ waves.T + phases).T[..., None] * rng.normal(size=(count, 1, 3))
        return size * bumps / np.arange(1, count + 1)[:, None, None] ** 0.7

    landmarks = np.full(70, 2)
    landmarks[[36, 45]] = 0, 1
    return MorphableModel(
        mean=mean.astype(np.float32),
        identity_basis=basis(identities, 5).astype(np.float32),
        expression_basis=basis(expressions, 3).astype(np.float32),
        faces=np.zeros((1, 3), np.int32),
        colors=np.full((vertices, 3), 0.5, np.float32),
        points=np.arange(vertices - points, vertices).astype(np.int32),
        landmarks=landmarks.astype(np.int32),
    )


@jax.jit
def view(model, identity, expression, camera):
    """The observed points of faces, [B, N, 3] px."""
    return project(face_shape(model, identity, expression)[:, model.points], camera)


def observe(model, batch, noise, seed=1):
    """(points [batch, N, 3] px, pose [batch, 6], identity, expression) of random faces."""
    rng = np.random.default_rng(seed)
    identity = rng.normal(size=(batch, len(model.identity_basis))).astype(np.float32)
    expression = rng.normal(size=(batch, len(model.expression_basis))).astype(np.float32)
    turn = rng.normal(size=(batch, 3)) * [0.2, 0.4, 0.15]
    place = rng.normal(size=(batch, 3)) * [10, 10, 80] + [0, 0, 700]
    pose = jnp.float32(np.concatenate([turn, place], -1))
    points = view(model, identity, expression, camera_from_pose(pose, 256, 256))
    return points + noise * jnp.float32(rng.normal(size=points.shape)), pose, identity, expression


def algorithm_1(model, points, ridge=0.0):
    """The paper's closed form for one face, in float64: (coefficients, offset, affine camera)."""
    points = np.float64(points)
    mean = np.float64(model.mean)[model.points]
    turned = points * FLIP
    x, y = mean - mean.mean(0), turned - turned.mean(0)
    u, s, vt = np.linalg.svd((x / np.linalg.norm(x)).T @ (y / np.linalg.norm(y)))
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation, gain = (vt.T * signs) @ u.T, (s * signs).sum()
    registered = np.linalg.norm(x) * gain * (y / np.linalg.norm(y)) @ rotation + mean.mean(0)
    offset = (registered - mean).ravel()
    merged = merged_basis(model)
    square = merged.T @ merged + ridge * np.eye(merged.shape[1])
    coefficients = np.linalg.solve(square, merged.T @ offset)
    ones = np.concatenate([mean, np.ones((len(mean), 1))], -1)
    return coefficients, offset, np.linalg.lstsq(ones, points, rcond=None)[0].T


def merged_basis(model):
    """[3N, K] float64."""
    bases = np.concatenate([model.identity_basis, model.expression_basis])[:, model.points]
    return np.float64(bases).reshape(len(bases), -1).T


@pytest.fixture(scope="module")
def model():
    return make_model(vertices=90, points=60, identities=6, expressions=4)


@pytest.mark.parametrize("ridge", [0.0, 2.0])
def test_equals_the_papers_algorithm_written_out(model, ridge):
    points = observe(model, 3, noise=0.5)[0]
    found = fit_shape(fit.prepare_fit(model, ridge), points)
    for b in range(3):
        due, offset, affine = algorithm_1(model, points[b], ridge)
        coefficients = np.concatenate([found.identity[b], found.expression[b]])
        np.testing.assert_allclose(coefficients, due, atol=2e-4)
        left = (offset - merged_basis(model) @ due).reshape(-1, 3)
        rms = np.sqrt((left**2).sum(-1).mean())
        np.testing.assert_allclose(found.residual[b], rms / 90, rtol=1e-4)
        rows = np.linalg.norm(affine[:2, :3], axis=-1)
        np.testing.assert_allclose(found.camera.scale[b], rows.mean(), rtol=1e-5)
        np.testing.assert_allclose(found.camera.translation[b], affine[:, 3], atol=1e-3)


def test_the_mean_face_is_found_in_any_pose(model):
    _, pose, identity, expression = observe(model, 5, noise=0)
    points = view(model, 0 * identity, 0 * expression, camera_from_pose(pose, 120, 160))
    found = fit_shape(fit.prepare_fit(model), points)
    np.testing.assert_allclose(found.identity, 0 * identity, atol=2e-4)
    np.testing.assert_allclose(found.expression, 0 * expression, atol=2e-4)
    np.testing.assert_allclose(found.residual, np.zeros(5), atol=1e-6)
    back = pose_from_camera(found.camera, 120, 160)
    np.testing.assert_allclose(back[:, :3], pose[:, :3], atol=1e-5)
    np.testing.assert_allclose(back[:, 3:], pose[:, 3:], rtol=1e-5, atol=1e-3)


def test_coefficients_do_not_depend_on_where_the_face_is(model):
    points = observe(model, 2, noise=0.3)[0]
    turn = np.float32([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    shift = jnp.broadcast_to(jnp.float32([30, -200, 77]), points.shape)
    operator = fit.prepare_fit(model, 1.0)
    found, moved = fit_shape(operator, points), fit_shape(operator, 3.5 * points @ turn + shift)
    np.testing.assert_allclose(moved.identity, found.identity, atol=1e-4)
    np.testing.assert_allclose(moved.expression, found.expression, atol=1e-4)
    np.testing.assert_allclose(moved.residual, found.residual, atol=1e-6)


def test_a_face_of_the_model_is_explained(model):
    points, _, identity, expression = observe(model, 4, noise=0)
    found = fit_shape(fit.prepare_fit(model), points, camera_from="fitted")
    error = view(model, found.identity, found.expression, found.camera) - points
    extent = np.ptp(points[..., 0], axis=-1).mean()
    assert jnp.sqrt(jnp.mean(error[..., :2] ** 2)) < 0.01 * extent
    camera = fit_shape(fit.prepare_fit(model), points).camera
    far = view(model, 0 * identity, 0 * expression, camera) - points
    assert jnp.mean(error[..., :2] ** 2) < 0.05 * jnp.mean(far[..., :2] ** 2)


def test_the_fitted_faces_camera_reprojects_and_turns_more_closely(model):
    points, pose, *_ = observe(model, 16, noise=0.5)
    operator = fit.prepare_fit(model, 1.0)
    errors, angles = {}, {}
    for source in ("mean", "fitted"):
        found = fit_shape(operator, points, camera_from=source)
        error = view(model, found.identity, found.expression, found.camera) - points
        errors[source] = jnp.mean(error[..., :2] ** 2)
        angles[source] = jnp.mean(jnp.abs(pose_from_camera(found.camera, 256, 256) - pose)[:, :3])
    assert errors["fitted"] < 0.5 * errors["mean"]
    assert angles["fitted"] < 0.5 * angles["mean"]


def test_float32_coefficients_are_close_to_the_float64_ridge_solution():
    model = make_model(vertices=500, points=468, identities=40, expressions=20, seed=3)
    points = observe(model, 2, noise=1.0)[0]
    operator = fit.prepare_fit(model, 1e-3 * 468)
    found = fit_shape(operator, points)
    coefficients = np.concatenate([found.identity, found.expression], -1)
    for b in range(2):
        due, offset, _ = algorithm_1(model, points[b], 1e-3 * 468)
        target = jnp.float32(offset.reshape(-1, 3)) + operator.face.linear.mean
        solved = fit_coefficients(operator.face.linear, target, operator.ridge)
        np.testing.assert_allclose(solved, due, atol=1e-5 * np.abs(due).max())
        # the registration's own rounding, 5e-5 mm, adds to it
        np.testing.assert_allclose(coefficients[b], due, atol=3e-5 * np.abs(due).max())


def test_too_few_points_give_the_smallest_coefficients():
    model = make_model(vertices=20, points=3, identities=8, expressions=4)
    operator = fit.prepare_fit(model)
    inverse = np.linalg.pinv(merged_basis(model), rcond=1e-9)
    offset = np.random.default_rng(4).normal(size=(3, 3))
    solved = fit_coefficients(operator.face.linear, offset + operator.face.linear.mean, 0.0)
    np.testing.assert_allclose(solved, inverse @ offset.ravel(), rtol=1e-4, atol=1e-5)
    found = fit_shape(operator, observe(model, 2, noise=1.0)[0])
    assert np.isfinite(found.identity).all()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_bounded_fit_equals_scipys(model, seed):
    points = observe(model, 4, noise=2.0, seed=seed)[0]
    found = fit_shape_bounded(fit.prepare_fit(model), points)
    bound = np.repeat([0.8, 1.5], [6, 4])
    clipped = 0
    for b in range(4):
        _, offset, _ = algorithm_1(model, points[b])
        due = lsq_linear(merged_basis(model), offset, (-bound, bound), "bvls", tol=1e-12).x
        coefficients = np.concatenate([found.identity[b], found.expression[b]])
        np.testing.assert_allclose(coefficients, due, atol=2e-4)
        clipped += np.sum(np.isclose(np.abs(due), bound))
    assert clipped > 4  # the bounds were put to the test


def test_bounds_are_kept_and_wide_ones_change_nothing(model):
    points = observe(model, 4, noise=1.0)[0]
    operator = fit.prepare_fit(model, 1.0)
    tight = fit_shape_bounded(operator, points, identity_bound=0.1, expression_bound=0.2)
    assert np.abs(tight.identity).max() <= 0.1 + 1e-6
    assert np.abs(tight.expression).max() <= 0.2 + 1e-6
    wide = fit_shape_bounded(operator, points, identity_bound=1e3, expression_bound=1e3)
    free = fit_shape(operator, points)
    np.testing.assert_allclose(wide.identity, free.identity, atol=1e-3)
    np.testing.assert_allclose(wide.expression, free.expression, atol=1e-3)


def test_any_batch_axes_equal_one_by_one(model):
    points = observe(model, 6, noise=0.5)[0]
    operator = fit.prepare_fit(model, 1.0)
    grid = fit_shape_bounded(operator, points.reshape(2, 3, 60, 3))
    single = fit_shape_bounded(operator, points[4])
    for many, one in zip(*map(jax.tree.leaves, (grid, single)), strict=True):
        np.testing.assert_allclose(many[1, 1], one, rtol=1e-4, atol=1e-4)


def test_vmap_equals_a_batch(model):
    points = observe(model, 3, noise=0.5)[0]
    operator = fit.prepare_fit(model, 1.0)
    mapped = jax.jit(jax.vmap(fit.fit_shape, (None, 0)))(operator, points)
    for one, due in zip(*map(jax.tree.leaves, (mapped, fit_shape(operator, points))), strict=True):
        np.testing.assert_allclose(one, due, rtol=1e-4, atol=1e-4)


def test_gradients_are_finite_on_a_perfect_fit(model):
    operator = fit.prepare_fit(model)
    points = jnp.asarray(model.mean[model.points] * np.float32(FLIP))

    def total(points):
        found = fit_shape(operator, points)
        return found.residual + jnp.sum(found.identity**2) + jnp.sum(found.camera.rotation)

    assert np.isfinite(jax.jit(jax.grad(total))(points)).all()


def test_a_model_without_expressions_fits():
    model = make_model(vertices=30, points=20, identities=3, expressions=0)
    found = fit_shape(fit.prepare_fit(model), observe(model, 2, noise=0.1)[0])
    assert found.expression.shape == (2, 0)
    assert np.isfinite(found.residual).all()


def test_wrong_arguments_are_refused_by_name(model):
    operator = fit.prepare_fit(model)
    with pytest.raises(ValueError, match="points has shape"):
        fit.fit_shape(operator, jnp.zeros((4, 61, 3)))
    with pytest.raises(ValueError, match="camera_from is 'best'"):
        fit.fit_shape(operator, jnp.ones((60, 3)), camera_from="best")
