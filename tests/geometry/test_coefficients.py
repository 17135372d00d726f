import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.spatial.transform import Rotation

from facejax.geometry import coefficients
from facejax.geometry import linear_basis as bases

fit_coefficients = jax.jit(coefficients.fit_coefficients)
fit_projected = jax.jit(coefficients.fit_coefficients_projected, static_argnames="refinements")


def make_basis(points, identities, expressions, seed=0):
    """(mean [N, 3], basis [K, N, 3], deviations [K]): smooth fields, correlated as two bases of
    one face are, their deviations falling to a hundredth."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=(points, 3))
    mean /= np.linalg.norm(mean, axis=1)[:, None]
    fields, deviations = [], []
    for count, detail in ((identities, 3.0), (expressions, 3.5)):
        waves, phases = rng.normal(size=(count, 3)) * detail, rng.uniform(0, 6, count)
        smooth = np.sin(mean @ waves.T + phases)[:, None, :] * rng.normal(size=(1, 3, count))
        perpendicular, _ = np.linalg.qr(smooth.reshape(3 * points, count))
        fields.append(np.sqrt(3 * points) * perpendicular.T.reshape(count, points, 3))
        deviations.append(1 / np.arange(1, count + 1))
    return 60 * mean, np.concatenate(fields), np.concatenate(deviations)


def make_cameras(frames, seed=0):
    """Weak-perspective views of faces, [frames, 2, 4] float32."""
    rng = np.random.default_rng(seed)
    turns = Rotation.from_euler("xyz", rng.normal(size=(frames, 3)) * [0.2, 0.5, 0.1]).as_matrix()
    rows = 1.3 * np.diag([1.0, -1, -1])[:2] @ turns
    return np.concatenate([rows, rng.normal(size=(frames, 2, 1)) * 10 + 64], -1).astype(np.float32)


def observe(mean, basis, deviations, frames, noise, seed=1):
    """Noisy points of random faces in 3-D, [frames, N, 3] float32."""
    rng = np.random.default_rng(seed)
    coefficients = rng.normal(size=(frames, len(basis))) * deviations
    points = mean + np.tensordot(coefficients, basis, 1)
    return np.float32(points + noise * rng.normal(size=points.shape))


def seen(cameras, points):
    """Image points [T, N, 2] float32."""
    return np.float32(np.einsum("tij,tnj->tni", cameras[..., :3], points) + cameras[:, None, :, 3])


def ridge_solution(matrix, rest, ridge, weights):
    """One frame in float64: matrix [K, N, D], rest [N, D], weights [N]."""
    flat = matrix.reshape(len(matrix), -1)
    weighted = flat * np.repeat(weights, matrix.shape[-1])
    normal = weighted @ flat.T + ridge * np.eye(len(flat))
    return np.linalg.solve(normal, weighted @ rest.ravel())


def expected(mean, basis, deviations, points, ridge, weights=None):
    """The float64 ridge solutions of 3-D points."""
    fields = basis * deviations[:, None, None]
    weights = np.ones(points.shape[:2]) if weights is None else weights
    return np.stack(
        [ridge_solution(fields, p - mean, ridge, w) for p, w in zip(points, weights, strict=True)]
    )


def expected_projected(mean, basis, deviations, cameras, image_points, ridge, weights=None):
    """The float64 ridge solutions of points seen through cameras, from every frame's own matrix."""
    fields = basis * deviations[:, None, None]
    weights = np.ones(image_points.shape[:2]) if weights is None else weights
    found = []
    for camera, points, weight in zip(np.float64(cameras), image_points, weights, strict=True):
        rest = points - mean @ camera[:, :3].T - camera[:, 3]
        found.append(ridge_solution(fields @ camera[:, :3].T, rest, ridge, weight))
    return np.stack(found)


def relative(found, due):
    """The largest error over the largest coefficient."""
    return np.abs(np.float64(found) - due).max() / np.abs(due).max()


@pytest.fixture(scope="module")
def face():
    return make_basis(points=40, identities=7, expressions=5)


