"""Layouts of face meshes in the unit square."""

import numpy as np
import pytest

from facejax.data.synthetic import head
from facejax.geometry.uv_layout import boundary_loops, uv_layout
from facejax.morphable_files import load_model


def doubled_areas(uv, faces):
    a, b, c = np.moveaxis(uv[faces].astype(np.float64), 1, 0)
    return (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]


@pytest.fixture(params=["synthetic head", "ready-made"])
def model(request):
    return head.model() if request.param == "synthetic head" else load_model("ready-made")


def test_no_triangle_folds_over_and_the_holes_are_closed(model):
    layout = uv_layout(model.mean, model.faces)
    assert np.all(doubled_areas(layout.uv, layout.faces) < 0)  # v grows downwards
    assert layout.middle.shape == (3, len(model.mean))  # two eyes and a mouth
    np.testing.assert_allclose(layout.middle.sum(1), 1, rtol=1e-6)
    before, after = (len(boundary_loops(np.asarray(f))) for f in (model.faces, layout.faces))
    assert before - after == 3
    np.testing.assert_array_equal(layout.faces[: len(model.faces)], model.faces)


def test_the_face_stands_upright(model):
    layout = uv_layout(model.mean, model.faces)
    place = layout.uv[np.asarray(model.landmarks)]
    assert place[8, 1] > place[57, 1] > place[33, 1] > place[27, 1]  # chin, lip, nose, bridge
    assert place[36, 0] < place[39, 0] < place[42, 0] < place[45, 0]
    np.testing.assert_allclose(place[[8, 27, 33], 0], 0.5, atol=0.03)
    assert np.all((layout.uv >= 0) & (layout.uv <= 1))


def test_loops_of_a_ring_of_triangles_are_its_two_rims():
    inner, outer = np.arange(5), 5 + np.arange(5)
    after = np.roll(inner, -1)
    faces = np.concatenate(
        [np.stack([inner, outer, after], 1), np.stack([outer, after + 5, after], 1)]
    )
    found = sorted(sorted(loop) for loop in boundary_loops(faces))
    assert found == [list(range(5)), list(range(5, 10))]


def test_a_closed_surface_is_refused():
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
    with pytest.raises(ValueError, match="0 rims; due: 1 or more"):
        uv_layout(vertices, faces)
