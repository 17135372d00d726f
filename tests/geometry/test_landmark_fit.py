import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from facejax.geometry import landmark_fit
from facejax.geometry.camera import Camera, project
from facejax.geometry.face_basis import face_basis, merge, split
from facejax.geometry.linear_basis import blend
from facejax.geometry.morphable import MorphableModel, face_shape

fit_clip = jax.jit(landmark_fit.fit_clip, static_argnames="steps")
fit_morphable_model = jax.jit(landmark_fit.fit_morphable_model, static_argnames="steps")
FLIP = np.diag([1.0, -1, -1])
LANDMARKS, IDENTITIES, EXPRESSIONS, FRAMES = 30, 4, 3, 6


def make_model(vertices, identities, expressions, seed=0):
    """A face-sized cap, 40 mm off the origin, with smooth fields of falling deviation."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-1, 1, (2, vertices))
    mean = np.stack([75 * x, 100 * y, 60 * np.sqrt(2.1 - x**2 - y**2)], -1)
    mean += np.array([5, -10, 40])

    def basis(count, size):
        waves, phases = rng.normal(size=(count, 3)) * 0.03, rng.uniform(0, 6, count)
        bumps = np.sin(mean @ waves.T + phases).T[..., None] * rng.normal(size=(count, 1, 3))
        return np.float32(size * bumps / np.arange(1, count + 1)[:, None, None] ** 0.7)

    return MorphableModel(
        mean=np.float32(mean),
        identity_basis=basis(identities, 5),
        expression_basis=basis(expressions, 3),
        faces=np.zeros((1, 3), np.int32),
        colors=np.full((vertices, 3), 0.5, np.float32),
        points=np.arange(vertices),
        landmarks=np.arange(vertices)[:70],
    )


def observe(model, frames, noise, seed=1):
    """(image points [T, N, 2], identity, expression, camera) of a random clip, in float64."""
    rng = np.random.default_rng(seed)
    identity = rng.normal(size=len(model.identity_basis))
    expression = rng.normal(size=(frames, len(model.expression_basis)))
    turns = Rotation.from_euler("xyz", rng.normal(size=(frames, 3)) * [0.2, 0.5, 0.15])
    camera = Camera(
        rng.uniform(0.8, 1.2, frames),
        FLIP @ turns.as_matrix(),
        np.pad(rng.normal(size=(frames, 2)) * 10 + 128, ((0, 0), (0, 1))),
    )
    points = project_all(model, identity, expression, camera)
    return points + noise * rng.normal(size=points.shape), identity, expression, camera


def project_all(model, identity, expression, camera):
    """Image points [T, N, 2] in float64."""
    shapes = model.mean + np.tensordot(identity, model.identity_basis, 1)
    shapes = shapes + np.tensordot(expression, model.expression_basis, 1)
    turned = np.einsum("tij,tnj->tni", camera.rotation[:, :2], shapes)
    return camera.scale[:, None, None] * turned + camera.translation[:, None, :2]


def optimum(model, points, ridge, weights, start):
    """SciPy's minimum in float64 over all unknowns together: (identity, expression, camera)."""
    frames = len(points)
    sizes = np.cumsum([len(model.identity_basis), frames * len(model.expression_basis), frames])

    def unpack(x):
        identity, expression, scale, rest = np.split(x, sizes)
        turns, shifts = np.split(rest.reshape(frames, 5), [3], axis=1)
        rotation = Rotation.from_rotvec(turns).as_matrix() @ start.rotation
        camera = Camera(scale, rotation, start.translation + np.pad(shifts, ((0, 0), (0, 1))))
        return identity, expression.reshape(frames, -1), camera

    def cost(x):
        rest = np.sqrt(weights)[..., None] * (points - project_all(model, *unpack(x)))
        return np.concatenate([rest.ravel(), np.sqrt(ridge) * x[: sizes[1]]])

    first = np.concatenate([np.zeros(sizes[1]), start.scale, np.zeros(5 * frames)])
    return unpack(least_squares(cost, first, xtol=1e-12, ftol=1e-12, gtol=1e-12).x)


def assert_near(found, identity, expression, camera, atol):
    np.testing.assert_allclose(found.identity, identity, atol=atol)
    np.testing.assert_allclose(found.expression, expression, atol=atol)
    np.testing.assert_allclose(found.camera.rotation, camera.rotation, atol=atol)
    np.testing.assert_allclose(found.camera.scale, camera.scale, rtol=atol)
    np.testing.assert_allclose(found.camera.translation, camera.translation, atol=100 * atol)


@pytest.fixture(scope="module")
def model():
    return make_model(LANDMARKS, IDENTITIES, EXPRESSIONS)


@pytest.fixture(scope="module")
def basis(model):
    return face_basis(model, model.points)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_clip_equals_scipys_joint_least_squares(model, basis, weighted):
    points, _, _, truth = observe(model, FRAMES, noise=1.0)
    weights = np.ones((FRAMES, LANDMARKS))
    if weighted:
        weights = np.random.default_rng(4).integers(0, 3, weights.shape)
    due = optimum(model, points, 1.0, weights, truth)
    if weighted:
        points[weights == 0] = np.nan
    found = fit_clip(basis, jnp.float32(points), 1.0, jnp.float32(weights) if weighted else None)
    assert_near(found, *due, atol=5e-5)
    rest = np.nan_to_num(points - project_all(model, *due)) ** 2
    rms = np.sqrt((weights[..., None] * rest).sum((1, 2)) / weights.sum(1))
    np.testing.assert_allclose(found.residual, rms, rtol=1e-4)