@pytest.mark.parametrize("ridge", [0.0, 0.04, 40.0])
def test_equals_the_float64_ridge_solution(face, ridge):
    points = observe(*face, frames=3, noise=0.1)
    found = fit_coefficients(bases.linear_basis(*face), points, ridge)
    assert relative(found, expected(*face, points, ridge)) < 1e-5


def test_weights_count_points_more_or_not_at_all(face):
    points = observe(*face, frames=3, noise=0.1)
    weights = np.random.default_rng(3).integers(0, 3, (3, 40)).astype(np.float32)
    prepared = bases.linear_basis(*face)
    found = fit_coefficients(prepared, points, 0.04, weights)
    assert relative(found, expected(*face, points, 0.04, weights)) < 1e-5
    points[weights == 0] = np.nan
    np.testing.assert_array_equal(fit_coefficients(prepared, points, 0.04, weights), found)
    even = fit_coefficients(prepared, jnp.nan_to_num(points), 0.04, jnp.ones((3, 40)))
    np.testing.assert_allclose(
        even, fit_coefficients(prepared, jnp.nan_to_num(points), 0.04), atol=1e-4
    )


@pytest.mark.parametrize("ridge", [0.04, 40.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_projected_equals_the_explicit_float64_solution(face, ridge, weighted):
    cameras = make_cameras(4)
    points = seen(cameras, observe(*face, frames=4, noise=0.1))
    weights = np.random.default_rng(3).integers(0, 3, (4, 40)) if weighted else None
    due = expected_projected(*face, cameras, points, ridge, weights)
    if weighted:
        points[weights == 0] = np.nan
        weights = np.float32(weights)
    found = fit_projected(bases.linear_basis(*face), cameras, points, ridge, weights)
    assert relative(found, due) < 1e-5


@pytest.mark.parametrize(
    ("size", "frames"),
    [((5000, 94, 63), 2), pytest.param((35_709, 144, 80), 1, marks=pytest.mark.slow)],
)
def test_a_thousand_points_and_a_whole_head_keep_five_digits(size, frames):
    face, cameras, ridge = make_basis(*size), make_cameras(frames), 1e-3 * size[0]
    points = observe(*face, frames=frames, noise=0.3)
    prepared = bases.linear_basis(*face)
    assert (
        relative(fit_coefficients(prepared, points, ridge), expected(*face, points, ridge)) < 2e-6
    )
    image_points = seen(cameras, points)
    due = expected_projected(*face, cameras, image_points, ridge)
    assert relative(fit_projected(prepared, cameras, image_points, ridge), due) < 1e-5


def test_a_refinement_keeps_five_digits_where_one_view_says_little():
    face = make_basis(points=5000, identities=94, expressions=63)
    cameras, ridge = make_cameras(2), 2e-5 * 5000
    image_points = seen(cameras, observe(*face, frames=2, noise=0.1))
    prepared = bases.linear_basis(*face)
    due = expected_projected(*face, cameras, image_points, ridge)
    errors = [
        relative(fit_projected(prepared, cameras, image_points, ridge, refinements=count), due)
        for count in range(2)
    ]
    assert errors[0] < 1e-4
    assert errors[1] < 1e-5


def test_deviations_scale_the_fields(face):
    mean, basis, deviations = face
    points = observe(*face, frames=2, noise=0.1)
    scaled = bases.linear_basis(mean, basis * deviations[:, None, None])
    found = fit_coefficients(scaled, points, 2.0)
    np.testing.assert_allclose(
        found, fit_coefficients(bases.linear_basis(*face), points, 2.0), atol=1e-5
    )


def test_a_field_given_twice_is_shared_evenly():
    mean, basis, _ = make_basis(points=10, identities=3, expressions=0)
    prepared = bases.linear_basis(mean, np.concatenate([basis, basis[:1]]))
    found = fit_coefficients(prepared, jnp.float32(mean + 4 * basis[0]), 0.0)
    np.testing.assert_allclose(found, [2, 0, 0, 2], atol=1e-5)
    rng = np.random.default_rng(0)
    prepared = bases.linear_basis(mean[:2], rng.normal(size=(9, 2, 3)))
    assert prepared.rows.shape == (6, 6)
    target = rng.normal(size=(2, 3)).astype(np.float32)
    found = bases.blend(prepared, fit_coefficients(prepared, target, 0.0))
    np.testing.assert_allclose(found, target, atol=1e-4)  # what 6 numbers can say is met


def test_an_empty_basis_fits_nothing(face):
    prepared = bases.linear_basis(face[0], np.zeros((0, 40, 3)))
    assert fit_coefficients(prepared, jnp.ones((2, 40, 3)), 1.0).shape == (2, 0)
    found = fit_projected(prepared, make_cameras(2), jnp.ones((2, 40, 2)), 1.0)
    assert found.shape == (2, 0)


def test_unseen_faces_have_no_coefficients_and_finite_gradients(face):
    prepared, points = bases.linear_basis(*face), jnp.ones((2, 40, 2))
    np.testing.assert_array_equal(fit_projected(prepared, jnp.zeros((2, 2, 4)), points, 1.0), 0)

    def total(cameras, points, weights):
        found = coefficients.fit_coefficients_projected(prepared, cameras, points, 1.0, weights)
        return jnp.sum(jnp.sin(found))

    unseen = jnp.zeros((2, 40))
    gradients = jax.jit(jax.grad(total, (0, 1, 2)))(make_cameras(2), points * jnp.nan, unseen)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_derivatives_equal_finite_differences():
    face = make_basis(points=5, identities=5, expressions=4)
    with jax.enable_x64(True):
        prepared = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), bases.linear_basis(*face))
        points = jnp.asarray(observe(*face, frames=1, noise=0.1), jnp.float64)
        cameras = jnp.asarray(make_cameras(1), jnp.float64)
        image_points = jnp.asarray(seen(np.asarray(cameras), np.asarray(points)), jnp.float64)
        weights = jnp.asarray(np.random.default_rng(0).uniform(1, 2, (1, 5)))
        check_grads(jax.jit(coefficients.fit_coefficients), (prepared, points, 0.3), 1, ["rev"])
        arguments = prepared, cameras, image_points, 0.3, weights
        check_grads(
            jax.jit(coefficients.fit_coefficients_projected), arguments, 1, ["rev"], rtol=1e-3
        )


