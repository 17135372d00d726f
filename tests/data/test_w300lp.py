"""The builder of 300W-LP, on a tiny folder in its layout."""

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.io
import tensorflow_datasets as tfds

from facejax.accuracy import read_truth
from facejax.data import records
from facejax.data.builders import w300lp
from facejax.errors import InputError
from facejax.geometry.camera import camera_from_pose, project
from facejax.geometry.morphable import face_shape

V, NUM_IDENTITY, NUM_EXPRESSION, SIDE = 80, 4, 3, 120
SCALE = 4e-4  # px per micrometre


def cap(rng):
    """A face's worth of vertices in micrometres."""
    x, y = rng.uniform(-1, 1, (2, V))
    return 1e3 * np.stack([75 * x, 100 * y, 60 * np.sqrt(2.1 - x**2 - y**2)], -1)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """The folder, and the vertices that each image shows, {name: [V, 3] pixels from 1, y down}."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("manual")
    mean, extra = cap(rng), 1e3 * rng.normal(size=(V, 3))
    identity, expression = rng.normal(size=(3 * V, NUM_IDENTITY)), rng.normal(size=(3 * V, 3))
    faces = np.stack([rng.permutation(V)[:3] for _ in range(50)])
    model = {
        "shapeMU": mean.reshape(-1, 1), "shapePC": identity, "texMU": np.full((3 * V, 1), 99.0),
        "shapeEV": np.array([[3e3], [2e3], [1e3], [500]]), "tl": faces + 1.0,
    }  # fmt: skip
    scipy.io.savemat(folder / w300lp.MODEL, model)
    sigma = np.array([[1.5e3], [800], [300]])
    data = {"mu_exp": extra.reshape(-1, 1), "w_exp": expression, "sigma_exp": sigma}
    scipy.io.savemat(folder / w300lp.EXPRESSION, data)
    (folder / w300lp.LANDMARKS).write_text(" ".join(map(str, range(68))))
    due = {}
    names = ["AFW/AFW_1_2_0", "AFW/AFW_1_2_1", "HELEN/HELEN_77_1_0", "HELEN_Flip/HELEN_77_1_0"]
    for number, name in enumerate(names):
        path = folder / w300lp.FOLDER / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
        assert cv2.imwrite(str(path), image)
        shape, smile = rng.normal(0, 2e3, NUM_IDENTITY), rng.normal(0, 900, NUM_EXPRESSION)
        pose = [*rng.uniform(-0.5, 0.5, 3), 58.0 + number, 61.0, -9.0, SCALE]
        vertices = (mean + extra).ravel() + identity @ shape + expression @ smile
        due[name] = seen(vertices.reshape(-1, 3), pose)
        annotation = {
            "Shape_Para": shape[:, None], "Exp_Para": smile[:, None], "Pose_Para": np.array([pose])
        }  # fmt: skip
        scipy.io.savemat(path.with_suffix(".mat"), annotation)
    return folder, due


def seen(vertices, pose):
    """The data set's projection, written out: f Rx Ry Rz v + t, then y counted downwards."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(pose[:3]), np.sin(pose[:3])
    rx = np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
    ry = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    rz = np.array([[cz, sz, 0], [-sz, cz, 0], [0, 0, 1]])
    found = pose[6] * vertices @ (rx @ ry @ rz).T + pose[3:6]
    return np.stack([found[:, 0], SIDE + 1 - found[:, 1]], -1)


@pytest.fixture(scope="module")
def built(given, tmp_path_factory):
    folder, _ = given
    out = tmp_path_factory.mktemp("tfds")
    config = w300lp.Config300wLp(
        name="tiny", size=64, identity=NUM_IDENTITY, expression=NUM_EXPRESSION
    )
    options = {"data_dir": str(out), "file_format": "array_record"}
    builder = tfds.builder("facejax300w_lp", config=config, **options)
    settings = tfds.download.DownloadConfig(manual_dir=str(folder))
    builder.download_and_prepare(download_config=settings)
    return str(builder.data_dir)


def test_views_of_a_photo_are_one_clip_in_the_order_of_their_yaw(built):
    train, held_out = (records.open_clips(built, split) for split in ("train", "validation"))
    assert sorted(train.ids) == ["HELEN-HELEN_77_1", "HELEN_Flip-HELEN_77_1"]
    assert held_out.ids == ["AFW-AFW_1_2"]
    clip = held_out[0]
    assert len(clip.frames) == 2 and clip.pose[0, 1] <= clip.pose[1, 1]
    assert records.decode_frame(clip.frames[0]).shape == (64, 64, 3)


def test_the_motion_puts_every_vertex_where_the_annotation_does(given, built):
    _, due = given
    clip = records.open_clips(built, "train")[0]
    model = records.open_clips(built, "train").model
    folder = clip.clip_id.split("-")[0]
    expected = due[f"{folder}/HELEN_77_1_0"] - 0.5  # centres of pixels at halves
    shape = face_shape(model, jnp.asarray(clip.identity[0]), jnp.asarray(clip.expression[0]))
    found = np.asarray(project(shape, camera_from_pose(jnp.asarray(clip.pose[0]), 64, 64)))
    side = clip.box[2] - clip.box[0]
    in_photo = found[:, :2] * side / 64 + clip.box[:2]
    np.testing.assert_allclose(in_photo, expected, atol=0.02)
    np.testing.assert_allclose(clip.landmarks[0], found[model.landmarks], atol=1e-3)


def test_missing_files_are_named_with_their_source(tmp_path):
    (tmp_path / w300lp.FOLDER).mkdir()
    with pytest.raises(InputError, match=rf"(?s)has no {w300lp.MODEL}\. Put into one folder.*bfm"):
        w300lp.read_model(tmp_path)
    with pytest.raises(InputError, match=r"holds no \.jpg with a \.mat beside it"):
        w300lp.photos(tmp_path / w300lp.FOLDER)


def test_an_annotation_of_another_model_is_refused(given):
    folder, _ = given
    path = folder / w300lp.FOLDER / "AFW" / "AFW_1_2_0.mat"
    wrong = w300lp.Deviations(np.ones(199), np.ones(29))
    with pytest.raises(InputError, match=r"`Shape_Para` in .* has 4 numbers; due: 199"):
        w300lp.read_view(path, wrong, SIDE, SIDE)


def test_real_annotations_have_their_origin_at_one_place_of_the_head(real_data):
    """AFLW2000-3D is annotated alike. Unposed, the landmarks' middle is the same in all photos."""
    rows, sides = [], []
    for path in sorted((real_data / "aflw2000").glob("*.mat")):
        ones = w300lp.Deviations(np.ones(199), np.ones(29))
        view = w300lp.read_view(path, ones, 450, 450)
        camera = camera_from_pose(jnp.asarray(view.pose, jnp.float32), 450, 450)
        middle = read_truth(path).landmarks.mean(0) - np.asarray(camera.translation)[:2]
        rows.append(np.asarray(camera.rotation)[:2])
        sides.append(middle / float(camera.scale))
    place, *_ = np.linalg.lstsq(np.concatenate(rows), np.concatenate(sides), rcond=None)
    error = np.concatenate(rows) @ place - np.concatenate(sides)
    assert np.abs(error).max() < 12 < np.abs(np.concatenate(sides)).max()  # mm
    assert abs(place[0]) < 12 and 30 < place[2] < 110  # in the middle, in front of the origin
