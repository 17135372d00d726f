import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.spatial.transform import Rotation

from facejax.geometry import camera as cameras
from facejax.geometry.camera import Camera

fit_affine = jax.jit(cameras.fit_affine)
camera_from_affine = jax.jit(cameras.camera_from_affine, static_argnames="orthogonal")
FLIP = np.diag([1.0, -1, -1])


@pytest.fixture
def camera():
    """Three cameras of heads turned this way and that."""
    angles = [[0.2, -0.5, 0.1], [-0.3, 0.7, 0.4], [0, 0, 0]]
    turn = Rotation.from_euler("xyz", angles).as_matrix()
    return Camera(
        jnp.float32([0.8, 1.5, 2]),
        jnp.float32(FLIP @ turn),
        jnp.float32([[60, 50, 0], [70, 40, 9], [64, 48, -3]]),
    )


def test_projection_is_the_equation_written_out(camera):
    vertices = np.random.default_rng(0).normal(size=(3, 4, 3)).astype(np.float32) * 50
    found = cameras.project(jnp.asarray(vertices), camera)
    for b in range(3):
        for n in range(4):
            due = camera.scale[b] * (camera.rotation[b] @ vertices[b, n]) + camera.translation[b]
            np.testing.assert_allclose(found[b, n], due, rtol=1e-5, atol=1e-4)


def test_a_frontal_face_is_upright_in_the_image():
    pose = jnp.float32([0, 0, 0, 0, 0, 400])
    model = jnp.float32([[0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 10]])
    middle, right, up, nose = cameras.project(model, cameras.camera_from_pose(pose, 48, 100))
    np.testing.assert_allclose(middle, [50, 24, 0])
    np.testing.assert_allclose(right - middle, [10, 0, 0], atol=1e-5)  # 4 * 100 / 400 = 1 px/mm
    np.testing.assert_allclose(up - middle, [0, -10, 0], atol=1e-5)
    np.testing.assert_allclose(nose - middle, [0, 0, -10], atol=1e-5)  # nearer is smaller


def test_a_pose_moves_the_head_right_up_and_away():
    head = jnp.zeros((1, 3))
    near, moved = (
        cameras.camera_from_pose(jnp.float32([0, 0, 0, *place]), 48, 64)
        for place in ((0, 0, 500), (20, 10, 1000))
    )
    np.testing.assert_allclose(moved.scale / near.scale, 0.5)
    step = cameras.project(head, moved) - cameras.project(head, near)
    np.testing.assert_allclose(step[0] / moved.scale, [20, -10, 0], atol=1e-4)


def test_poses_come_back_at_any_image_size():
    rng = np.random.default_rng(3)
    angles = rng.uniform(-1.4, 1.4, (2, 5, 3))
    place = rng.normal(size=(2, 5, 3)) * [30, 30, 60] + [0, 0, 700]
    pose = np.concatenate([angles, place], -1).astype(np.float32)
    for height, width in ((48, 64), (256, 256), (1, 1)):
        camera = cameras.camera_from_pose(jnp.asarray(pose), height, width)
        back = cameras.pose_from_camera(camera, height, width)
        np.testing.assert_allclose(back[..., :3], pose[..., :3], atol=3e-6)
        np.testing.assert_allclose(back[..., 3:], pose[..., 3:], rtol=1e-5, atol=2e-4)


def test_a_pose_at_no_distance_stays_finite():
    def total(pose):
        return sum(jnp.sum(part) for part in cameras.camera_from_pose(pose, 4, 4))

    for distance in (0.0, -3.0):
        pose = jnp.float32([0, 0, 0, 1, 2, distance])
        assert np.isfinite(total(pose)) and np.isfinite(jax.grad(total)(pose)).all()
    null = Camera(jnp.zeros(()), jnp.eye(3), jnp.zeros(3))
    assert np.isfinite(cameras.pose_from_camera(null, 4, 4)).all()


def test_the_affine_fit_equals_numpys(camera):
    rng = np.random.default_rng(1)
    points = rng.normal(size=(3, 20, 3)) * [60, 80, 40]
    image = rng.normal(size=(3, 20, 3)) * 30 + 100
    weights = rng.uniform(0, 2, (3, 20))
    found = fit_affine(*(jnp.float32(array) for array in (points, image, weights)))
    for b in range(3):
        root = np.sqrt(weights[b])[:, None]
        ones = np.concatenate([points[b], np.ones((20, 1))], -1)
        due = np.linalg.lstsq(root * ones, root * image[b], rcond=None)[0].T
        np.testing.assert_allclose(found[b], due, rtol=2e-5, atol=1e-5)


def test_image_points_without_depth_give_the_first_two_rows():
    rng = np.random.default_rng(1)
    points, image = rng.normal(size=(2, 3, 20, 3)).astype(np.float32)
    due = fit_affine(points, image)
    found = fit_affine(points, image[..., :2])
    np.testing.assert_allclose(found, due[:, :2], atol=1e-6)
    seen, flat = camera_from_affine(due), camera_from_affine(found)
    np.testing.assert_allclose(flat.scale, seen.scale, rtol=1e-6)
    np.testing.assert_allclose(flat.rotation, seen.rotation, atol=1e-6)
    shift = seen.translation * jnp.asarray([[1, 1, 0]])
    np.testing.assert_allclose(flat.translation, shift, atol=1e-6)