def test_any_batch_axes_and_vmap_equal_one_by_one(face):
    cameras = make_cameras(6)
    points = observe(*face, frames=6, noise=0.1)
    image_points, weights = seen(cameras, points), np.ones((6, 40), np.float32)
    prepared = bases.linear_basis(*face)
    frames = cameras, image_points
    grid = fit_projected(prepared, *(x.reshape(2, 3, *x.shape[1:]) for x in frames), 1.0)
    single = fit_projected(prepared, cameras[4], image_points[4], 1.0)
    np.testing.assert_allclose(grid[1, 1], single, atol=1e-5)
    mapped = jax.jit(jax.vmap(coefficients.fit_coefficients, (None, 0, None, 0)))
    found = mapped(prepared, points, 1.0, weights)
    np.testing.assert_allclose(found, fit_coefficients(prepared, points, 1.0), atol=1e-5)


def test_wrong_shapes_are_refused_by_name(face):
    prepared = bases.linear_basis(*face)
    with pytest.raises(ValueError, match="target has shape"):
        coefficients.fit_coefficients(prepared, jnp.zeros((2, 41, 3)), 1.0)
    with pytest.raises(ValueError, match="camera has shape"):
        coefficients.fit_coefficients_projected(
            prepared, jnp.zeros((2, 3, 4)), jnp.zeros((2, 40, 2)), 1.0
        )
    with pytest.raises(ValueError, match="weights has shape"):
        coefficients.fit_coefficients(prepared, jnp.zeros((2, 40, 3)), 1.0, jnp.zeros((2, 41)))
    with pytest.raises(ValueError, match="deviations has shape"):
        bases.linear_basis(face[0], face[1], face[2][:-1])
