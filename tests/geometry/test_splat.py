"""Splats against a blur in numpy, gradients against supersampling and against theory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.geometry import splat as splatting
from facejax.geometry.mesh import mesh_topology
from facejax.geometry.rasterize import Fragments, fragments, interpolate, rasterize
from facejax.geometry.splat import splat
from tests.geometry import occlusion
from tests.geometry.occlusion import slope

SIZE = 32


def loop_blur(image, variance):
    """3 x 3 Gaussian means in numpy; outside, the rim is repeated."""
    height, width, _ = image.shape
    total, norm = np.zeros_like(image), 0.0
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            weight = np.exp(-(dy * dy + dx * dx) / (2 * variance))
            y = np.clip(np.arange(height) + dy, 0, height - 1)
            x = np.clip(np.arange(width) + dx, 0, width - 1)
            total, norm = total + weight * image[y][:, x], norm + weight
    return total / norm


def two_triangles():
    """A triangle before a larger one: screen [6, 3], topology."""
    front = [[2, 3, 0], [27, 6, 0], [12, 28, 0]]
    behind = [[-5, 1, 5], [40, 9, 6], [20, 60, 7]]
    screen = np.array(front + behind, np.float32)
    return screen, mesh_topology(np.arange(6).reshape(2, 3), 6)


@pytest.mark.parametrize("variance", [0.25, 1.0])
def test_image_is_the_blurred_one(variance):
    screen, topology = two_triangles()
    seen = fragments(screen, topology, rasterize(screen, topology, SIZE, SIZE))
    mask = np.asarray(seen.mask)
    assert 0.3 < mask.mean() < 0.9
    colors = np.random.default_rng(0).uniform(size=(SIZE, SIZE, 2)).astype(np.float32)
    colors[~mask] = np.nan  # what is not seen must not count
    image = np.where(mask[..., None], np.concatenate([colors, np.ones((SIZE, SIZE, 1))], 2), 0)
    due = loop_blur(image[1:-1, 1:-1], variance)[1:-1, 1:-1]
    got = splat(screen, topology, seen, colors, variance=variance)
    assert got.shape == (SIZE, SIZE, 3)
    np.testing.assert_allclose(got[2:-2, 2:-2], due, atol=1e-6)
    full = splat(screen, topology, seen._replace(mask=np.ones_like(mask)), image)
    np.testing.assert_allclose(full[..., -1], 1, atol=1e-6)


def loop_mix(image, motion, depth, variance):
    """The sum of splat's description, pair by pair; differentiable at any motion."""
    weight = splatting._weights(variance)
    (height, width), total = depth.shape, jnp.asarray(image)
    for y, x, dy, dx in np.ndindex(height, width, 3, 3):
        here, shift = (y, x), (dy - 1, dx - 1)
        there = (y - shift[0], x - shift[1])  # what is splatted from there moves here
        if shift == (0, 0) or not (0 <= there[0] < height and 0 <= there[1] < width):
            continue
        nearer = min(here, there, key=lambda place: (depth[place], place))
        moved = motion[nearer][0] * shift[1] + motion[nearer][1] * shift[0]
        share = weight[shift[0]] * weight[shift[1]] * (1 + moved / (2 * weight[1]))
        total = total.at[here].add(share * (image[there] - image[here]))
    return total


@pytest.mark.parametrize("variance", [0.25, 1.0])
def test_the_gradient_is_that_of_the_sum_over_neighbours(variance):
    rng = np.random.default_rng(0)
    image, weights = rng.normal(size=(2, 4, 4, 3)).astype(np.float32)
    depth = rng.integers(0, 4, (4, 4)).astype(np.float32)  # some are equal
    still = np.zeros((4, 4, 2), np.float32)

    def slopes(mix):
        loss = lambda *moving: jnp.vdot(weights, mix(*moving, depth, variance))
        return jax.value_and_grad(loss, (0, 1))(image, still)

    got, due = slopes(splatting._mix), slopes(loop_mix)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(due), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("variance", [0.25, 1.0])
def test_motions_are_felt_in_full_whatever_the_variance(variance):
    """Against the sum of c v.grad f, which linear weights f make exact."""
    rng = np.random.default_rng(0)
    corners = np.array([[-99, -99], [199, -99], [-99, 199], [199, 199]])
    screen = np.pad(corners, ((0, 0), (0, 1))).astype(np.float32)
    topology = mesh_topology(np.array([[0, 2, 1], [1, 2, 3]]), 4)
    seen = fragments(screen, topology, rasterize(screen, topology, SIZE, SIZE))
    mask = rng.uniform(size=(SIZE, SIZE)) < 0.5
    mask[:2], mask[-2:], mask[:, :2], mask[:, -2:] = False, False, False, False
    seen = Fragments(np.where(mask, seen.triangle_id, -1), *seen[1:3], mask)
    colors = rng.normal(size=(SIZE, SIZE, 1)).astype(np.float32)
    slope_x, slope_y = 0.3, -0.8
    y, x = np.mgrid[:SIZE, :SIZE]
    weight = (slope_x * x + slope_y * y).astype(np.float32)[..., None]

    def loss(screen):
        return jnp.sum(weight * splat(screen, topology, seen, colors, variance=variance))

    motion = rng.normal(size=2)
    got = jnp.sum(jax.grad(loss)(screen)[:, :2] * motion[None])
    due = np.sum(mask * (1 + colors[..., 0])) * (motion @ [slope_x, slope_y])
    np.testing.assert_allclose(got, due, rtol=1e-4)


