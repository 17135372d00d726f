"""The rasteriser against a numpy loop, its back ends against each other, gradients against
finite differences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.benchmarks import meshes
from facejax.geometry import pairs
from facejax.geometry.rasterize import fragments, interpolate, mesh_topology, rasterize

HEIGHT, WIDTH = 19, 26
BACKENDS = ("scatter64", "scatter32", "sort", "brute")


def grid(rows, columns):
    """Vertices [rows * columns, 2] of a unit grid and its faces, counter-clockwise for y down."""
    y, x = np.mgrid[:rows, :columns]
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (
        index[i : rows - 1 + i, j : columns - 1 + j].ravel() for i in (0, 1) for j in (0, 1)
    )
    faces = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    return np.stack([x, y], -1).reshape(-1, 2).astype(np.float32), faces


def bump(seed=0, rows=9, columns=11):
    """A grid over most of the image, folded over itself, z from a random wave."""
    rng = np.random.default_rng(seed)
    xy, faces = grid(rows, columns)
    xy = xy * [WIDTH / columns, HEIGHT / rows] + [1.3, 0.8]
    xy += rng.normal(0, 1.5, xy.shape)
    z = 3 * np.sin(xy[:, :1]) + rng.normal(0, 0.5, (len(xy), 1))
    return np.concatenate([xy, z], 1).astype(np.float32), faces


def soup(size, count=60, batch=2, seed=1):
    """Separate random triangles whose corners scatter by `size` px about centres in and near."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform([-5, -5, -2], [WIDTH + 5, HEIGHT + 5, 2], (batch, count, 1, 3))
    corners = centre + rng.normal(0, 1, (batch, count, 3, 3)) * [size, size, 1]
    faces = np.arange(3 * count).reshape(count, 3)
    return corners.reshape(batch, 3 * count, 3).astype(np.float32), faces


def odd_soup():
    """Degenerate, infinite, NaN, far-away, tied and full-screen triangles among ordinary ones."""
    screen, faces = soup(6)
    screen = screen.reshape(2, -1, 3, 3)
    screen[:, 0, 1] = screen[:, 0, 0]  # two corners in one place
    screen[:, 1, 2] = 0.5 * (screen[:, 1, 0] + screen[:, 1, 1])  # three in a line
    screen[:, 2] = screen[:, 3, :1]  # all in one place
    screen[:, 4, 0, 0] = np.nan
    screen[:, 5, 1, 2] = np.nan
    screen[:, 6, 2, 1] = np.inf
    screen[:, 7, 2, 2] = -np.inf
    screen[:, 8, :, 0] += 1e6
    screen[:, 9, :, 1] -= 1e30
    screen[:, 10] = screen[:, 11]
    screen[:, 12:15, :, :2] = [[-90, -80], [200, -70], [10, 300]]
    screen[:, 15, :, :2] = [[3.5, 4.5], [3.5, 4.5 + 1e-6], [12.5, 4.5]]  # a sliver on centres
    screen[:, 16, :, 2] *= 1e30
    return screen.reshape(2, -1, 3), faces


def reference(screen, faces, height=HEIGHT, width=WIDTH):
    """Loop over triangles in float64. Also says where the answer does not hang on rounding."""
    ids = np.full((height, width), -1)
    nearest = np.full((height, width), np.inf)
    sure = np.ones((height, width), bool)
    y, x = np.mgrid[:height, :width] + 0.5
    for f, face in enumerate(faces):
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = screen[face].astype(float)
        e = np.stack(
            [
                (bx - x) * (cy - y) - (by - y) * (cx - x),
                (cx - x) * (ay - y) - (cy - y) * (ax - x),
                (ax - x) * (by - y) - (ay - y) * (bx - x),
            ]
        )
        area = e.sum(0)
        inside = (area != 0) & ((e * np.sign(area) >= 0).all(0))
        depth = (e[0] * az + e[1] * bz + e[2] * cz) / np.where(area == 0, 1, area)
        sure &= (np.abs(e).min(0) > 1e-3) | ((e * np.sign(area)).min(0) < -1e-3)
        sure &= ~inside | (np.abs(depth - nearest) > 1e-4)
        ids = np.where(inside & (depth < nearest), f, ids)
        nearest = np.where(inside, np.minimum(depth, nearest), nearest)
    return ids, nearest, sure


