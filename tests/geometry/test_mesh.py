"""Connectivity of triangle meshes, against small solids whose answer is known."""

import numpy as np
import pytest

from facejax.geometry.mesh import mesh_topology

TETRAHEDRON = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])
STRIP = np.array([[0, 1, 2], [2, 1, 3]])  # a quad; vertices 0 and 3 lie opposite the diagonal


def test_closed_solid_has_two_triangles_at_every_edge():
    topology = mesh_topology(TETRAHEDRON, 4)
    assert topology.edges.T.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    for (a, b), opposite in zip(topology.edges.T, topology.edge_opposite.T, strict=True):
        assert set(opposite) == {0, 1, 2, 3} - {a, b}


def test_border_edges_have_one_opposite_vertex():
    topology = mesh_topology(STRIP, 4)
    opposite = dict(
        zip(map(tuple, topology.edges.T.tolist()), topology.edge_opposite.T.tolist(), strict=True)
    )
    assert opposite == {
        (0, 1): [2, -1],
        (0, 2): [1, -1],
        (1, 2): [0, 3],
        (1, 3): [2, -1],
        (2, 3): [1, -1],
    }


def test_corner_table_lists_every_corner_at_its_vertex_once():
    faces = np.random.default_rng(0).integers(0, 9, (20, 3))
    topology = mesh_topology(faces, 11)
    assert topology.corner_table.shape[0] == 11
    listed = [(v, c) for v, row in enumerate(topology.corner_table) for c in row if c >= 0]
    assert sorted(listed) == sorted((v, c) for c, v in enumerate(faces.T.ravel()))
    assert (topology.corner_table[9:] == -1).all()


def test_third_triangle_at_an_edge_is_left_out_of_its_opposites():
    topology = mesh_topology(np.array([[0, 1, 2], [0, 1, 3], [1, 0, 4]]), 5)
    assert topology.edges[:, 0].tolist() == [0, 1]
    assert topology.edge_opposite[:, 0].tolist() == [2, 3]


def test_empty_mesh_has_empty_edges_and_a_padded_corner_table():
    topology = mesh_topology(np.zeros((0, 3), int), 5)
    assert topology.faces.shape == (3, 0)
    assert topology.edges.shape == topology.edge_opposite.shape == (2, 0)
    assert topology.corner_table.tolist() == [[-1]] * 5


@pytest.mark.parametrize("faces", [[[0, 1, 4]], [[-1, 1, 2]], [[0, 1]]])
def test_wrong_faces_are_refused(faces):
    with pytest.raises(ValueError, match="faces"):
        mesh_topology(np.array(faces), 4)
