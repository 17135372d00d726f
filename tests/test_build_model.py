import re

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facejax import build_model, cli
from facejax.build_model import build, people_of_clips, people_of_points
from facejax.errors import InputError
from facejax.face_topology import IBUG_68, LEFT_EYE, RIGHT_EYE
from facejax.files import read_image
from facejax.morphable_files import READY_MADE, load_model, save_model
from facejax.shape_bases import residual


@pytest.fixture(scope="module")
def ready_made():
    return load_model("ready-made")


def footage(model, seed, frames):
    """Points [T, 468, 3] px of one random person who turns the head and makes faces."""
    rng = np.random.default_rng(seed)
    shape = model.mean + np.tensordot(rng.normal(size=40), model.identity_basis, 1)
    shape = shape + np.tensordot(rng.normal(size=(frames, 20)), model.expression_basis, 1)
    turns = Rotation.from_rotvec(rng.normal(0, 0.2, (frames, 3))).as_matrix()
    turned = shape[:, :468] @ np.swapaxes(turns, 1, 2)
    return 0.8 * turned * [1, -1, -1] + rng.normal(100, 20, (frames, 1, 3))


@pytest.fixture(scope="module")
def people(ready_made):
    return [footage(ready_made, seed, frames) for seed, frames in enumerate((30, 1, 25))]


@pytest.fixture(scope="module")
def model(people):
    return build(people, identity=30, expression=8)


def test_the_model_has_the_points_then_the_pupils(model):
    assert model.mean.shape == (470, 3)
    assert model.identity_basis.shape == (30, 470, 3)
    assert model.expression_basis.shape == (8, 470, 3)
    np.testing.assert_array_equal(model.points, np.arange(468))
    np.testing.assert_array_equal(model.landmarks, [*IBUG_68, 468, 469])
    assert model.faces.max() == 467


def test_pupils_stay_in_the_middle_of_the_eyes_under_any_coefficients(model):
    rng = np.random.default_rng(0)
    shape = model.mean + np.tensordot(rng.normal(size=30), model.identity_basis, 1)
    shape = shape + np.tensordot(rng.normal(size=8), model.expression_basis, 1)
    for pupil, eye in ((468, RIGHT_EYE), (469, LEFT_EYE)):
        np.testing.assert_allclose(shape[pupil], shape[np.array(eye)].mean(axis=0), atol=1e-4)


def test_identity_and_expression_are_perpendicular_at_the_points(model):
    identity = model.identity_basis[:, :468].reshape(30, -1)
    expression = model.expression_basis[:, :468].reshape(8, -1)
    norms = np.linalg.norm(identity, axis=1)[:, None] * np.linalg.norm(expression, axis=1)
    assert np.abs(identity @ expression.T / norms).max() < 1e-4


def test_the_model_fits_its_own_footage(people, model):
    mean = model.mean[:468].astype(np.float64)
    bases = np.concatenate([model.identity_basis, model.expression_basis])[:, :468]
    for person in people:
        shapes = person * [1, -1, -1]
        alone = residual(shapes, mean, bases[:0])
        assert residual(shapes, mean, bases).mean() < 0.5 * alone.mean()


def test_a_model_survives_the_disk(model, tmp_path):
    save_model(tmp_path / "model.npz", model)
    for kept, due in zip(load_model(tmp_path / "model.npz"), model, strict=True):
        np.testing.assert_array_equal(kept, due)


def test_more_components_than_frames_are_refused(people):
    with pytest.raises(InputError, match=r"too little footage for 60 .*lower --expression"):
        build(people, expression=60)


def test_more_components_than_people_are_refused(ready_made):
    many = [footage(ready_made, seed, 1 if seed else 30) for seed in range(30)]
    with pytest.raises(InputError, match=r"80 identity components .* 30 people.* 59"):
        build(many, identity=80, expression=3)
    assert build(many, identity=59, expression=3).identity_basis.shape[0] == 59


def test_a_points_file_holds_one_person_a_photo_and_one_a_clip(people, tmp_path):
    path = tmp_path / "points.npz"
    np.savez(path, photos=np.concatenate([people[0][:2], people[1]]), talk=people[2])
    read = people_of_points(path)
    assert [person.shape for person in read] == [(1, 468, 3)] * 3 + [(25, 468, 3)]
    np.testing.assert_array_equal(read[2], people[1])


def test_long_footage_is_thinned_evenly(people, tmp_path):
    path = tmp_path / "points.npz"
    long = np.tile(people[0], (30, 1, 1)).astype(np.float32)  # 900 frames
    np.savez(path, talk=long)
    (person,) = people_of_points(path)
    np.testing.assert_array_equal(person, long[::3])


