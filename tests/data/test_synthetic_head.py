import numpy as np
import pytest
from scipy.spatial import cKDTree

from facejax.data.synthetic import expression, head, identity, template
from facejax.geometry.mesh import mesh_topology

# Landmarks of the right side and of the left side that mirror each other (iBUG numbering).
PAIRS = [
    *((k, 16 - k) for k in range(8)),
    *((17 + k, 26 - k) for k in range(5)),
    (31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46),
    (48, 54), (49, 53), (50, 52), (59, 55), (58, 56), (60, 64), (61, 63), (67, 65), (68, 69),
]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return head.model()


@pytest.fixture(scope="module")
def places(model):
    """Landmarks of the mean face and of each expression at full strength."""
    full = model.expression_basis / expression.DEVIATIONS[:, None, None]
    moved = dict(zip(expression.NAMES, model.mean + full, strict=True))
    return {name: face[model.landmarks] for name, face in (moved | {"": model.mean}).items()}


def gap(landmarks, upper, lower):
    return float(np.linalg.norm(landmarks[upper] - landmarks[lower]))


def test_eye_corners_of_the_mean_face_are_90_mm_apart(places):
    assert gap(places[""], 36, 45) == pytest.approx(90, abs=0.5)


def test_landmarks_mirror_each_other(places):
    right, left = (places[""][list(side)] for side in zip(*PAIRS, strict=True))
    np.testing.assert_allclose(right * [-1, 1, 1], left, atol=1e-4)
    assert (right[:, 0] < 0).all()
    middle = [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]
    np.testing.assert_allclose(places[""][middle, 0], 0, atol=1e-4)


def test_triangles_face_outwards(model):
    corners = model.mean[model.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    middle = corners.mean(1)
    outwards = np.sum(normal * (middle - [0, 10, -75]), axis=-1) > 0
    assert outwards.mean() > 0.97  # nostrils, lids and ears have folds


def test_the_model_is_open_at_eyes_and_mouth_and_behind(model):
    """Nothing but skin, and none of it behind the ears: what is seen through a hole is nothing."""
    used = np.unique(model.faces)
    assert set(head.neutral().inside[used]) == {template.SKIN}
    assert model.mean[model.faces].mean(1)[:, 2].min() > head.BACK


def test_no_edge_has_more_than_two_triangles_and_no_triangle_is_empty(model):
    """Of the whole drawn head: eyeballs, mouth and all."""
    faces = head.neutral().faces
    ends = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]))
    assert np.unique(ends, axis=0, return_counts=True)[1].max() == 2
    corners = model.mean[faces]
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=-1
    )
    assert area.min() > 1e-6
    topology = mesh_topology(faces, len(model.mean))
    assert np.asarray(topology.corner_table)[:, 0].min() >= 0, "a vertex without a triangle"


def test_faces_of_the_identity_basis_stay_symmetric(model):
    distance, twin = cKDTree(model.mean).query(model.mean * np.float32([-1, 1, 1]))
    assert distance.max() < 1e-3
    off_seam = head.neutral().lip == 0  # where the lips touch, a vertex has two twins
    mirrored = model.identity_basis[:, twin] * np.float32([-1, 1, 1])
    np.testing.assert_allclose(mirrored[:, off_seam], model.identity_basis[:, off_seam], atol=2e-2)


def test_what_is_fastened_to_the_head_moves_as_the_head_does(model):
    coefficients = np.random.default_rng(0).normal(size=head.NUM_IDENTITY)
    moved = np.tensordot(coefficients, model.identity_basis, 1)[::97]
    np.testing.assert_allclose(head.carried(coefficients, model.mean[::97]), moved, atol=1e-3)


def test_modes_are_those_of_the_process():
    """The sum of outer products of the modes is its covariance, but for the modes left out."""
    vertices = head.neutral().vertices
    modes = identity.basis(vertices, vertices[::40])
    even = identity._mirrored(vertices[::40], vertices[::40])[1]
    captured = modes[:, :, 1].T @ modes[:, :, 1]
    assert np.trace(captured) > 0.85 * np.trace(even)
    assert np.linalg.eigvalsh(even - captured).min() > -0.05 * np.linalg.eigvalsh(even).max()


def test_the_jaw_parts_lips_that_were_closed(places):
    for upper, lower in ((61, 67), (62, 66), (63, 65)):
        assert gap(places[""], upper, lower) < 1.0
        assert gap(places["jaw"], upper, lower) > 12
    np.testing.assert_allclose(places["jaw"][17:48], places[""][17:48], atol=0.8)


def test_blinking_shuts_both_eyes_and_moves_nothing_else(places):
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        assert gap(places[""], upper, lower) > 7
        assert gap(places["blink"], upper, lower) < 1.5
    others = [*range(36), *range(48, 70)]
    np.testing.assert_allclose(places["blink"][others], places[""][others], atol=1e-5)


def test_expressions_move_the_mouth_and_brows_as_they_are_named(places):
    def change(name, number):
        return places[name][number] - places[""][number]

    width = {name: gap(face, 48, 54) for name, face in places.items()}
    assert width["wide"] > width[""] + 8 and width["round"] < width[""] - 8
    assert change("smile", 54)[1] > 4 and change("frown", 54)[1] < -4
    assert gap(places["press"], 51, 57) < gap(places[""], 51, 57) - 3
    assert gap(places["part"], 62, 66) > 5
    assert change("brow_up", 19)[1] > 5 and change("brow_down", 20)[1] < -3


def test_gaze_moves_the_pupils_together_and_no_other_expression_moves_them(places):
    for name, face in places.items():
        step = face[68:] - places[""][68:]
        if name == "gaze_right":
            assert (step[:, 0] > 4).all() and np.abs(step[:, 1]).max() < 1e-4
        elif name == "gaze_up":
            assert (step[:, 1] > 3).all() and np.abs(step[:, 0]).max() < 1e-4
        else:
            np.testing.assert_allclose(step, 0, atol=1e-5)


def test_dense_points_are_spread_over_the_face(model):
    points = model.mean[model.points]
    assert len(np.unique(model.points)) == len(model.points)
    assert set(model.landmarks[:68]) <= set(model.points)
    area = model.mean[(model.mean[:, 2] > -20) & (head.neutral().inside == template.SKIN)]
    assert cKDTree(points).query(area[area[:, 1] < 60])[0].max() < 16


def test_strengths_become_coefficients_by_name():
    coefficients = expression.coefficients({"smile": np.array([0.0, 0.5])})
    at = expression.NAMES.index("smile")
    assert coefficients.shape == (2, len(expression.NAMES))
    assert coefficients[1, at] * expression.DEVIATIONS[at] == pytest.approx(0.5)
    assert np.count_nonzero(coefficients) == 1
    with pytest.raises(ValueError, match="grin"):
        expression.coefficients({"grin": np.zeros(2)})