@functools.cache
def bump_case():
    screen, faces = bump()
    topology = mesh_topology(faces, len(screen))
    return screen, topology, rasterize(screen, topology, HEIGHT, WIDTH)


@pytest.mark.parametrize("case", [bump, lambda: (soup(5)[0][0], soup(5)[1])], ids=["mesh", "soup"])
def test_ids_and_depth_equal_a_loop_in_float64(case):
    screen, faces = case()
    topology = mesh_topology(faces, len(screen))
    ids = rasterize(screen, topology, HEIGHT, WIDTH)
    due, depth, sure = reference(screen, faces)
    assert sure.mean() > 0.9 and (due >= 0).mean() > 0.3
    np.testing.assert_array_equal(np.asarray(ids)[sure], due[sure])
    drawn = sure & (due >= 0)
    got = np.asarray(fragments(screen, topology, ids).depth)[drawn]
    np.testing.assert_allclose(got, depth[drawn], atol=1e-4)


CASES = {
    "mesh": lambda: (np.stack([bump(0)[0], bump(1)[0]]), bump()[1]),
    "dense mesh": lambda: (np.stack([bump(0, 19, 26)[0], bump(1, 19, 26)[0]]), bump(0, 19, 26)[1]),
    "sub-pixel": lambda: soup(0.3),
    "dense": lambda: soup(2, 400),
    "small": lambda: soup(4),
    "large": lambda: soup(40),
    "beyond the screen": lambda: soup(400),
    "odd": odd_soup,
}


@pytest.mark.parametrize("case", CASES)
def test_back_ends_agree_bit_for_bit(case):
    screen, faces = CASES[case]()
    topology = mesh_topology(faces, screen.shape[1])
    draw = functools.partial(rasterize, screen, topology, HEIGHT, WIDTH)
    due = np.asarray(draw(backend="brute"))
    assert (due >= 0).any()
    for backend in BACKENDS[:3]:
        np.testing.assert_array_equal(draw(backend=backend), due, backend)
        steps = draw(backend=backend, pairs_per_step=100)
        np.testing.assert_array_equal(steps, due, f"{backend} in many steps")


@pytest.mark.slow
@pytest.mark.parametrize("mesh", ["coarse-2k", "coarse-5k", "dense-69k", "dense-106k"])
def test_back_ends_agree_bit_for_bit_on_the_reference_meshes(mesh):
    vertices, faces = meshes.grid_face(meshes.SIDES[mesh])
    screen, topology = meshes.on_screen(vertices, 2, 256, 256), mesh_topology(faces, len(vertices))
    due = rasterize(screen, topology, 256, 256, backend="brute")
    assert (np.asarray(due) >= 0).mean() > 0.3
    for backend in BACKENDS[:3]:
        ids = rasterize(screen, topology, 256, 256, backend=backend)
        np.testing.assert_array_equal(ids, due, backend)


def test_triangle_lies_where_its_corners_say():
    screen = np.array([[2, 3, 1], [10, 3, 1], [2, 11, 1]], np.float32)
    ids = rasterize(screen, mesh_topology(np.array([[0, 1, 2]]), 3), HEIGHT, WIDTH)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    due = np.where((x >= 2) & (y >= 3) & (x + y <= 13), 0, -1)
    np.testing.assert_array_equal(ids, due)