@pytest.mark.parametrize("arrays", [{"talk": np.zeros((4, 68, 3))}, {"talk": np.zeros(7)}, {}])
def test_a_points_file_of_another_mesh_is_refused(arrays, tmp_path):
    path = tmp_path / "points.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=r"points\.npz"):
        people_of_points(path)


def test_a_text_file_is_no_points_file(tmp_path):
    (tmp_path / "points.npz").write_text("not numbers")
    with pytest.raises(InputError, match="not an npz"):
        people_of_points(tmp_path / "points.npz")


class Clips(list):
    """Stands for an opened split."""


class Clip:
    def __init__(self, speaker_id, points, valid):
        self.speaker_id, self.points, self.valid = speaker_id, points, valid


def test_clips_of_one_speaker_are_one_person_and_invalid_frames_none(people, monkeypatch):
    valid = np.arange(30) % 3 > 0
    clips = Clips([Clip("a", people[0], valid), Clip("b", people[1], np.array([True]))])
    clips.append(Clip("a", people[2], np.ones(25, bool)))
    opened = []

    def open_clips(folder, split):
        opened.append((folder, split))
        return clips

    monkeypatch.setattr("facejax.data.records.open_clips", open_clips)
    first, second = people_of_clips(["here"], "train")
    assert opened == [("here", "train")]
    np.testing.assert_array_equal(first, np.concatenate([people[0][valid], people[2]]))
    np.testing.assert_array_equal(second, people[1])


def test_clips_of_another_mesh_are_refused(monkeypatch):
    clips = Clips([Clip("a", np.zeros((5, 1035, 3)), np.ones(5, bool))])
    monkeypatch.setattr("facejax.data.records.open_clips", lambda *_: clips)
    with pytest.raises(InputError, match=r"1035 points.*468"):
        people_of_clips(["here"], "train")


def test_the_command_builds_a_model_and_draws_it(people, tmp_path, capsys):
    np.savez(tmp_path / "points.npz", a=people[0], b=people[2])
    out, sheet = tmp_path / "model.npz", tmp_path / "model.png"
    arguments = ["--identity", "6", "--expression", "5", "--out", out, "--sheet", sheet]
    arguments = ["model", "build", "--points", tmp_path / "points.npz", *arguments]
    assert cli.main([str(argument) for argument in arguments]) == 0
    assert load_model(out).identity_basis.shape == (6, 470, 3)
    assert read_image(sheet).std() > 20
    assert "470 vertices, 852 triangles" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, due",
    [
        (["build", "--out", "m.npz"], "CLIPS|folders"),
        (["build", "x", "--points", "y", "--out", "m.npz"], "one of the two"),
        (["build", "nowhere", "--out", "m.npz"], "nowhere"),
        (["build", "--points", "nowhere.npz", "--out", "m.npz"], "nowhere.npz"),
        (["build", "x", "--out", "no/such/m.npz"], "no/such"),
        (["import", "--bfm", "nowhere.mat", "--landmarks", "l.txt", "--out", "m.npz"], "nowhere"),
    ],
)
def test_wrong_arguments_are_one_line_and_leave_nothing(
    arguments, due, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["model", *arguments]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1 and re.search(due, error)
    assert list(tmp_path.iterdir()) == []


def test_the_ready_made_model_is_small_frontal_and_of_unit_scale(ready_made):
    assert READY_MADE.stat().st_size < 900_000
    assert ready_made.identity_basis.shape == (40, 470, 3)
    assert ready_made.expression_basis.shape == (20, 470, 3)
    eyes = ready_made.mean[ready_made.landmarks[[36, 45]]]
    np.testing.assert_allclose(eyes[1] - eyes[0], [90, 0, 0], atol=1e-4)
    assert ready_made.mean[ready_made.landmarks[30], 2] > eyes[0, 2]


def test_the_ready_made_model_is_what_its_docstrings_command_makes(real_data, tmp_path):
    assert "face_mesh_points.npz" in build_model.__doc__
    people = people_of_points(real_data / "real" / "face_mesh_points.npz")
    made = build(people, identity=40, expression=20)
    kept = load_model("ready-made")
    np.testing.assert_array_equal(made.faces, kept.faces)
    np.testing.assert_allclose(made.mean, kept.mean, atol=1e-3)
    for name in ("identity_basis", "expression_basis"):
        mine, theirs = (getattr(m, name).reshape(len(getattr(m, name)), -1) for m in (made, kept))
        products = mine.T @ mine - theirs.T @ theirs  # signs of components are free
        assert np.abs(products).max() < 1e-2
