import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from facejax.geometry.rasterize import fragments, interpolate, mesh_topology, rasterize
from facejax.geometry.texture import sample_texture

MODES = {"clamp": "nearest", "repeat": "grid-wrap"}


def drawn(batch=(), size=(9, 7), texture=(5, 6), channels=3, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(*batch, *texture, channels)).astype(np.float32)
    uv = rng.uniform(-0.6, 1.6, (*batch, *size, 2)).astype(np.float32)
    return image, uv


@pytest.mark.parametrize("wrap", MODES)
def test_bilinear_values_are_those_of_scipy(wrap):
    texture, uv = drawn()
    found = sample_texture(texture, uv, wrap=wrap)
    rows = uv[..., 1] * 5 - 0.5, uv[..., 0] * 6 - 0.5
    for channel in range(3):
        due = map_coordinates(texture[..., channel], rows, order=1, mode=MODES[wrap])
        np.testing.assert_allclose(found[..., channel], due, atol=2e-5)


@pytest.mark.parametrize("wrap", MODES)
def test_the_nearest_texel_is_the_one_that_holds_the_point(wrap):
    texture, uv = drawn()
    found = np.asarray(sample_texture(texture, uv, filter="nearest", wrap=wrap))
    for place in np.ndindex(uv.shape[:-1]):
        column, row = (int(np.floor(x * n)) for x, n in zip(uv[place], (6, 5), strict=True))
        if wrap == "clamp":
            column, row = np.clip(column, 0, 5), np.clip(row, 0, 4)
        np.testing.assert_array_equal(found[place], texture[row % 5, column % 6])


def test_texel_centres_give_the_texels_in_their_order():
    texture, _ = drawn(texture=(4, 3))
    u, v = np.meshgrid((np.arange(3) + 0.5) / 3, (np.arange(4) + 0.5) / 4)
    found = sample_texture(texture, np.stack([u, v], -1).astype(np.float32))
    np.testing.assert_allclose(found, texture, atol=1e-6)


def test_batches_and_shared_textures_equal_single_lookups():
    texture, uv = drawn(batch=(2, 3))
    found = sample_texture(texture, uv)
    for place in np.ndindex(2, 3):
        np.testing.assert_array_equal(found[place], sample_texture(texture[place], uv[place]))
    shared = sample_texture(texture[0, 0], uv)
    np.testing.assert_array_equal(shared[1, 2], sample_texture(texture[0, 0], uv[1, 2]))


def test_gradients_equal_finite_differences():
    with jax.enable_x64(True):
        texture, uv = (jnp.asarray(x, jnp.float64) for x in drawn(seed=3))
        weight = jnp.asarray(np.random.default_rng(4).normal(size=(9, 7, 3)))
        loss = lambda texture, uv: jnp.sum(weight * sample_texture(texture, uv))
        slopes = jax.grad(loss, (0, 1))(texture, uv)
        for k, value in enumerate((texture, uv)):
            way = jnp.asarray(np.random.default_rng(5).normal(size=value.shape))
            ends = []
            for step in (1e-6, -1e-6):
                moved = [texture, uv]
                moved[k] = value + step * way
                ends.append(loss(*moved))
            due = float(ends[0] - ends[1]) / 2e-6
            np.testing.assert_allclose(float(jnp.sum(slopes[k] * way)), due, rtol=1e-6)


def test_coordinates_that_are_no_numbers_harm_nothing():
    texture, uv = drawn()
    uv[2, 3] = np.nan
    uv[4, 1] = np.inf
    loss = lambda texture, uv: jnp.sum(sample_texture(texture, uv) ** 2)
    assert np.isfinite(sample_texture(texture, uv)).all()
    slopes = jax.grad(loss, (0, 1))(texture, jnp.asarray(uv))
    assert all(np.isfinite(slope).all() for slope in slopes)


def test_a_seam_is_crossed_by_no_triangle():
    """Two triangles share an edge in space, and lie in different corners of the texture."""
    screen = np.array([[0, 0, 1], [8, 0, 1], [8, 8, 1], [0, 8, 1]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    uv = np.array([[0, 0], [0.4, 0], [0.4, 0.4], [0.6, 0.6], [1, 1], [0.6, 1]], np.float32)
    seams = np.array([[0, 1, 2], [3, 4, 5]])
    topology, texture_topology = mesh_topology(faces, 4), mesh_topology(seams, 6)
    number = rasterize(screen, topology, 8, 8)
    seen = fragments(screen, topology, number)
    found = np.asarray(interpolate(uv, texture_topology, seen))
    first = np.asarray(number) == 0
    assert (found[first] <= 0.4 + 1e-6).all() and (found[~first] >= 0.6 - 1e-6).all()
    texture = np.zeros((10, 10, 1), np.float32)
    texture[:5] = 1
    image = sample_texture(texture, found, filter="nearest")[..., 0]
    np.testing.assert_array_equal(image, first.astype(np.float32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"filter": "cubic"}, "filter='cubic'"), ({"wrap": "mirror"}, "wrap='mirror'")],
)
def test_unknown_ways_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        sample_texture(*drawn(), **changes)


def test_unequal_batches_are_refused():
    with pytest.raises(ValueError, match="batch axes"):
        sample_texture(drawn(batch=(2,))[0], drawn(batch=(3,))[1])