@pytest.mark.parametrize("offset", [(0, 0, 0), (5, -20, 800)])
def test_dense_points_reproject_within_a_five_thousandth_of_a_pixel(camera, offset):
    points = np.random.default_rng(2).normal(size=(3, 53_215, 3)) * [60, 60, 30]
    order = np.argsort(points[..., 1:2], 1)  # a mesh's order, unlike noise, adds up rounding
    points = np.take_along_axis(points, order, 1) + offset
    scale, rotation, translation = (np.float64(part) for part in camera)
    image = scale[:, None, None] * points @ rotation.swapaxes(-1, -2) + translation[:, None]
    affine = np.float64(fit_affine(jnp.float32(points), jnp.float32(image)))
    error = points @ affine[..., :3].swapaxes(-1, -2) + affine[..., None, :, 3] - image
    assert np.abs(error).max() <= 2e-4
    found = camera_from_affine(jnp.float32(affine))
    np.testing.assert_allclose(found.rotation, camera.rotation, atol=5e-6)
    np.testing.assert_allclose(found.scale, camera.scale, rtol=1e-5)


@pytest.mark.parametrize("batch", [(), (1,)])
def test_one_frame_of_dense_points_compiled_by_itself_is_as_exact(batch):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(53_215, 3)) * 60 + [5, -20, 800]
    image = 1.3 * points @ np.linalg.qr(rng.normal(size=(3, 3)))[0] + [30, 5, -9]
    pair = (np.float32(array).reshape(*batch, -1, 3) for array in (points, image))
    affine = np.float64(jax.jit(fit_affine)(*pair)).reshape(3, 4)
    error = points @ affine[:, :3].T + affine[:, 3] - image
    assert np.abs(error).max() <= 2e-4


def test_points_without_weight_may_hold_anything():
    rng = np.random.default_rng(4)
    points, image = rng.normal(size=(2, 9, 3)).astype(np.float32)
    weights = np.ones(9, np.float32)
    weights[4] = 0
    due = fit_affine(np.delete(points, 4, 0), np.delete(image, 4, 0), np.ones(8, np.float32))
    points[4] = np.nan
    np.testing.assert_allclose(fit_affine(points, image, weights), due, atol=2e-6)


CLOUD = np.random.default_rng(8).normal(size=(6, 3))
DEGENERATE = {
    "plane": CLOUD * [1, 1, 0],
    "line": CLOUD[:, :1] * [1, 2, 3] + 3,
    "point": np.full((6, 3), 7.3),
}


flat_gradient = jax.jit(
    jax.grad(lambda points, image: jnp.sum(jnp.sin(cameras.fit_affine(points, image))))
)


@pytest.mark.parametrize("name", DEGENERATE)
def test_flat_clouds_give_the_least_camera_and_finite_gradients(name):
    points, image = DEGENERATE[name], np.random.default_rng(9).normal(size=(6, 3))
    affine = np.asarray(fit_affine(jnp.float32(points), jnp.float32(image)))
    centre, middle = points.mean(0), image.mean(0)
    due = (np.linalg.pinv(points - centre, rcond=1e-5) @ (image - middle)).T
    np.testing.assert_allclose(affine[:, :3], due, atol=3e-3)
    np.testing.assert_allclose(affine[:, :3] @ centre + affine[:, 3], middle, atol=1e-4)
    gradient = flat_gradient(jnp.float32(points), jnp.float32(image))
    assert np.isfinite(gradient).all()


def test_zero_weights_give_a_zero_camera():
    np.testing.assert_array_equal(fit_affine(CLOUD, CLOUD, np.zeros(6)), np.zeros((3, 4)))


def test_an_affine_camera_that_is_a_similarity_is_taken_apart_exactly(camera):
    affine = jnp.concatenate(
        [camera.scale[:, None, None] * camera.rotation, camera.translation[..., None]], -1
    )
    for orthogonal in (True, False):
        found = camera_from_affine(affine, orthogonal=orthogonal)
        np.testing.assert_allclose(found.rotation, camera.rotation, atol=1e-6)
        np.testing.assert_allclose(found.scale, camera.scale, rtol=1e-6)
        np.testing.assert_array_equal(found.translation, camera.translation)


def test_the_published_decomposition_is_kept_under_its_keyword():
    affine = np.random.default_rng(6).normal(size=(5, 3, 4)).astype(np.float32)
    found = camera_from_affine(affine, orthogonal=False)
    for b in range(5):
        lengths = np.linalg.norm(affine[b, :2, :3], axis=-1)
        r1, r2 = affine[b, :2, :3] / lengths[:, None]
        np.testing.assert_allclose(found.scale[b], lengths.mean(), rtol=1e-6)
        np.testing.assert_allclose(found.rotation[b], [r1, r2, np.cross(r1, r2)], atol=1e-6)