def test_the_truth_is_recovered_from_points_without_noise(model, basis):
    points, *truth = observe(model, FRAMES, noise=0)
    found = fit_clip(basis, jnp.float32(points), 1e-3)
    assert_near(found, *truth, atol=2e-3)
    assert np.all(found.residual < 1e-3)
    loose = fit_clip(basis, jnp.float32(points), 1.0)
    assert np.abs(loose.identity - truth[0]).max() > np.abs(found.identity - truth[0]).max()


def test_errors_grow_with_the_noise_and_shrink_with_the_clip(model, basis):
    def error(frames, noise):
        points, identity, *_ = observe(model, frames, noise, seed=3)
        found = fit_clip(basis, jnp.float32(points), max(noise, 0.1) ** 2)
        return np.sqrt(np.mean((found.identity - identity) ** 2))

    some, more, long = error(FRAMES, 0.2), error(FRAMES, 2.0), error(30 * FRAMES, 2.0)
    assert 3 * some < more < 1.0  # 1 is the error of the mean face
    assert long < more / 3  # 30 times the frames: about sqrt(30)


def test_a_frame_alone_equals_scipys_least_squares(model, basis):
    points, _, _, truth = observe(model, 2, noise=1.0)
    found, camera = fit_morphable_model(basis.linear, jnp.float32(points), 1.0)
    for t in range(2):
        start = Camera(*(part[t : t + 1] for part in truth))
        weights = np.ones((1, LANDMARKS))
        identity, expression, due = optimum(model, points[t : t + 1], 1.0, weights, start)
        np.testing.assert_allclose(found[t], [*identity, *expression[0]], atol=5e-5)
        np.testing.assert_allclose(camera.rotation[t], due.rotation[0], atol=2e-5)
        np.testing.assert_allclose(camera.translation[t], due.translation[0], atol=2e-3)


def test_dense_points_of_any_batch_are_fitted_to_the_noise():
    model = make_model(800, 12, 8)
    basis = face_basis(model, model.points)
    points, *truth = observe(model, 6, noise=0.5)
    grid = jnp.float32(points).reshape(2, 3, 800, 2)
    found, camera = fit_morphable_model(basis.linear, grid, 0.25)
    assert found.shape == (2, 3, 20) and camera.rotation.shape == (2, 3, 3, 3)
    image = project(blend(basis.linear, found), camera)[..., :2]
    np.testing.assert_allclose(jnp.sqrt(jnp.mean((image - grid) ** 2)), 0.5, rtol=0.03)
    # no faces and cameras cost less than the best, and so not the true ones
    error = points - project_all(model, *truth)
    coefficients = np.sum(truth[0] ** 2) * len(points) + np.sum(truth[1] ** 2)
    best = jnp.sum((image - grid) ** 2) + 0.25 * jnp.sum(found**2)
    assert best < np.sum(error**2) + 0.25 * coefficients


def test_profiles_are_found(model, basis):
    points, identity, expression, camera = observe(model, FRAMES, noise=0)
    profile = Rotation.from_euler("y", 1.4).as_matrix()
    camera = camera._replace(rotation=camera.rotation @ profile)
    points = project_all(model, identity, expression, camera)
    found = fit_clip(basis, jnp.float32(points), 1e-3)
    assert_near(found, identity, expression, camera, atol=5e-3)


def test_frames_without_a_face_are_left_out_and_gradients_are_finite(model, basis):
    points, _, _, truth = observe(model, FRAMES, noise=1.0)
    seen = np.array([0, 1, 3, 4, 5])
    start = Camera(*(part[seen] for part in truth))
    due = optimum(model, points[seen], 1.0, np.ones((5, LANDMARKS)), start)
    weights = jnp.ones((FRAMES, LANDMARKS)).at[2].set(0.0)
    points = jnp.float32(points).at[2].set(jnp.nan)
    found = fit_clip(basis, points, 1.0, weights)
    np.testing.assert_allclose(found.identity, due[0], atol=5e-5)
    np.testing.assert_allclose(found.expression[seen], due[1], atol=5e-5)
    np.testing.assert_array_equal(found.expression[2], 0)
    assert found.camera.scale[2] == 0 and found.residual[2] == 0

    def total(points, weights):
        found = landmark_fit.fit_clip(basis, points, 1.0, weights, steps=2)
        return sum(jnp.sum(jnp.sin(part)) for part in jax.tree.leaves(found))

    slopes = jax.jit(jax.grad(total, (0, 1)))(points, weights)
    assert all(np.isfinite(slope).all() for slope in slopes)


def test_a_face_basis_is_the_model_at_its_vertices(model):
    basis = face_basis(model, np.array([3, 1, 7]))
    rng = np.random.default_rng(0)
    identity, expression = (jnp.float32(rng.normal(size=(2, k))) for k in (IDENTITIES, EXPRESSIONS))
    both = jnp.concatenate([identity, expression], -1)
    due = face_shape(model, identity, expression)[:, np.array([3, 1, 7])]
    np.testing.assert_allclose(blend(basis.linear, both), due, atol=1e-4)
    back = split(basis, merge(basis, identity, expression))
    np.testing.assert_allclose(back[0], identity, atol=1e-5)
    np.testing.assert_allclose(back[1], expression, atol=1e-5)


def test_wrong_shapes_are_refused_by_name(basis):
    with pytest.raises(ValueError, match="image_points has shape"):
        landmark_fit.fit_clip(basis, jnp.zeros((2, LANDMARKS + 1, 2)), 1.0)
    with pytest.raises(ValueError, match="weights has shape"):
        landmark_fit.fit_morphable_model(
            basis.linear, jnp.zeros((2, LANDMARKS, 2)), 1.0, jnp.zeros((2, LANDMARKS + 1))
        )
