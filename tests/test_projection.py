"""A video's face, projected to every head motion."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facejax import projection, projection_report, sheets
from facejax.data import faces
from facejax.data.synthetic import head
from facejax.errors import InputError
from facejax.face_measures import landmarks_70
from facejax.face_mesh import FaceMesh
from facejax.morphable_files import load_model
from tests import fake_runs

SIZE = 96
REFERENCE = 4


def footage(yaws, valid=None):
    """A smooth pattern painted on the mean face, turned by yaws in radians."""
    mean = np.asarray(load_model("ready-made").mean)[np.asarray(load_model("ready-made").points)]
    points = []
    for yaw in yaws:
        turned = mean @ Rotation.from_euler("y", yaw).as_matrix().T
        points.append(turned * [0.5, -0.5, -0.5] + [SIZE / 2 + 10 * yaw, SIZE / 2, 0])
    points = np.asarray(points, np.float32)
    landmarks = landmarks_70(points)[:, :68]
    valid = np.ones(len(yaws), bool) if valid is None else np.asarray(valid)
    ramp = np.linspace(0, 255, SIZE).astype(np.uint8)
    frame = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], ramp[None, ::-1]), -1)
    motion = projection.head_motions(landmarks, valid, SIZE)
    return projection.Footage(np.stack([frame] * len(yaws)), points, landmarks, motion, valid)


YAWS = (0.3, 0.05, -0.2, 0.15, 0.4, -0.3)


@pytest.fixture(scope="module")
def made():
    return projection.project(footage(YAWS), reference=REFERENCE)


def test_head_motions_are_those_that_moved_the_points():
    motion = projection.head_motions(footage(YAWS).landmarks, np.ones(6, bool), SIZE)
    turns = Rotation.from_rotvec(motion[:, :3])
    apart = (turns * turns[1].inv()).magnitude()
    np.testing.assert_allclose(apart, np.abs(np.array(YAWS) - YAWS[1]), atol=2e-3)


def test_the_key_frame_is_the_most_frontal_of_the_first(made):
    assert made.key == 1


def test_landmarks_of_a_rigid_head_are_found_in_every_frame(made):
    np.testing.assert_allclose(made.landmarks, made.footage.landmarks, atol=0.05)
    report = projection_report.figures(made, REFERENCE)
    assert report["frame_count"] == 2
    assert report["projection"]["landmark_px"] < 0.05 < 1 < report["key_frame"]["landmark_px"]


def test_the_key_frame_shows_itself_and_turned_heads_move_its_colours(made):
    mask = made.masks[1]
    difference = np.abs(made.images[1].astype(int) - made.footage.frames[1])[mask]
    assert difference.mean() < 2 and mask.sum() > 0.1 * SIZE**2
    assert np.all(made.images[1][~mask] == 0)
    nose = made.landmarks[4, 30, :2].astype(int)
    color = made.footage.frames[1][tuple(made.landmarks[1, 30, 1::-1].astype(int))]
    np.testing.assert_allclose(made.images[4][nose[1], nose[0]], color, atol=12)


def test_affine_alignment_brings_a_wrong_mesh_onto_the_landmarks():
    film = footage(YAWS)

    def askew(image, points):
        mesh = projection.from_points(image, points)
        wrong = np.array([[1.2, 0.1, 0], [0, 0.8, 0], [0, 0, 1.1]], np.float32)
        return mesh._replace(vertices=mesh.vertices @ wrong, landmarks=mesh.landmarks @ wrong)

    rigid, affine = (
        projection.project(film, askew, reference=REFERENCE, align=name)
        for name in projection.ALIGNMENTS
    )
    apart = lambda made: np.linalg.norm(made.landmarks - film.landmarks, axis=-1)[..., :2].mean()
    assert apart(affine) < 0.3 < 3 < apart(rigid)


def test_the_sheet_shows_reference_key_and_four_views_of_later_frames(made, monkeypatch):
    seen = {}
    grid = lambda images, labels, **rest: seen.update(labels=labels) or images[0]
    monkeypatch.setattr(sheets, "grid", grid)
    projection_report.sheet(made, REFERENCE)
    assert seen["labels"][3] == "key frame 1" and len(seen["labels"]) % 4 == 0
    assert "frame 5" in seen["labels"]


@pytest.mark.parametrize(
    ("film", "message"),
    [
        (footage(YAWS[:4]), "clip has 4 frames; due: more than the 4"),
        (footage((0.9, 1.0, 0.8, 0.9, 0.0)), "has no frontal frame: the most frontal, number 2"),
        (footage(YAWS, [False] * 4 + [True] * 2), "shows no face"),
    ],
)
def test_footage_without_a_key_frame_is_refused(film, message):
    with pytest.raises(InputError, match=message):
        projection.project(film, reference=REFERENCE, name="clip")


@pytest.mark.slow
def test_a_trained_run_unprojects_at_the_size_of_the_frame(tmp_path):
    model = head.model()
    layout = faces.layout(model, 32)
    source = "configs/unprojection_small.py:32"
    fake_runs.make_workdir(tmp_path / "run", model, "model.width=1", source=source, layout=layout)
    film = footage(YAWS)
    mesh = projection.from_run(tmp_path / "run")(film.frames[1], film.points[1])
    assert mesh.landmarks.shape == (68, 3) and len(mesh.vertices) == layout["covered"].sum()
    reach = 1.1 * SIZE
    assert np.all(np.abs(np.asarray(mesh.vertices)[:, :2] - reach / 2) <= reach / 2 + 1e-3)


@pytest.mark.slow
def test_real_footage_comes_nearer_than_the_key_frame(real_data):
    film = projection.read_footage(real_data / "rhythmic" / "00025.mp4", FaceMesh())
    report = projection_report.figures(projection.project(film))
    assert report["projection"]["landmark_percent"] < 3.5
    assert report["projection"]["landmark_px"] < 0.5 * report["key_frame"]["landmark_px"]
    assert report["projection"]["l1"] < report["key_frame"]["l1"]
