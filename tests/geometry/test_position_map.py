"""Position maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.data.synthetic import head
from facejax.geometry import position_map as maps

SIZE = 48


@pytest.fixture(scope="module")
def model():
    return head.model()


@pytest.fixture(scope="module")
def layout(model):
    return maps.map_layout(model.mean, model.faces, model.landmarks, SIZE)


def test_a_pixel_holds_the_point_of_the_triangle_under_its_centre(model, layout):
    made = np.asarray(maps.position_map(jnp.asarray(model.mean), layout))
    whole = np.concatenate([model.mean, layout.middle @ model.mean])
    corners = np.asarray(layout.faces).T
    for row, column in np.argwhere(layout.covered)[::137]:
        centre = (np.array([column, row]) + 0.5) / SIZE
        for face in corners:  # slow: every triangle is asked
            system = np.r_[layout.uv[face].T, np.ones((1, 3))]
            weights = np.linalg.solve(system, np.r_[centre, 1])
            if np.all(weights >= -1e-6):
                np.testing.assert_allclose(made[row, column], weights @ whole[face], atol=0.02)
                break
        else:
            pytest.fail(f"no triangle at {row}, {column}")


def test_vertices_come_back_within_the_resolution_of_the_map(model, layout):
    used = np.unique(np.asarray(model.faces))
    shape = jnp.asarray(model.mean)
    made = maps.position_map(shape, layout)
    error = np.linalg.norm(np.asarray(maps.vertices_of(made, layout) - shape), axis=-1)[used]
    assert error.mean() < 1.0  # mm; pixels lie some 5 mm apart
    marks = maps.landmarks_of(made, layout)[:68] - shape[np.asarray(model.landmarks[:68])]
    assert np.linalg.norm(marks, axis=-1).mean() < 1.5


def test_maps_of_many_are_those_of_each(model, layout):
    shapes = jnp.stack([jnp.asarray(model.mean), 2 * jnp.asarray(model.mean) + 1])
    both = jax.jit(maps.position_map)(shapes, layout)
    assert both.shape == (2, SIZE, SIZE, 3)
    np.testing.assert_allclose(both[1], 2 * both[0] + 1, atol=1e-3)
    np.testing.assert_allclose(both[0], maps.position_map(shapes[0], layout), atol=1e-4)
    assert maps.vertices_of(both, layout).shape == shapes.shape


def test_pixels_beside_the_mesh_repeat_the_nearest_one(model, layout):
    made = np.asarray(maps.position_map(jnp.asarray(model.mean), layout))
    known = np.argwhere(layout.covered)
    for row, column in np.argwhere(~layout.covered)[::61]:
        distance = np.sum((known - [row, column]) ** 2, axis=1)
        nearest = known[distance == distance.min()]
        assert any(np.array_equal(made[row, column], made[tuple(place)]) for place in nearest)


def test_weights_stand_16_to_4_to_3_to_0(layout):
    values = np.unique(layout.weight)
    np.testing.assert_allclose(values / values[1] * 3, [0, 3, 4, 16], rtol=1e-5)
    assert np.all((layout.weight > 0) == layout.covered)
    np.testing.assert_allclose(layout.weight[layout.covered].mean(), 1, rtol=1e-5)
    row, column = (layout.landmarks[30, ::-1] * SIZE).astype(int)  # tip of the nose
    assert layout.weight[row, column] == values[3]


def test_the_mesh_of_a_map_covers_its_pixels_once_and_faces_outwards():
    covered = np.ones((5, 6), bool)
    covered[0, :2] = covered[3, 3] = False
    pixels, faces = maps.map_mesh(covered)
    row, column = np.divmod(pixels, 6)
    assert covered[row, column].all() and len(pixels) == covered.sum()
    x, y = column[faces].astype(float), row[faces].astype(float)
    doubled = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (y[:, 1] - y[:, 0]) * (x[:, 2] - x[:, 0])
    np.testing.assert_array_equal(doubled, -1)  # half a cell, counter-clockwise with y upwards
    cells = covered[:-1, :-1] * 1 + covered[:-1, 1:] + covered[1:, :-1] + covered[1:, 1:]
    assert len(faces) == 2 * np.sum(cells == 4) + np.sum(cells == 3)