def test_skewed_rows_are_turned_evenly_into_a_proper_rotation():
    affine = np.random.default_rng(6).normal(size=(5, 3, 4)).astype(np.float32)
    rotation = camera_from_affine(affine).rotation
    eye = np.broadcast_to(np.eye(3), (5, 3, 3))
    np.testing.assert_allclose(rotation @ rotation.swapaxes(-1, -2), eye, atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-6)
    skew = camera_from_affine(affine, orthogonal=False).rotation
    cosines = np.sum(rotation * skew, -1)[:, :2]
    np.testing.assert_allclose(cosines[:, 0], cosines[:, 1], atol=1e-6)


@pytest.mark.parametrize(
    "rows", [[(0, 0, 0)] * 2, [(1, 1, 1)] * 2, [(2, 0, 0), (-1, 0, 0)], [(0, 0, 0), (0, -3, 0)]]
)
def test_rows_without_two_directions_give_a_rotation_and_finite_gradients(rows):
    affine = jnp.zeros((3, 4)).at[:2, :3].set(jnp.float32(rows))

    def total(affine):
        found = cameras.camera_from_affine(affine)
        return found.scale + jnp.sum(found.rotation * jnp.arange(9.0).reshape(3, 3))

    rotation = camera_from_affine(affine).rotation
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-6)
    assert np.isfinite(jax.jit(jax.grad(total))(affine)).all()


def test_a_null_camera_faces_the_viewer():
    np.testing.assert_allclose(camera_from_affine(jnp.zeros((3, 4))).rotation, FLIP, atol=1e-6)


def test_gradients_of_the_fitted_camera_equal_finite_differences(camera):
    with jax.enable_x64(True):
        points = jnp.asarray(np.random.default_rng(7).normal(size=(5, 3)))
        image = points @ jnp.asarray(camera.rotation[0], jnp.float64).T + jnp.sin(3 * points)
        fitted = jax.jit(lambda *args: cameras.camera_from_affine(cameras.fit_affine(*args)))
        check_grads(fitted, (points, image), 1, ["rev"], rtol=1e-3)


def test_moving_average_equals_numpy_on_replicated_ends():
    values = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    for window in (1, 4, 15):
        back, ahead = window // 2, window - 1 - window // 2
        padded = np.pad(values, [(back, ahead), (0, 0)], "edge")
        due = [padded[i : i + window].mean(0) for i in range(9)]
        np.testing.assert_allclose(cameras.moving_average(values, window), due, atol=1e-6)
    with pytest.raises(ValueError, match="window is 0"):
        cameras.moving_average(values, 0)


@pytest.fixture
def clips():
    """A driver of 20 cameras and a reference of 2."""
    rng = np.random.default_rng(11)

    def clip(frames, scale, place):
        turn = Rotation.random(frames, random_state=frames).as_matrix()
        translation = np.asarray(place) + rng.normal(size=(frames, 3)) * 4
        scales = scale + 0.1 * rng.normal(size=frames)
        return Camera(jnp.float32(scales), jnp.float32(turn), jnp.float32(translation))

    return clip(20, 2.0, (150, 100, 7)), clip(2, 1.2, (90, 120, 0))


def test_adaptation_equals_the_published_one_written_out(clips):
    driving, reference = (Camera(*(np.float64(part) for part in clip)) for clip in clips)

    def smooth(values):
        padded = np.pad(values, [(7, 7)] + [(0, 0)] * (values.ndim - 1), "edge")
        return np.stack([padded[i : i + 15].mean(0) for i in range(20)])

    scale = smooth(driving.scale * reference.scale.mean() / driving.scale.mean())
    offset = driving.translation / driving.scale[:, None]
    aim = (reference.translation / reference.scale[:, None]).mean(0)
    moved = smooth(offset - offset.mean(0) + aim)
    found = cameras.adapt_cameras(*clips)
    np.testing.assert_allclose(found.scale, scale, rtol=1e-5)
    np.testing.assert_allclose(found.translation, scale[:, None] * moved, rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(found.rotation, clips[0].rotation)
    only_scale = cameras.adapt_cameras(*clips, adapt_translation=False)
    np.testing.assert_allclose(
        only_scale.translation, scale[:, None] * offset, rtol=1e-5, atol=1e-3
    )


def test_adaptation_with_neither_flag_changes_nothing(clips):
    found = cameras.adapt_cameras(*clips, adapt_scale=False, adapt_translation=False)
    for due, part in zip(clips[0], found, strict=True):
        np.testing.assert_array_equal(part, due)


def test_place_alone_is_adapted_in_pixels(clips):
    found = cameras.adapt_cameras(*clips, adapt_scale=False, window=1)
    np.testing.assert_array_equal(found.scale, clips[0].scale)
    np.testing.assert_allclose(
        found.translation.mean(0), clips[1].translation.mean(0), rtol=1e-5, atol=1e-4
    )
