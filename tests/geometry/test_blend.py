"""The written-out gradient of blending, against automatic differentiation of the same image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.geometry import blend, channels
from facejax.geometry.crossings import crossings
from facejax.geometry.mesh import mesh_topology
from facejax.geometry.rasterize import fragments, rasterize

SIZE = 24


@pytest.fixture(scope="module")
def scene():
    """Two triangles, and before them squares so small that all around takes more than is there."""
    triangles = [[[2, 3], [20, 6], [9, 22]], [[-5, 1], [30, 9], [15, 50]]]
    for x, y in ((7.5, 8.5), (14.5, 12.5), (20.5, 17.5)):
        a, b, c, d = ([x + 0.06 * i, y + 0.09 * j] for i in (-1, 1) for j in (-1, 1))
        triangles += [[a, b, c], [b, d, c]]
    depth = np.repeat([3, 5, *[1] * (len(triangles) - 2)], 3)[:, None]
    screen = np.concatenate([np.reshape(triangles, (-1, 2)), depth], 1).astype(np.float32)
    topology = mesh_topology(np.arange(len(screen)).reshape(-1, 3), len(screen))
    ids = rasterize(screen, topology, SIZE, SIZE)
    depth, screen = fragments(screen, topology, ids).depth, jnp.asarray(screen)
    edges = crossings(screen, topology, ids, depth)
    return screen, jax.tree.map(jnp.asarray, topology), edges


def test_the_gradient_to_colours_is_exact(scene):
    screen, topology, edges = scene
    rng = np.random.default_rng(0)
    image, weights = rng.normal(size=(2, SIZE, SIZE, 3)).astype(np.float32)
    plain = lambda image: jnp.vdot(weights, blend._forward(image, screen, topology, edges)[0])
    written = lambda image: jnp.vdot(weights, blend.blend(image, screen, topology, edges))
    cuts = blend._cuts(image, screen, topology, edges)
    assert blend._exchange(image, cuts)[1].max() > 1  # where a pixel gives away too much
    due, got = jax.grad(plain)(image), jax.grad(written)(image)
    assert np.abs(due - weights).max() > 0.5
    np.testing.assert_allclose(got, due, atol=1e-5)


def test_the_gradient_to_places_is_that_of_the_displacements(scene):
    """By the chain rule: of the image to displacements (automatic), and on to the vertices."""
    screen, topology, edges = scene
    rng = np.random.default_rng(1)
    image, weights = rng.normal(size=(2, SIZE, SIZE, 3)).astype(np.float32)
    cuts = blend._cuts(image, screen, topology, edges)

    def drawn(displacements):
        moved = zip(cuts, displacements, strict=True)
        gain, share = blend._exchange(image, [one._replace(displacement=d) for one, d in moved])
        return jnp.vdot(weights, image + gain / jnp.maximum(share, 1))

    slopes = jax.grad(drawn)([cut.displacement for cut in cuts])
    due = np.zeros(screen.shape, np.float32)
    for u, (cut, slope) in enumerate(zip(cuts, slopes, strict=True)):
        for pixel in np.flatnonzero(edges[u] >= 0):
            normal = np.zeros(3)
            normal[u], normal[1 - u] = cut.dv[pixel], -cut.du[pixel]
            motion = slope.reshape(-1)[pixel] * cut.inverse[pixel] * cut.dv[pixel] * normal
            for end, share in zip(cut.ends, (1 - cut.t[pixel], cut.t[pixel]), strict=True):
                due[end[pixel]] += share * motion
    written = lambda screen: jnp.vdot(weights, blend.blend(image, screen, topology, edges))
    assert np.abs(due).max() > 1
    np.testing.assert_allclose(jax.grad(written)(screen), due, atol=1e-4)


def test_sums_and_broadcasts_over_channels():
    image = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(channels.total(image), image.sum(-1, keepdims=True), rtol=1e-6)
    column = image[0, :, :1]
    np.testing.assert_array_equal(channels.spread(column, 4), np.repeat(column, 4, axis=1))
