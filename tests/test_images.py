import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from jax.test_util import check_grads

from facejax import images


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def random_image(rng, *shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def test_warp_by_zero_flow_is_the_identity(rng):
    image = random_image(rng, 2, 5, 7, 3)
    np.testing.assert_array_equal(images.warp(image, jnp.zeros((2, 5, 7, 2))), image)


def test_warp_samples_where_the_flow_points(rng):
    image = random_image(rng, 1, 6, 8, 2)
    flow = jnp.broadcast_to(jnp.array([2.0, 1.0]), (1, 6, 8, 2))  # two right, one down
    np.testing.assert_allclose(images.warp(image, flow)[:, :5, :6], image[:, 1:, 2:], atol=1e-6)


def test_warp_agrees_with_scipy_also_beyond_the_border(rng):
    image, flow = random_image(rng, 2, 9, 6, 3), 6 * random_image(rng, 2, 9, 6, 2)
    rows, columns = np.meshgrid(np.arange(9), np.arange(6), indexing="ij")
    due = np.empty_like(image)
    for b in range(2):
        at = [rows + flow[b, ..., 1], columns + flow[b, ..., 0]]
        for c in range(3):
            due[b, ..., c] = scipy.ndimage.map_coordinates(
                image[b, ..., c], at, order=1, mode="nearest"
            )
    np.testing.assert_allclose(images.warp(image, flow), due, atol=2e-6)


def test_one_image_warped_by_many_flows_equals_its_copies(rng):
    image, flow = random_image(rng, 1, 5, 6, 3), random_image(rng, 4, 5, 6, 2)
    copies = jnp.broadcast_to(image, (4, 5, 6, 3))
    np.testing.assert_array_equal(images.warp(image, flow), images.warp(copies, flow))


def test_warp_keeps_a_half_precision_image_and_takes_flow_in_full(rng):
    image, flow = random_image(rng, 1, 4, 5, 2), random_image(rng, 1, 4, 5, 2)
    warped = images.warp(image.astype(jnp.bfloat16), flow)
    assert warped.dtype == jnp.bfloat16
    np.testing.assert_allclose(warped.astype(jnp.float32), images.warp(image, flow), atol=0.05)


def test_warp_gradients_are_those_of_finite_differences(rng):
    image = random_image(rng, 1, 5, 6, 2)
    flow = jnp.asarray(rng.uniform(0.2, 0.8, (1, 5, 6, 2)) + rng.integers(-3, 3, (1, 5, 6, 2)))
    check_grads(images.warp, (image, flow.astype(jnp.float32)), order=1, modes="rev", atol=0.02)


def test_warp_gradients_are_finite_on_pixel_centres_and_far_outside(rng):
    image = random_image(rng, 1, 4, 5, 2)
    flow = jnp.zeros((1, 4, 5, 2)).at[0, 0].set(1e6).at[0, 1].set(-1e6)
    gradients = jax.grad(lambda i, f: jnp.sum(images.warp(i, f) ** 2), (0, 1))(image, flow)
    assert all(bool(jnp.all(jnp.isfinite(g))) for g in gradients)


def test_warp_refuses_a_flow_of_another_size(rng):
    with pytest.raises(ValueError, match="flow"):
        images.warp(random_image(rng, 1, 4, 5, 2), jnp.zeros((1, 4, 6, 2)))


def test_a_halved_constant_flow_moves_half_as_many_pixels():
    flow = jnp.broadcast_to(jnp.array([4.0, -2.0]), (1, 4, 6, 2))
    halved = images.halve_flow(flow)
    np.testing.assert_array_equal(halved, jnp.broadcast_to(jnp.array([2.0, -1.0]), (1, 2, 3, 2)))


def test_crop_is_the_window_at_its_corner_and_stays_inside(rng):
    image = random_image(rng, 3, 7, 9, 2)
    corner = jnp.array([[2, 1], [-5, -5], [100, 100]])
    window = images.crop(image, corner, 3, 4)
    np.testing.assert_array_equal(window[0], image[0, 1:4, 2:6])
    np.testing.assert_array_equal(window[1], image[1, :3, :4])
    np.testing.assert_array_equal(window[2], image[2, 4:, 5:])


def test_crop_refuses_a_window_larger_than_the_image(rng):
    with pytest.raises(ValueError, match="window"):
        images.crop(random_image(rng, 1, 4, 5, 1), jnp.zeros((1, 2), jnp.int32), 5, 5)


def test_downsample_nearest_takes_the_top_left_of_each_block():
    image = jnp.arange(8 * 12.0).reshape(1, 8, 12, 1)
    np.testing.assert_array_equal(images.downsample_nearest(image, 2, 4), image[:, ::4, ::3])


def test_downsample_nearest_refuses_a_broken_ratio():
    with pytest.raises(ValueError, match="multiple"):
        images.downsample_nearest(jnp.zeros((1, 8, 12, 1)), 3, 4)


def test_resize_keeps_a_ramp_away_from_the_border():
    ramp = jnp.broadcast_to(jnp.arange(8.0)[None, None, :, None] + 0.5, (1, 6, 8, 1))
    larger = images.resize(ramp, 12, 16)
    due = (jnp.arange(16) + 0.5) / 2
    np.testing.assert_allclose(larger[0, 5, 1:-1, 0], due[1:-1], atol=1e-5)
