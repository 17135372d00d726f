import numpy as np
import pytest
import scipy.io
from scipy.spatial.transform import Rotation

from facejax import accuracy, cli
from facejax.accuracy import Truth, measure, read_truth, table
from facejax.errors import InputError
from facejax.face_mesh import Face
from facejax.face_topology import IBUG_68
from facejax.files import read_image, write_image
from facejax.morphable_files import load_model

FRONTAL = (np.eye(3, dtype=np.float32), 0.01)


@pytest.fixture
def face():
    """A frontal face, 2 px a millimetre, in the middle of a 400 x 500 image."""
    mean = load_model("ready-made").mean[:468]
    points = (2 * mean * [1, -1, -1] + [250, 200, 0]).astype(np.float32)
    box = np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)])
    return Face(points, 0.9, box)


def truth_of(face, angles=(0.0, 0.0, 0.0)):
    angles = np.array(angles, np.float32)
    rotation = Rotation.from_euler("XYZ", -angles).as_matrix().astype(np.float32)
    return Truth(face.points[list(IBUG_68), :2], rotation, angles)


def write_mat(path, face, angles=(0.0, 0.0, 0.0)):
    landmarks = np.add(face.points[list(IBUG_68)].T, [[0.5], [0.5], [0]])
    scipy.io.savemat(path, {"pt3d_68": landmarks, "Pose_Para": np.array([[*angles, 9, 9, 9, 1]])})


def test_a_perfect_answer_has_no_error(face):
    row = measure("a", face, FRONTAL, truth_of(face))
    assert row.nme == 0 and row.rotation == 0
    np.testing.assert_array_equal(row.angles, 0)


def test_errors_are_signed_angles_and_one_turn(face):
    row = measure("a", face, FRONTAL, truth_of(face, np.radians([10, 0, 0])))
    np.testing.assert_allclose(row.angles, [-10, 0, 0], atol=1e-4)
    assert row.rotation == pytest.approx(10, abs=1e-3)


def test_the_conventions_of_the_annotations(face, tmp_path):
    """Pitch up, yaw to the image's left and roll clockwise are positive: as the photos show."""
    write_mat(tmp_path / "a.mat", face, (0.3, 0, 0))
    up = read_truth(tmp_path / "a.mat").rotation @ [0, 0, 1]  # where the nose points
    assert up[1] > 0.2 and up[0] == pytest.approx(0)
    write_mat(tmp_path / "b.mat", face, (0, 0.3, 0))
    assert (read_truth(tmp_path / "b.mat").rotation @ [0, 0, 1])[0] < -0.2
    write_mat(tmp_path / "c.mat", face, (0, 0, 0.3))
    assert (read_truth(tmp_path / "c.mat").rotation @ [0, 1, 0])[0] > 0.2


def test_annotated_pixels_count_from_one(face, tmp_path):
    write_mat(tmp_path / "a.mat", face)
    due = face.points[list(IBUG_68), :2]
    np.testing.assert_allclose(read_truth(tmp_path / "a.mat").landmarks, due, atol=1e-3)


@pytest.mark.parametrize("content", [b"text", None])
def test_a_file_that_is_no_annotation_is_named(tmp_path, content):
    path = tmp_path / "a.mat"
    if content is None:
        scipy.io.savemat(path, {"other": np.zeros(3)})
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.mat"):
        read_truth(path)


def test_an_image_without_a_face_has_a_row_and_counts_as_missed(face):
    rows = [measure("a", face, FRONTAL, truth_of(face)), measure("b", None, FRONTAL, None)]
    lines = table(rows).splitlines()
    assert lines[2].split() == ["b", *"-------"]
    assert lines[-1].startswith("a face in 1 of 2")
    assert "1.00" in lines[-2]  # the fit's residual in %: the mean of what is known


def test_the_mean_is_over_absolute_errors(face):
    rows = [measure("a", face, FRONTAL, truth_of(face, (sign * 0.1, 0, 0))) for sign in (-1, 1)]
    assert f"{np.degrees(0.1):6.2f}" in table(rows).splitlines()[-2]


@pytest.fixture
def folder(face, tmp_path, monkeypatch):
    """Two annotated images, and a detector that sees the face in the first only."""

    class Seer:
        def faces(self, image):
            far = face._replace(points=face.points + np.float32([300, 0, 0]))
            return [far, face] if image.mean() > 50 else []

    monkeypatch.setattr(accuracy, "FaceMesh", Seer)
    for name, value in (("seen", 90), ("unseen", 10)):
        write_image(tmp_path / f"{name}.png", np.full((400, 500, 3), value, np.uint8))
        write_mat(tmp_path / f"{name}.mat", face)
    return tmp_path


def test_the_command_measures_the_annotated_face_of_several(folder, capsys):
    sheet = folder / "sheet.png"
    assert cli.main(["accuracy", str(folder), "--sheet", str(sheet)]) == 0
    lines = capsys.readouterr().out.splitlines()
    name, score, fit, nme, *angles = lines[1].split()
    assert (name, score, nme) == ("seen.png", "0.90", "0.00")
    assert float(fit) < 0.01
    np.testing.assert_allclose([float(angle) for angle in angles], 0, atol=0.05)
    drawn = read_image(sheet)
    assert (drawn == accuracy.FOUND).all(axis=-1).any()
    assert (drawn == accuracy.DUE).all(axis=-1).any()


@pytest.mark.parametrize("make, due", [(False, "no folder"), (True, "no images")])
def test_a_folder_without_images_is_one_line(tmp_path, capfd, make, due):
    if make:
        (tmp_path / "in").mkdir()
    assert cli.main(["accuracy", str(tmp_path / "in")]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1 and due in error
