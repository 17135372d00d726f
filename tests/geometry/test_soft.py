"""The soft rasteriser against loops in float64 and finite differences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.geometry import pairs
from facejax.geometry.mesh import mesh_topology
from facejax.geometry.rasterize import Fragments, fragments, interpolate, rasterize
from facejax.geometry.soft import (
    Softness,
    face_texels,
    rasterize_layers,
    soft_image,
    soft_radius,
    soft_silhouette,
)
from tests.geometry import occlusion

SIZE, LAYERS, RADIUS, SIGMA = 16, 4, 2.5, 0.7
SOFT = Softness(sigma=SIGMA, gamma=0.15, near=-8.0, far=8.0, epsilon=0.02)


@functools.cache
def soup():
    """Triangles that overlap and hang over the rim: screen [30, 3], topology."""
    rng = np.random.default_rng(3)
    centre = rng.uniform([0, 0, -4], [SIZE, SIZE, 4], (10, 1, 3))
    screen = (centre + rng.normal(0, 1, (10, 3, 3)) * [4, 4, 1]).reshape(-1, 3)
    return screen.astype(np.float32), mesh_topology(np.arange(30).reshape(10, 3), 30)


@functools.cache
def layers():
    screen, topology = soup()
    return np.asarray(rasterize_layers(screen, topology, SIZE, SIZE, LAYERS, RADIUS))


@functools.cache
def vertex_colors():
    return np.random.default_rng(0).uniform(size=(30, 2)).astype(np.float32)


@jax.jit
def painted(screen, layers, colors, softness):
    paint = lambda colors, seen: interpolate(colors, soup()[1], seen)
    return soft_image(screen, soup()[1], layers, colors, paint, softness, background=0.3)


def point_in_triangle(corners, point):
    """Signed squared distance to the edges, clipped weights: one triangle [3, 3], one point."""
    xy = corners[:, :2] - point
    following = np.roll(xy, -1, axis=0)
    side = following - xy
    t = np.clip(-(xy * side).sum(1) / (side**2).sum(1), 0, 1)
    square = ((xy + t[:, None] * side) ** 2).sum(1).min()
    areas = np.array([np.linalg.det(xy[[1, 2]]), np.linalg.det(xy[[2, 0]]), np.linalg.det(xy[:2])])
    weights = areas / areas.sum()
    inside = (weights >= 0).all()
    weights = np.clip(weights, 0, 1)
    return (square if inside else -square), weights / weights.sum()


@functools.cache
def loop():
    """Triangles around every pixel, nearest first: (depth, number, square, weights)."""
    screen, topology = soup()
    found = np.empty((SIZE, SIZE), object)
    for i in range(SIZE):
        for j in range(SIZE):
            around = []
            for face, corner in enumerate(topology.faces.T):
                corners = screen[corner].astype(float)
                square, weights = point_in_triangle(corners, [j + 0.5, i + 0.5])
                if square > -(RADIUS**2):
                    around.append((weights @ corners[:, 2], face, square, weights))
            found[i, j] = sorted(around, key=lambda one: one[:2])
    return found


def test_layers_are_the_nearest_triangles_in_order():
    counts = [len(found) for found in loop().ravel()]
    assert min(counts) < 2 and max(counts) > LAYERS
    for i in range(SIZE):
        for j in range(SIZE):
            due = [face for _, face, _, _ in loop()[i, j]][:LAYERS]
            assert list(layers()[:, i, j]) == due + [-1] * (LAYERS - len(due)), (i, j)


def test_equal_depths_are_in_the_order_of_numbers():
    screen, topology = soup()
    level = np.where(np.arange(3)[None] == 2, 1, screen).astype(np.float32)
    found = np.asarray(rasterize_layers(level, topology, SIZE, SIZE, LAYERS, RADIUS)).astype(int)
    rise = np.diff(np.where(found < 0, 99, found), axis=0)
    assert (rise[found[1:] >= 0] > 0).all()


def test_nearest_layer_that_holds_the_centre_is_the_hard_triangle():
    screen, topology = soup()
    ids = np.asarray(rasterize(screen, topology, SIZE, SIZE))
    for i in range(SIZE):
        for j in range(SIZE):
            inside = {face for _, face, square, _ in loop()[i, j] if square > 0}
            due = next((face for face in layers()[:, i, j] if face in inside), -1)
            assert ids[i, j] == due or len(loop()[i, j]) > LAYERS


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_silhouette_and_colours_follow_equations_1_to_4():
    screen, topology = soup()
    colors = vertex_colors()
    image = painted(screen, layers(), colors, SOFT)
    for i in range(SIZE):
        for j in range(SIZE):
            found = loop()[i, j][:LAYERS]
            weight = [np.exp(SOFT.epsilon / SOFT.gamma)]
            color = [np.full(2, 0.3)]
            uncovered = 1.0
            for depth, face, square, weights in found:
                covered = sigmoid(square / SIGMA)
                nearness = (SOFT.far - depth) / (SOFT.far - SOFT.near)
                weight.append(covered * np.exp(nearness / SOFT.gamma))
                color.append(weights @ colors[topology.faces[:, face]])
                uncovered *= 1 - covered
            due = np.average(color, axis=0, weights=weight)
            np.testing.assert_allclose(image[i, j], [*due, 1 - uncovered], atol=1e-5)
    silhouette = soft_silhouette(screen, topology, layers(), SIGMA)
    np.testing.assert_allclose(silhouette, image[..., -1], atol=1e-6)


def test_gradients_equal_finite_differences_in_float64():
    screen, topology = soup()
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        weight = rng.normal(size=(SIZE, SIZE, 3))
        point = (screen.astype(np.float64), rng.normal(size=(30, 2)), np.float64(SIGMA), 0.15)

        def loss(screen, colors, sigma, gamma):
            image = painted(screen, layers(), colors, SOFT._replace(sigma=sigma, gamma=gamma))
            silhouette = soft_silhouette(screen, topology, layers(), sigma)
            return jnp.sum(weight * image) + jnp.sum(weight[..., 0] * silhouette)

        both = jax.jit(jax.value_and_grad(loss, (0, 1, 2, 3)))
        gradient, step = both(*point)[1], 1e-6
        for part in range(4):
            direction = [np.zeros_like(leaf) for leaf in point]
            direction[part] = rng.normal(size=np.shape(point[part]))
            above, below = (
                both(*(p + t * q for p, q in zip(point, direction, strict=True)))[0]
                for t in (step, -step)
            )
            got = np.sum(gradient[part] * direction[part])
            due = (above - below) / (2 * step)
            np.testing.assert_allclose(got, due, rtol=1e-5, err_msg=str(part))
    seen = np.unique(rasterize(screen, topology, SIZE, SIZE))
    hidden = np.setdiff1d(np.arange(10), seen)
    pull = np.abs(gradient[0]).reshape(10, 3, 3)
    assert len(hidden) and (pull.max((1, 2))[hidden] > 1e-3).all()
    assert (pull[:, :, 2].max(1) > 1e-6).all()  # depths


def test_gradient_is_that_of_the_image_drawn_anew():
    size, radius = 48, soft_radius(1.0)
    screen, topology, colors, is_ball = occlusion.ball(8, size)
    softness = Softness(sigma=1.0, gamma=0.1, near=-20.0, far=30.0)
    weight = occlusion.weight(size)[..., None]

    @jax.jit
    @jax.value_and_grad
    def loss(screen):
        found = rasterize_layers(screen, topology, size, size, 40, radius)
        paint = lambda colors, seen: interpolate(colors, topology, seen)
        return jnp.sum(weight * soft_image(screen, topology, found, colors, paint, softness))

    gradient = loss(screen)[1]
    for name, motion in occlusion.ball_motions(screen, is_ball).items():
        due = (loss(screen + 0.05 * motion)[0] - loss(screen - 0.05 * motion)[0]) / 0.1
        np.testing.assert_allclose(np.sum(gradient * motion), due, rtol=0.05, err_msg=name)


def test_without_softness_it_is_the_hard_image():
    screen, topology = soup()
    hard = fragments(screen, topology, rasterize(screen, topology, SIZE, SIZE))
    due = np.asarray(interpolate(vertex_colors(), topology, hard, 0.3))
    sharp = Softness(sigma=1e-9, gamma=1e-4, near=-8.0, far=8.0)
    image = np.asarray(painted(screen, layers(), vertex_colors(), sharp))
    clear = np.zeros((SIZE, SIZE), bool)  # neither at an edge nor between equally near triangles
    for i in range(SIZE):
        for j in range(SIZE):
            depths = [depth for depth, _, square, _ in loop()[i, j] if square > 0]
            edge = min((abs(square) for _, _, square, _ in loop()[i, j]), default=1)
            clear[i, j] = edge > 1e-3 and (len(depths) < 2 or depths[1] - depths[0] > 0.05)
            clear[i, j] &= len(loop()[i, j]) <= LAYERS
    assert clear.mean() > 0.9
    np.testing.assert_allclose(image[clear][:, :2], due[clear], atol=1e-4)
    np.testing.assert_allclose(image[clear][:, 2], np.asarray(hard.mask)[clear], atol=1e-6)


def texel_case(resolution):
    """Weights [N, 3] of points in a triangle, and the texels seen there [N]."""
    rng = np.random.default_rng(0)
    weights = rng.dirichlet([1, 1, 1], 4000).astype(np.float32)
    count = resolution**2
    texels = np.arange(3 * count, dtype=np.float32).reshape(3, resolution, resolution, 1)
    ids = np.full(len(weights), 2)
    seen = Fragments(ids, weights, np.zeros(len(weights)), ids >= 0)
    return weights, np.asarray(face_texels(texels, seen))[:, 0] - 2 * count


@pytest.mark.parametrize("resolution", [1, 2, 5])
def test_texels_are_equal_parts_of_the_triangle(resolution):
    weights, texel = texel_case(resolution)
    number, share = np.unique(texel, return_counts=True)
    np.testing.assert_array_equal(number, np.arange(resolution**2))
    np.testing.assert_allclose(share / len(texel), 1 / resolution**2, rtol=0.35)
    for one in number:  # a part is a triangle: 1 / R of the whole in every direction
        extent = np.ptp(weights[texel == one], axis=0)
        assert (extent <= 1 / resolution + 1e-5).all()


def test_first_texels_lie_at_the_corners():
    texels = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    weights = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]) * 0.94 + 0.02
    seen = Fragments(np.zeros(3, int), weights, np.zeros(3), np.ones(3, bool))
    np.testing.assert_array_equal(face_texels(texels, seen)[:, 0], [0, 2, 6])
    empty = seen._replace(triangle_id=np.full(3, -1), mask=np.zeros(3, bool))
    np.testing.assert_array_equal(face_texels(texels + 1, empty), 0)


def test_radius_is_where_the_probability_has_fallen_to_the_least():
    assert sigmoid(-(soft_radius(0.3, 1e-3) ** 2) / 0.3) == pytest.approx(1e-3)


@pytest.mark.slow
def test_odd_triangles_batches_and_vmap(monkeypatch):
    screens, topology = occlusion.odd_soup(SIZE, 4)
    screens = np.where(np.abs(screens) > 1e20, np.inf, screens)  # whose squares are not finite
    find = lambda screens: rasterize_layers(screens, topology, SIZE, SIZE, LAYERS, RADIUS)
    found = np.asarray(find(screens))
    assert not np.isin(found, [0, 2, 4, 5, 6, 7, 8, 9]).any()
    np.testing.assert_array_equal(find(screens[2]), found[2])
    np.testing.assert_array_equal(jax.vmap(find)(screens), found)
    for platform, most in [("gpu", 2**30), ("cpu", 0)]:
        monkeypatch.setattr(jax, "default_backend", lambda platform=platform: platform)
        monkeypatch.setattr(pairs, "MAX_PAIRS", most)
        rasterize_layers.clear_cache()
        np.testing.assert_array_equal(find(screens), found)
    rasterize_layers.clear_cache()

    def loss(screen, found):
        paint = lambda attributes, seen: jnp.tanh(interpolate(attributes, topology, seen))
        image = soft_image(screen, topology, found, screen, paint, SOFT)
        return jnp.sum(image**2), image

    run = jax.value_and_grad(loss, has_aux=True)
    (_, images), gradients = jax.jit(jax.vmap(run))(screens, found)
    assert np.isfinite(images).all() and np.isfinite(gradients).all() and np.any(gradients != 0)
    batch = screens.reshape(2, 2, -1, 3), found.reshape(2, 2, LAYERS, SIZE, SIZE)
    (_, got), gradient = jax.jit(run)(*batch)
    np.testing.assert_allclose(got.reshape(images.shape), images, atol=1e-5)
    np.testing.assert_allclose(gradient.reshape(screens.shape), gradients, atol=1e-5)


def test_empty_meshes_have_no_layers_and_no_coverage():
    nothing = mesh_topology(np.zeros((0, 3), int), 4)
    screen = np.zeros((4, 3), np.float32)
    layers = rasterize_layers(screen, nothing, 5, 7, 2, 1.0)
    np.testing.assert_array_equal(layers, np.full((2, 5, 7), -1))
    np.testing.assert_array_equal(soft_silhouette(screen, nothing, layers, 1.0), 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"screen": np.zeros((31, 3))}, "corner_table"),
        ({"height": 0}, "height, width, num_layers, radius = 0"),
        ({"num_layers": 0}, "num_layers"),
        ({"radius": 0.0}, "radius"),
    ],
)
def test_wrong_arguments_are_refused(changes, message):
    screen, topology = soup()
    sizes = {"height": SIZE, "width": SIZE, "num_layers": 2, "radius": 1.0}
    with pytest.raises(ValueError, match=message):
        rasterize_layers(**({"screen": screen, "topology": topology} | sizes | changes))


def test_layers_of_another_batch_are_refused():
    screen, topology = soup()
    with pytest.raises(ValueError, match="batch axes"):
        soft_silhouette(screen, topology, np.zeros((1, 2, SIZE, SIZE), np.int32), 1.0)
