from collections import Counter

import numpy as np
import pytest

from facejax import face_topology as topology
from facejax.morphable_files import load_model


@pytest.fixture(scope="module")
def mean():
    return np.asarray(load_model("ready-made").mean, np.float64)[: topology.NUM_POINTS]


@pytest.fixture(scope="module")
def triangles(mean):
    return topology.triangulate(mean)


def directed_edges(triangles):
    return [(int(a), int(b)) for t in triangles for a, b in zip(t, np.roll(t, -1), strict=True)]


def boundary_loops(triangles):
    edges = set(directed_edges(triangles))
    after = {a: b for a, b in edges if (b, a) not in edges}
    loops = []
    while after:
        start, at = after.popitem()
        loop = [start]
        while at != start:
            loop.append(at)
            at = after.pop(at)
        loops.append(loop)
    return loops


def test_the_mirror_is_its_own_inverse_and_keeps_the_middle_line():
    mirror = np.array(topology.MIRROR)
    np.testing.assert_array_equal(mirror[mirror], np.arange(topology.NUM_POINTS))
    for point in (topology.FOREHEAD, topology.CHIN, topology.NOSE_TIP):
        assert mirror[point] == point


def test_the_mirror_swaps_the_named_features():
    mirror = np.array(topology.MIRROR)
    assert mirror[topology.RIGHT_EYE_OUTER] == topology.LEFT_EYE_OUTER
    assert mirror[topology.RIGHT_EYE_INNER] == topology.LEFT_EYE_INNER
    assert mirror[topology.RIGHT_MOUTH_CORNER] == topology.LEFT_MOUTH_CORNER
    assert set(mirror[list(topology.RIGHT_EYE)]) == set(topology.LEFT_EYE)
    for ring in (*topology.LIP_RINGS, topology.OVAL):
        assert set(mirror[list(ring)]) == set(ring)


def test_the_68_landmarks_are_symmetric():
    flipped = [
        *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, *range(35, 30, -1),
        45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
        *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1),
    ]  # fmt: skip
    landmarks = np.array(topology.IBUG_68)
    np.testing.assert_array_equal(np.array(topology.MIRROR)[landmarks], landmarks[flipped])


def test_every_point_is_used_and_every_edge_once_each_way(triangles):
    assert set(triangles.ravel()) == set(range(topology.NUM_POINTS))
    assert max(Counter(directed_edges(triangles)).values()) == 1


def test_the_openings_are_the_eyes_the_mouth_and_the_face_itself(triangles):
    loops = {frozenset(loop) for loop in boundary_loops(triangles)}
    rings = (topology.OVAL, topology.RIGHT_EYE, topology.LEFT_EYE, topology.INNER_LIPS)
    assert loops == {frozenset(ring) for ring in rings}


def test_a_disc_with_three_holes_by_eulers_formula(triangles):
    edges = {frozenset(edge) for edge in directed_edges(triangles)}
    assert topology.NUM_POINTS - len(edges) + len(triangles) == 1 - 3


def test_triangles_face_outwards(mean, triangles):
    a, b, c = np.moveaxis(mean[triangles], 1, 0)
    normal = np.cross(b - a, c - a)
    assert normal[:, 2].sum() > 0
    lips = {point for ring in topology.LIP_RINGS for point in ring}
    rolled = np.array([set(t) <= lips for t in triangles])  # the red rolls inwards
    assert (normal[~rolled, 2] > 0).all()


def test_the_triangulation_is_symmetric(triangles):
    turned = np.array(topology.MIRROR)[triangles][:, ::-1]

    def canonical(faces):
        return {tuple(np.roll(t, -np.argmin(t))) for t in faces.tolist()}

    assert canonical(turned) == canonical(triangles)


def test_the_ready_made_model_carries_this_triangulation(triangles):
    np.testing.assert_array_equal(load_model("ready-made").faces, triangles)