def test_nearer_of_crossing_triangles_wins_at_each_pixel():
    big = np.array([[-100, -100], [200, -100], [0, 200]])
    rising = np.c_[big, big[:, 0]]  # z = x
    level = np.c_[big, np.full(3, 12.25)]
    screen = np.concatenate([rising, level]).astype(np.float32)
    ids = rasterize(screen, mesh_topology(np.arange(6).reshape(2, 3), 6), HEIGHT, WIDTH)
    due = np.where(np.arange(WIDTH) + 0.5 < 12.25, 0, 1)
    np.testing.assert_array_equal(ids, np.broadcast_to(due, (HEIGHT, WIDTH)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_equal_depths_go_to_the_lowest_number(backend):
    screen, faces = soup(6)
    twice = np.concatenate([faces[29::-1], faces[:30]])
    topology = mesh_topology(twice, screen.shape[1])
    steps = None if backend == "brute" else 100  # so that twins meet in different steps
    ids = rasterize(screen, topology, HEIGHT, WIDTH, backend=backend, pairs_per_step=steps)
    assert 0 <= np.max(ids) < 30


def test_culling_keeps_the_side_it_names():
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    left = np.array([[2, 2, 0], [2, 15, 0], [10, 2, 0]])  # y down: counter-clockwise to the viewer
    right = (left + np.array([12, 0, 0]))[::-1]
    screen = np.concatenate([left, right]).astype(np.float32)
    topology = mesh_topology(faces, 6)
    seen = {
        cull: set(np.unique(rasterize(screen, topology, HEIGHT, WIDTH, cull=cull))) - {-1}
        for cull in ("none", "back", "front")
    }
    assert seen == {"none": {0, 1}, "back": {0}, "front": {1}}


def test_odd_triangles_give_no_nan_and_leave_the_others_alone():
    screen, faces = odd_soup()
    topology = mesh_topology(faces, screen.shape[1])

    def loss(screen):
        ids = rasterize(screen, topology, HEIGHT, WIDTH)
        seen = fragments(screen, topology, ids)
        image = interpolate(screen, topology, seen)
        return jnp.sum(jnp.tanh(image)) + jnp.sum(jnp.tanh(seen.depth)), (ids, seen)

    (value, (ids, seen)), gradient = jax.value_and_grad(loss, has_aux=True)(screen)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    assert all(np.isfinite(leaf).all() for leaf in seen)
    assert not np.isin(ids, [0, 2, 4, 5, 6, 7, 8, 9, 11]).any()


def test_empty_pixels_ignore_a_mesh_that_is_all_nan():
    screen = np.full((3, 3), np.nan, np.float32)
    topology = mesh_topology(np.array([[0, 1, 2]]), 3)

    def loss(screen):
        ids = rasterize(screen, topology, HEIGHT, WIDTH)
        seen = fragments(screen, topology, ids)
        return jnp.sum(interpolate(screen, topology, seen, 0.5)) + jnp.sum(seen.depth)

    value, gradient = jax.value_and_grad(loss)(screen)
    assert value == 0.5 * 3 * HEIGHT * WIDTH
    np.testing.assert_array_equal(gradient, 0)


def test_empty_mesh_and_empty_batch_give_empty_images():
    nothing = mesh_topology(np.zeros((0, 3), int), 4)
    ids = rasterize(np.zeros((2, 4, 3), np.float32), nothing, HEIGHT, WIDTH)
    np.testing.assert_array_equal(ids, np.full((2, HEIGHT, WIDTH), -1))
    seen = fragments(np.ones((2, 4, 3), np.float32), nothing, ids)
    np.testing.assert_array_equal(interpolate(np.ones((4, 5)), nothing, seen, 0.25), 0.25)
    screen, topology, _ = bump_case()
    assert rasterize(screen[None][:0], topology, HEIGHT, WIDTH).shape == (0, HEIGHT, WIDTH)


def test_too_many_pairs_to_number_are_drawn_all_the_same(monkeypatch):
    screen, faces = soup(40, count=31)
    topology = mesh_topology(faces, screen.shape[1])
    due = rasterize(screen, topology, HEIGHT, WIDTH)
    monkeypatch.setattr(pairs, "MAX_PAIRS", 1000)
    jax.clear_caches()
    np.testing.assert_array_equal(rasterize(screen, topology, HEIGHT, WIDTH), due)
    monkeypatch.setattr(pairs, "MAX_PAIRS", 10**5)
    jax.clear_caches()
    np.testing.assert_array_equal(rasterize(screen, topology, HEIGHT, WIDTH), due)


def test_batch_axes_and_vmap_equal_a_loop():
    screens = np.stack([bump(seed)[0] for seed in range(6)]).reshape(2, 3, -1, 3)
    _, topology, _ = bump_case()
    draw = lambda screen, topology: rasterize(screen, topology, HEIGHT, WIDTH)
    due = np.stack([[draw(one, topology) for one in row] for row in screens])
    np.testing.assert_array_equal(draw(screens, topology), due)
    mapped = jax.vmap(jax.jit(jax.vmap(draw, (0, None))), (1, None), 1)
    np.testing.assert_array_equal(mapped(screens, topology), due)
    stacked = jax.tree.map(lambda leaf: np.stack([leaf] * 3), topology)
    np.testing.assert_array_equal(jax.vmap(draw)(screens[1], stacked), due[1])
    np.testing.assert_array_equal(jax.vmap(draw, (None, 0))(screens[1, 0], stacked)[2], due[1, 0])
    seen = fragments(screens, topology, due)
    one = fragments(screens[1, 2], topology, due[1, 2])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1, 2], b, atol=1e-5), seen, one)