def test_gradient_goes_to_the_surface_in_front():
    screen, topology = two_triangles()
    seen = fragments(screen, topology, rasterize(screen, topology, SIZE, SIZE))
    colors = interpolate(np.repeat([[2.0], [0.5]], 3, axis=0), topology, seen)
    loss = lambda screen: jnp.sum(splat(screen, topology, seen, colors)[8:16, :, 0])
    gradient = jax.grad(loss)(screen)
    assert np.abs(gradient[:3, :2]).max() > 5 and not np.any(gradient[:, 2])
    inside = jax.grad(lambda screen: jnp.sum(splat(screen, topology, seen, colors)[10:14, 14:18]))
    np.testing.assert_allclose(inside(screen), 0, atol=1e-6)


@functools.cache
def face_slopes(name):
    screen, topology, size = occlusion.face(name)
    seen = occlusion.draw(screen, topology, size, size)
    nothing = jnp.zeros((size, size, 0))
    weight = occlusion.weight(size)[..., None]
    loss = lambda screen: jnp.sum(weight * splat(screen, topology, seen, nothing))
    return slope(loss, screen, occlusion.face_motions(screen, size))


@pytest.mark.parametrize("motion", occlusion.MOTIONS)
@pytest.mark.parametrize("name", occlusion.FACE_PARAMETERS)
def test_derivative_of_a_weighted_area_of_the_face(name, motion):
    due = occlusion.true_face_derivative(name, motion)
    np.testing.assert_allclose(face_slopes(name)[motion], due, rtol=0.05)


def test_derivative_of_colours_across_a_fold():
    size = occlusion.BALL[1]
    screen, topology, colors, is_ball = occlusion.ball(*occlusion.BALL)
    seen = occlusion.draw(screen, topology, size, size)
    shown = interpolate(colors, topology, seen)
    weight = occlusion.weight(size)[..., None]
    loss = lambda screen: jnp.sum(weight * splat(screen, topology, seen, shown)[..., :-1])
    got = slope(loss, screen, occlusion.ball_motions(screen, is_ball))
    for name in got:
        due = occlusion.true_ball_derivative(name)
        np.testing.assert_allclose(got[name], due, rtol=0.05, err_msg=name)


@pytest.mark.slow
def test_odd_triangles_batches_and_vmap(monkeypatch):
    screens, topology = occlusion.odd_soup(24, 4)
    ids = np.asarray(rasterize(screens, topology, 24, 24))

    def loss(screen, ids):
        seen = fragments(screen, topology, ids)
        image = splat(screen, topology, seen, jnp.tanh(interpolate(screen, topology, seen)))
        return jnp.sum(image**2), image

    run = jax.value_and_grad(loss, has_aux=True)
    (_, images), gradients = jax.jit(jax.vmap(run))(screens, ids)
    assert np.isfinite(images).all() and np.isfinite(gradients).all() and np.any(gradients != 0)
    batch = screens.reshape(2, 2, -1, 3), ids.reshape(2, 2, 24, 24)
    (_, got), gradient = jax.jit(run)(*batch)
    np.testing.assert_allclose(got.reshape(images.shape), images, atol=1e-5)
    np.testing.assert_allclose(gradient.reshape(screens.shape), gradients, atol=1e-5)
    seen = fragments(screens, topology, ids)
    colors = jnp.tanh(interpolate(screens, topology, seen))
    one = jax.tree.map(lambda leaf: leaf[2], (screens, seen, colors))
    np.testing.assert_allclose(splat(one[0], topology, *one[1:]), images[2], atol=1e-5)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    splat.clear_cache()
    np.testing.assert_allclose(splat(screens, topology, seen, colors), images, atol=1e-5)
    splat.clear_cache()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"screen": np.zeros((7, 3))}, "corner_table"),
        ({"screen": np.zeros((1, 6, 3))}, "batch axes"),
        ({"colors": np.zeros((SIZE, SIZE + 1, 2))}, "triangle_id"),
        ({"variance": 0.0}, "variance = 0.0"),
    ],
)
def test_wrong_arguments_are_refused(changes, message):
    screen, topology = two_triangles()
    seen = fragments(screen, topology, np.zeros((SIZE, SIZE), np.int32))
    arguments = {"screen": screen, "colors": np.zeros((SIZE, SIZE, 2))} | changes
    with pytest.raises(ValueError, match=message):
        splat(topology=topology, fragments=seen, **arguments)
