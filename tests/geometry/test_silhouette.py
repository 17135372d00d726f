"""Coverage against the areas of half-planes and triangles, gradients against supersampling."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.geometry import pairs
from facejax.geometry.mesh import mesh_topology
from facejax.geometry.rasterize import fragments, interpolate, rasterize
from facejax.geometry.silhouette import antialias, silhouette_coverage, silhouette_edges
from tests.geometry import occlusion
from tests.geometry.occlusion import draw, slope

SIZE = 64
FOUR = mesh_topology(np.arange(12).reshape(4, 3), 12)  # separate triangles
IMAGE = np.random.default_rng(0).uniform(size=(SIZE, SIZE, 1)).astype(np.float32)


def scene(*triangles):
    """Screen [12, 3] of up to four triangles, corners [3, 3]; the others are out of sight."""
    hidden = np.full((3, 3), -1000.0) + np.eye(3)
    corners = [*triangles, *[hidden] * (4 - len(triangles))]
    return np.concatenate(corners).astype(np.float32)


def flat(corners, z=0.0):
    return np.pad(np.asarray(corners, float), ((0, 0), (0, 1)), constant_values=z)


def coverage(screen, width=1):
    return silhouette_coverage(screen, FOUR, draw(screen, FOUR, SIZE, SIZE), width=width)


def half_plane(angle, offset):
    """A triangle whose one edge in the image has this normal; the covered share of each pixel."""
    normal, along = (np.array([np.cos(angle + t), np.sin(angle + t)]) for t in (0, np.pi / 2))
    point = SIZE / 2 + offset * normal
    corners = np.stack([point + 900 * along, point - 900 * along, point - 900 * normal])
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    depth = offset - (x - SIZE / 2) * normal[0] - (y - SIZE / 2) * normal[1]
    a, b = np.abs(normal) + 1e-9  # the pixel seen along the edge is a trapezoid of sides a and b
    square = lambda t: np.maximum(t, 0) ** 2
    share = square(depth + (a + b) / 2) - square(depth + (a - b) / 2)
    share += square(depth - (a + b) / 2) - square(depth - (a - b) / 2)
    return scene(flat(corners)), share / (2 * a * b)


@pytest.mark.parametrize("angle", [0, 0.3, np.pi / 4, 1.2, np.pi / 2, 2.5, 4.0, 5.5])
@pytest.mark.parametrize("offset", [0.0, 0.2, 0.45, 3.7])
def test_coverage_of_a_half_plane_is_the_covered_share_of_the_pixels(angle, offset):
    screen, share = half_plane(angle, offset)
    error = np.asarray(coverage(screen) - share)[1:-1, 1:-1]  # the rim lacks links outwards
    # Along the axes it is exact; obliquely, links in both directions act at once.
    assert np.abs(error).max() <= (0.126 if angle % (np.pi / 2) else 1e-3)
    assert abs(error.sum()) < 0.02 * SIZE


@pytest.mark.parametrize("wall", [False, True], ids=["background", "a surface behind"])
@pytest.mark.parametrize("seed", range(6))
def test_gradient_is_that_of_the_triangles_area(seed, wall):
    rng = np.random.default_rng(seed)
    turn = rng.uniform(0, 2 * np.pi) + np.array([0, 2.1, 4.2]) + rng.uniform(-0.5, 0.5, 3)
    corners = 28 * np.stack([np.cos(turn), np.sin(turn)], -1) + SIZE / 2 + rng.uniform(-1, 1, 2)
    behind = [[-200, -200, 3], [300, -100, 1], [0, 400, 2]]
    screen = scene(flat(corners), *[behind] * wall)
    seen = draw(screen, FOUR, SIZE, SIZE)
    colors = np.repeat(np.float32([[2], [0.5], [0], [0]]), 3, axis=0)

    def total(screen):
        return jnp.sum(antialias(interpolate(colors, FOUR, seen), screen, FOUR, seen))

    x, y = corners[:, 0], corners[:, 1]
    doubled = np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)
    due = [np.roll(y, -1) - np.roll(y, 1), np.roll(x, 1) - np.roll(x, -1)]
    due = 0.5 * np.sign(doubled) * np.stack(due, -1)
    contrast = 1.5 if wall else 2
    value, gradient = jax.value_and_grad(total)(screen)
    area = (value - wall * 0.5 * SIZE**2) / contrast
    np.testing.assert_allclose(area, abs(doubled) / 2, rtol=2e-3)
    np.testing.assert_allclose(gradient[:3, :2] / contrast, due, atol=0.05 * np.abs(due).max())
    np.testing.assert_array_equal(gradient[3:], 0)
    np.testing.assert_array_equal(gradient[:, 2], 0)


@functools.cache
def face_slopes(name):
    screen, topology, size = occlusion.face(name)
    seen = draw(screen, topology, size, size)
    loss = lambda screen: jnp.sum(
        occlusion.weight(size) * silhouette_coverage(screen, topology, seen)
    )
    return slope(loss, screen, occlusion.face_motions(screen, size))


@pytest.mark.parametrize("motion", occlusion.MOTIONS)
@pytest.mark.parametrize("name", occlusion.FACE_PARAMETERS)
def test_derivative_of_a_weighted_area_of_the_face(name, motion):
    due = occlusion.true_face_derivative(name, motion)
    np.testing.assert_allclose(face_slopes(name)[motion], due, rtol=0.03)


def test_derivative_of_colours_across_a_fold():
    size = occlusion.BALL[1]
    screen, topology, colors, is_ball = occlusion.ball(*occlusion.BALL)
    motions = occlusion.ball_motions(screen, is_ball)
    ids = rasterize(screen, topology, size, size)

    def loss(screen):
        seen = fragments(screen, topology, ids)
        image = antialias(interpolate(colors, topology, seen), screen, topology, seen)
        return jnp.sum(occlusion.weight(size)[..., None] * image)

    got = slope(loss, screen, motions)
    for name in got:
        due = occlusion.true_ball_derivative(name)
        np.testing.assert_allclose(got[name], due, rtol=0.05, err_msg=name)


def test_edges_inside_leave_the_mask_covered():
    screen = scene(flat([[10, 9], [50, 20], [20, 44]]), flat([[1, 3], [61, 2], [22, 63]], 1))
    mask = np.asarray(draw(screen, FOUR, SIZE, SIZE).mask)
    covered = np.asarray(coverage(screen))
    padded = np.pad(mask, 1, mode="edge")
    shifted = [np.roll(padded, step, axis)[1:-1, 1:-1] for step in (1, -1) for axis in (0, 1)]
    inner = np.all([other == mask for other in shifted], axis=0)
    assert 0.8 < inner.mean() < 1
    np.testing.assert_array_equal(covered[inner], mask[inner])
    assert ((covered >= 0) & (covered <= 1)).all() and (covered[~inner] % 1 > 0).any()


def test_hidden_surfaces_neither_blend_nor_get_a_gradient():
    front = [[-90, -60, 0], [220, -40, 0], [10, 350, 0]]
    screen = scene(front, [[3, 4, 5], [45, 6, 5], [12, 50, 5]])
    seen = draw(screen, FOUR, SIZE, SIZE)
    blended, pull = jax.vjp(lambda screen: antialias(IMAGE, screen, FOUR, seen), screen)
    np.testing.assert_array_equal(blended, IMAGE)
    np.testing.assert_array_equal(pull(jnp.ones_like(blended))[0], 0)


def test_seams_between_surfaces_that_continue_each_other_do_not_blend():
    xy = np.array([[-9, -9], [33.3, -9], [47.1, 90], [-9, 90], [90, -9], [90, 90]])
    points = np.c_[xy, 0.3 * xy[:, 0] - 0.2 * xy[:, 1]]
    screen = scene(*(points[list(face)] for face in [(0, 2, 1), (0, 3, 2), (1, 2, 4), (2, 5, 4)]))
    seen = draw(screen, FOUR, SIZE, SIZE)
    assert seen.mask.all() and silhouette_edges(screen, FOUR).all()
    np.testing.assert_array_equal(antialias(IMAGE, screen, FOUR, seen), IMAGE)


def test_edges_through_pixel_centres_cut_the_pixels_in_half():
    a, b, c, d = np.array([[4.5, 3.5], [4.5, 15.5], [20.5, 3.5], [20.5, 15.5]])
    screen = scene(flat([a, b, c]), flat([b, d, c]))
    covered = coverage(screen)
    np.testing.assert_allclose(covered[4:15, 4], 0.5)
    np.testing.assert_allclose(covered[4:15, 20], 0.5)
    np.testing.assert_allclose(covered[15, 5:20], 0.5)
    np.testing.assert_array_equal(covered[4:15, 5:20], 1)
    gradient = jax.grad(lambda screen: jnp.sum(coverage(screen)[8:12]))(screen)[:, 0]
    left, right = gradient[np.array([0, 1, 3])], gradient[np.array([2, 4, 5])]
    np.testing.assert_allclose([left.sum(), right.sum()], [-4, 4])  # of four rows, each one px


def test_parts_thinner_than_a_pixel_cover_no_less_than_nothing():
    a, b, c, d = np.array([[20.3, 9.4], [20.3, 9.6], [20.7, 9.4], [20.7, 9.6]])
    covered = coverage(scene(flat([a, b, c]), flat([b, d, c])))
    assert np.min(covered) >= 0 and np.sum(covered) < 0.3  # the area is 0.08


def test_edges_longer_than_the_image_are_found_all_along():
    screen = scene([[-300, 2.2, 0], [500, 29.7, 0], [100, 900, 0]])
    gradient = jax.grad(lambda screen: jnp.sum(coverage(screen)))(screen)
    np.testing.assert_allclose(jnp.sum(gradient[:, 1]), -SIZE, rtol=0.01)


def test_wider_coverage_is_blurred_with_a_box():
    screen, _ = half_plane(0.0, 0.25)
    sharp = [1] * 9 + [0.25] + [0] * 9
    due = np.convolve(sharp, [0.75, 1, 0.75], "same")[6:13] / 2.5
    np.testing.assert_allclose(coverage(screen, width=2.5)[5, 29:36], due, atol=1e-5)


def loop_silhouette(screen, topology):
    found = []
    for (a, b), opposite in zip(topology.edges.T, topology.edge_opposite.T, strict=True):
        signs = [
            np.sign(np.linalg.det(screen[[b, o], :2].astype(float) - screen[a, :2]))
            for o in opposite
            if o >= 0
        ]
        found.append(len(signs) == 1 or signs[0] == signs[1])
    return np.array(found)


def test_silhouette_edges_are_borders_and_folds():
    screen, topology, _, _ = occlusion.ball(14, 48)
    rng = np.random.default_rng(0)
    screens = screen + rng.normal(0, 2, (2, 1, *screen.shape)).astype(np.float32)
    edges = np.asarray(silhouette_edges(screens, topology))
    due = [[loop_silhouette(one, topology) for one in row] for row in screens]
    assert 0.1 < edges.mean() < 0.9
    np.testing.assert_array_equal(edges, due)


def test_triangles_that_are_not_finite_leave_borders():
    screen = np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0], [9, 9, np.nan]], np.float32)
    topology = mesh_topology(np.array([[0, 2, 1], [1, 2, 3]]), 4)
    edges = np.asarray(silhouette_edges(screen, topology))
    np.testing.assert_array_equal(edges, np.all(topology.edges != 3, axis=0))


def test_meshes_of_nothing_are_covered_nowhere():
    nothing = mesh_topology(np.zeros((0, 3), int), 4)
    screen = np.zeros((2, 4, 3), np.float32)
    seen = draw(screen, nothing, SIZE, SIZE)
    np.testing.assert_array_equal(silhouette_coverage(screen, nothing, seen), 0)
    lost = np.full((12, 3), np.nan, np.float32)
    value, gradient = jax.value_and_grad(lambda screen: jnp.sum(coverage(screen)))(lost)
    assert value == 0 and not np.any(gradient)


@pytest.mark.slow
def test_odd_triangles_batches_and_vmap(monkeypatch):
    screens, topology = occlusion.odd_soup(24, 4)
    ids = np.asarray(rasterize(screens, topology, 24, 24))

    def loss(screen, topology, ids):
        seen = fragments(screen, topology, ids)
        image = jnp.tanh(interpolate(screen, topology, seen))
        image = antialias(image, screen, topology, seen)
        return jnp.sum(image**2), image

    run = jax.value_and_grad(loss, has_aux=True)
    stacked = jax.tree.map(lambda leaf: np.stack([leaf] * 4), topology)
    (_, images), gradients = jax.jit(jax.vmap(run))(screens, stacked, ids)
    assert np.isfinite(images).all() and np.isfinite(gradients).all()
    assert np.any(gradients[..., :2] != 0)
    batch = screens.reshape(2, 2, -1, 3), topology, ids.reshape(2, 2, 24, 24)
    (_, got), gradient = jax.jit(run)(*batch)
    np.testing.assert_allclose(got.reshape(images.shape), images, atol=1e-5)
    np.testing.assert_allclose(gradient.reshape(screens.shape), gradients, atol=1e-5)
    seen = fragments(screens, topology, ids)
    image = jnp.tanh(interpolate(screens, topology, seen))
    one = jax.tree.map(lambda leaf: leaf[2], (image, screens, seen))
    np.testing.assert_allclose(antialias(*one[:2], topology, one[2]), images[2], atol=1e-5)
    share = antialias(np.ones_like(image), screens, topology, seen)
    np.testing.assert_allclose(share, 1, atol=1e-6)
    for platform, most in [("gpu", 2**30), ("tpu", 0)]:
        monkeypatch.setattr(jax, "default_backend", lambda platform=platform: platform)
        monkeypatch.setattr(pairs, "MAX_PAIRS", most)
        antialias.clear_cache()
        np.testing.assert_allclose(antialias(image, screens, topology, seen), images, atol=1e-5)
    antialias.clear_cache()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"screen": np.zeros((13, 3))}, "corner_table"),
        ({"screen": np.zeros((1, 12, 3))}, "batch axes"),
        ({"image": np.zeros((SIZE, SIZE + 1, 2))}, "triangle_id"),
        ({"image": np.zeros((2, SIZE, SIZE, 2))}, "batch axes"),
    ],
)
def test_wrong_arguments_are_refused(changes, message):
    screen, _ = half_plane(0.0, 0.0)
    arguments = {"image": IMAGE, "screen": screen} | changes
    with pytest.raises(ValueError, match=message):
        antialias(topology=FOUR, fragments=draw(screen, FOUR, SIZE, SIZE), **arguments)


def test_widths_below_a_pixel_are_refused():
    with pytest.raises(ValueError, match=r"width = 0.5"):
        coverage(scene(), width=0.5)