def test_whole_batch_in_one_list_equals_frame_by_frame(monkeypatch):
    screens = np.stack([bump(seed)[0] for seed in range(3)])
    _, topology, _ = bump_case()
    due = rasterize(screens, topology, HEIGHT, WIDTH)
    jax.clear_caches()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for backend in BACKENDS[:3]:
        ids = rasterize(screens, topology, HEIGHT, WIDTH, backend=backend)
        np.testing.assert_array_equal(ids, due, backend)
    jax.clear_caches()


def test_weights_are_the_barycentric_coordinates_of_the_pixel_centre():
    screen, topology, ids = bump_case()
    seen = fragments(screen, topology, ids)
    weights = np.asarray(seen.barycentric)
    assert weights.min() >= 0 and weights.max() <= 1
    np.testing.assert_allclose(weights.sum(-1), np.asarray(seen.mask), atol=1e-6)
    np.testing.assert_array_equal(seen.mask, ids >= 0)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    place = np.asarray(interpolate(screen, topology, seen))[seen.mask]
    np.testing.assert_allclose(place[:, :2], np.stack([x, y], -1)[seen.mask], atol=1e-4)
    np.testing.assert_allclose(place[:, 2], np.asarray(seen.depth)[seen.mask], atol=1e-5)


def test_weights_of_centres_on_edges_stay_in_range():
    xy, faces = grid(25, 35)
    screen = np.pad(0.7 * xy, ((0, 0), (0, 1))).astype(np.float32)  # some diagonals hit centres
    topology = mesh_topology(faces, len(screen))
    seen = fragments(screen, topology, rasterize(screen, topology, HEIGHT, WIDTH))
    weights = np.asarray(seen.barycentric)[seen.mask]
    assert len(weights) > 300 and weights.min() == 0 and weights.max() <= 1
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)


def test_triangle_that_has_collapsed_since_it_was_chosen_has_no_weight_and_no_gradient():
    screen = np.array([[2, 3, 1], [10, 3, 1], [18, 3, 1]], np.float32)
    topology = mesh_topology(np.array([[0, 1, 2]]), 3)
    ids = np.zeros((HEIGHT, WIDTH), np.int32)
    loss = lambda screen: jnp.sum(fragments(screen, topology, ids).barycentric ** 2)
    value, gradient = jax.value_and_grad(loss)(screen)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_attributes_may_be_shared_and_the_background_chosen():
    screen, topology, ids = bump_case()
    screens, ids = np.stack([screen, screen]), np.stack([ids, ids])
    seen = fragments(screens, topology, ids)
    shared = np.random.default_rng(0).uniform(size=(len(screen), 4)).astype(np.float32)
    background = np.array([1, 2, 3, 4], np.float32)
    image = interpolate(shared, topology, seen, background)
    assert image.shape == (2, HEIGHT, WIDTH, 4)
    np.testing.assert_array_equal(
        image, interpolate(np.stack([shared] * 2), topology, seen, background)
    )
    np.testing.assert_array_equal(
        image[~seen.mask], np.broadcast_to(background, (np.sum(~seen.mask), 4))
    )


def test_texture_seams_may_have_their_own_vertices():
    screen, topology, ids = bump_case()
    seen = fragments(screen, topology, ids)
    corners = topology.faces.T
    apart = mesh_topology(np.arange(corners.size).reshape(-1, 3), corners.size)
    image = interpolate(screen[corners.ravel()], apart, seen)
    np.testing.assert_array_equal(image, interpolate(screen, topology, seen))


def test_gradients_equal_finite_differences_in_float64():
    screen, topology, ids = bump_case()
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        colors = rng.normal(size=(len(screen), 2))
        weight = rng.normal(size=(HEIGHT, WIDTH, 2))

        def loss(screen, colors):
            seen = fragments(screen, topology, ids)
            image = interpolate(colors, topology, seen)
            return jnp.sum(weight * image**2) + jnp.sum(weight[..., 0] * seen.depth)

        point = (screen.astype(np.float64), colors)
        direction = tuple(rng.normal(size=part.shape) for part in point)
        value = lambda t: loss(*(p + t * d for p, d in zip(point, direction, strict=True)))
        step = 1e-6
        due = (value(step) - value(-step)) / (2 * step)
        gradient = jax.grad(loss, (0, 1))(*point)
        assert gradient[0].dtype == np.float64
        got = sum(np.sum(g * d) for g, d in zip(gradient, direction, strict=True))
        np.testing.assert_allclose(got, due, rtol=1e-6)
    in_float32 = jax.grad(loss)(screen, colors.astype(np.float32))
    np.testing.assert_allclose(in_float32, gradient[0], rtol=1e-3, atol=1e-3 * np.abs(due))


def test_gradient_at_centres_on_edges_is_that_of_the_exact_weights():
    screen = np.array([[0.5, 0.5, 0], [8.5, 0.5, 0], [0.5, 6.5, 0]], np.float32)
    topology = mesh_topology(np.array([[0, 1, 2]]), 3)
    ids = np.asarray(rasterize(screen, topology, HEIGHT, WIDTH))
    row, column = np.nonzero(ids == 0)
    centres = np.stack([column + 0.5, row + 0.5, np.ones(len(row))]).astype(np.float32)
    weight = np.random.default_rng(0).normal(size=centres.shape).astype(np.float32)

    def loss(screen):
        return jnp.sum(weight.T * fragments(screen, topology, ids).barycentric[row, column])

    def exact(screen):  # weights @ corners = centre, and the weights have sum 1
        corners = jnp.concatenate([screen[:, :2].T, jnp.ones((1, 3))])
        return jnp.sum(weight * jnp.linalg.solve(corners, centres))

    assert (row == 0).sum() == 9 and (column == 0).sum() == 7
    np.testing.assert_allclose(jax.grad(loss)(screen), jax.grad(exact)(screen), atol=1e-4)


def test_choice_of_triangles_passes_no_gradient():
    screen, topology, _ = bump_case()
    loss = lambda screen: jnp.sum(rasterize(screen, topology, HEIGHT, WIDTH).astype(jnp.float32))
    np.testing.assert_array_equal(jax.jit(jax.grad(loss))(screen), 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"screen": np.zeros((99, 2))}, "screen"),
        ({"screen": np.zeros((98, 3))}, "corner_table"),
        ({"height": 0}, "height, width = 0"),
        ({"cull": "both"}, "cull='both'"),
        ({"backend": "fast"}, "backend='fast'"),
    ],
)
def test_wrong_arguments_are_refused(changes, message):
    screen, topology, _ = bump_case()
    arguments = {"screen": screen, "topology": topology, "height": HEIGHT, "width": WIDTH}
    with pytest.raises(ValueError, match=message):
        rasterize(**(arguments | changes))


def test_frames_of_unequal_batches_are_refused():
    screen, topology, ids = bump_case()
    with pytest.raises(ValueError, match="batch axes"):
        fragments(np.stack([screen] * 3), topology, np.stack([ids] * 2))
