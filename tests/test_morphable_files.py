"""Files in the layouts of BFM and LSFM are written tiny, with known contents, and read back."""

import json
import struct

import h5py
import numpy as np
import pytest
import scipy.io

from facejax import morphable_files as files
from facejax.errors import InputError
from facejax.geometry.morphable import MorphableModel

V, I, E = 80, 4, 3  # vertices, identity and expression components  # noqa: E741


@pytest.fixture
def face():
    """A cap in millimetres whose outer eye corners, vertices 36 and 45, are 90 mm apart."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (2, V))
    mean = np.stack([75 * x, 100 * y, 60 * np.sqrt(2.1 - x**2 - y**2)], -1)
    mean[36], mean[45] = (-45, 30, 70), (45, 30, 70)
    faces = np.stack([rng.permutation(V)[:3] for _ in range(50)])
    a, b, c = (mean[faces[:, i]] for i in range(3))
    inward = np.sum(np.cross(b - a, c - a) * ((a + b + c) / 3 - mean.mean(0)), -1) < 0
    faces[inward] = faces[inward][:, ::-1]
    return {
        "mean": mean,
        "faces": faces,
        "identity": rng.normal(size=(3 * V, I)),
        "deviations": np.array([9.0, 4, 2, 1]),
        "expression": rng.normal(size=(3 * V, E)),
        "expression_deviations": np.array([5.0, 3, 1]),
        "shift": rng.normal(size=3 * V),
        "colors": rng.uniform(0, 255, 3 * V),
    }


def scaled(basis, deviations, unit=1.0):
    """[K, V, 3] millimetres from [3V, K] unit vectors."""
    return (unit * basis * deviations).T.reshape(basis.shape[1], -1, 3)


def make_model(identities=I):
    rng = np.random.default_rng(1)
    return MorphableModel(
        mean=rng.normal(size=(V, 3)).astype(np.float32),
        identity_basis=rng.normal(size=(identities, V, 3)).astype(np.float32),
        expression_basis=rng.normal(size=(E, V, 3)).astype(np.float32),
        faces=rng.integers(0, V, (9, 3)).astype(np.int32),
        colors=rng.uniform(size=(V, 3)).astype(np.float32),
        points=np.arange(5, dtype=np.int32),
        landmarks=np.arange(70, dtype=np.int32),
    )


def test_a_model_comes_back_from_its_file(tmp_path):
    model = make_model()
    files.save_model(tmp_path / "face.npz", model)
    for due, found in zip(model, files.load_model(tmp_path / "face.npz"), strict=True):
        np.testing.assert_array_equal(found, due)
        assert found.dtype == due.dtype
    assert [path.name for path in tmp_path.iterdir()] == ["face.npz"]


def test_saving_twice_gives_the_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        files.save_model(tmp_path / name, make_model())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"mean": None}, "no `mean`"),
        ({"mean": np.zeros((V, 2))}, r"`mean` .* due: \[V 3\]"),
        ({"expression_basis": np.zeros((E, V - 1, 3))}, "expression_basis.*V = 80"),
        ({"landmarks": np.zeros(68, int)}, r"`landmarks` .* due: \[70\]"),
        ({"points": np.array([0, V])}, "`points` .* from 0 to 79"),
        ({"faces": np.array([[0, 1, -1]])}, "`faces` .* no vertices"),
        ({"mean": np.full((V, 3), np.nan)}, "not finite"),
    ],
)
def test_a_file_that_breaks_the_contract_is_refused_by_key(tmp_path, change, message):
    arrays = {**make_model()._asdict(), **change}
    path = tmp_path / "bad.npz"
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
    with pytest.raises(InputError, match=message) as caught:
        files.load_model(path)
    assert "\n" not in str(caught.value) and "bad.npz" in str(caught.value)


@pytest.mark.parametrize("content", [b"hello", b"PK\x03\x04 not a zip", b""])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "face.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"face\.npz is"):
        files.load_model(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(InputError, match="is not an npz"):
        files.load_model(tmp_path / "one.npy")
    with pytest.raises(InputError, match="no file"):
        files.load_model(tmp_path / "missing.npz")


def test_a_bad_model_is_not_written(tmp_path):
    with pytest.raises(InputError, match="colors"):
        files.save_model(tmp_path / "face.npz", make_model()._replace(colors=np.zeros((3, 3))))
    assert not list(tmp_path.iterdir())


def test_a_missing_ready_made_model_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "READY_MADE", tmp_path / "face.npz")
    with pytest.raises(InputError, match="facejax model build"):
        files.load_model("ready-made")
    files.save_model(tmp_path / "face.npz", make_model())
    assert files.load_model("ready-made").mean.shape == (V, 3)


def write_bfm_2009(path, face):
    """Micrometres, deviations, triangles from 1 and facing inwards, colours to 255."""
    scipy.io.savemat(
        path,
        {
            "shapeMU": 1e3 * face["mean"].reshape(-1, 1),
            "shapePC": face["identity"],
            "shapeEV": 1e3 * face["deviations"][:, None],
            "texMU": face["colors"][:, None],
            "tl": face["faces"][:, ::-1] + 1.0,
        },
    )


def write_exp_pca(folder, face, vertices=None):
    """Exp_Pca.bin and std_exp.txt, micrometres."""
    rows = slice(None) if vertices is None else (3 * vertices[:, None] + np.arange(3)).ravel()
    body = np.concatenate([1e3 * face["shift"][None], face["expression"].T])[:, rows]
    path = folder / "Exp_Pca.bin"
    path.write_bytes(np.int32(E).tobytes() + body.astype(np.float32).tobytes())
    np.savetxt(folder / "std_exp.txt", 1e3 * face["expression_deviations"][None])
    return path


def test_bfm_2009_is_read_in_millimetres(tmp_path, face):
    write_bfm_2009(tmp_path / "01_MorphableModel.mat", face)
    expression = write_exp_pca(tmp_path, face)
    model = files.import_bfm(
        tmp_path / "01_MorphableModel.mat", expression=expression, landmarks=range(68)
    )
    np.testing.assert_allclose(model.mean, face["mean"] + face["shift"].reshape(-1, 3), rtol=1e-5)
    due = scaled(face["identity"], face["deviations"])
    np.testing.assert_allclose(model.identity_basis, due, rtol=1e-5)
    due = scaled(face["expression"], face["expression_deviations"])
    np.testing.assert_allclose(model.expression_basis, due, rtol=1e-5)
    np.testing.assert_array_equal(model.faces, face["faces"])
    np.testing.assert_allclose(model.colors, face["colors"].reshape(-1, 3) / 255, rtol=1e-5)
    np.testing.assert_array_equal(model.points, np.arange(68))
    files.save_model(tmp_path / "bfm.npz", model)


def test_bfm_2009_without_expressions_has_none(tmp_path, face):
    write_bfm_2009(tmp_path / "bfm.mat", face)
    model = files.import_bfm(tmp_path / "bfm.mat", landmarks=np.arange(70))
    assert model.expression_basis.shape == (0, V, 3)
    np.testing.assert_allclose(model.mean, face["mean"], rtol=1e-5)


def test_bfm_2009_is_trimmed_to_the_vertices_of_its_expressions(tmp_path, face):
    kept = np.random.default_rng(4).permutation(V)[:70]
    write_bfm_2009(tmp_path / "bfm.mat", face)
    expression = write_exp_pca(tmp_path, face, kept)
    with pytest.raises(InputError, match=r"70 vertices, the model has 80.*BFM_exp_idx\.mat"):
        files.import_bfm(tmp_path / "bfm.mat", expression=expression, landmarks=range(68))
    scipy.io.savemat(tmp_path / "BFM_exp_idx.mat", {"trimIndex": kept[:, None] + 1})
    model = files.import_bfm(tmp_path / "bfm.mat", expression=expression, landmarks=range(68))
    due = face["mean"][kept] + face["shift"].reshape(-1, 3)[kept]
    np.testing.assert_allclose(model.mean, due, rtol=1e-5)
    due = scaled(face["identity"], face["deviations"])[:, kept]
    np.testing.assert_allclose(model.identity_basis, due, rtol=1e-5)
    whole = face["faces"][np.isin(face["faces"], kept).all(-1)]
    np.testing.assert_array_equal(kept[model.faces], whole)


def test_3ddfas_expression_file_gives_the_same_model(tmp_path, face):
    write_bfm_2009(tmp_path / "bfm.mat", face)
    scipy.io.savemat(
        tmp_path / "Model_Expression.mat",
        {
            "mu_exp": 1e3 * face["shift"][:, None],
            "w_exp": face["expression"],
            "sigma_exp": 1e3 * face["expression_deviations"][:, None],
        },
    )
    pair = [
        files.import_bfm(tmp_path / "bfm.mat", expression=expression, landmarks=range(68))
        for expression in (tmp_path / "Model_Expression.mat", write_exp_pca(tmp_path, face))
    ]
    for first, second in zip(*pair, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5)


def write_bfm_2019(path, face, names=("shape", "expression", "color")):
    with h5py.File(path, "w") as file:
        parts = {
            "shape": (face["mean"].ravel(), face["identity"], face["deviations"]),
            "expression": (face["shift"], face["expression"], face["expression_deviations"]),
            "color": (face["colors"] / 255, face["identity"], face["deviations"]),
        }
        for name in names:
            mean, basis, deviations = parts[name]
            file[f"{name}/model/mean"] = mean
            file[f"{name}/model/pcaBasis"] = basis
            file[f"{name}/model/pcaVariance"] = deviations**2
            file[f"{name}/representer/cells"] = face["faces"].T.astype(np.uint32)


def test_bfm_2019_is_read_with_its_own_expressions(tmp_path, face):
    write_bfm_2019(tmp_path / "model2019_bfm.h5", face)
    model = files.import_bfm(tmp_path / "model2019_bfm.h5", landmarks=range(70))
    np.testing.assert_allclose(model.mean, face["mean"] + face["shift"].reshape(-1, 3), rtol=1e-5)
    due = scaled(face["identity"], face["deviations"])
    np.testing.assert_allclose(model.identity_basis, due, rtol=1e-5)
    due = scaled(face["expression"], face["expression_deviations"])
    np.testing.assert_allclose(model.expression_basis, due, rtol=1e-5)
    np.testing.assert_array_equal(model.faces, face["faces"])
    np.testing.assert_allclose(model.colors, face["colors"].reshape(-1, 3) / 255, rtol=1e-5)


def test_bfm_2017_without_colour_is_grey_and_takes_other_expressions(tmp_path, face):
    write_bfm_2019(tmp_path / "model.h5", face, ("shape",))
    basis = scaled(face["expression"], face["expression_deviations"])
    np.savez(tmp_path / "mine.npz", basis=basis)
    model = files.import_bfm(
        tmp_path / "model.h5", expression=tmp_path / "mine.npz", landmarks=range(70)
    )
    np.testing.assert_array_equal(model.colors, np.full((V, 3), 0.5))
    np.testing.assert_allclose(model.expression_basis, basis, rtol=1e-6)
    np.testing.assert_allclose(model.mean, face["mean"], rtol=1e-5)


def test_published_lsfm_is_read_in_the_unit_that_its_eyes_tell(tmp_path, face):
    for unit in (100.0, 1e-3, 1.0):  # decimetres, micrometres, millimetres
        scipy.io.savemat(
            tmp_path / "all_all_all.mat",
            {
                "mean": face["mean"].reshape(1, -1) / unit,
                "components": face["identity"],
                "eigenvalues": (face["deviations"][None] / unit) ** 2,
                "trilist": face["faces"],
            },
        )
        model = files.import_lsfm(
            tmp_path / "all_all_all.mat",
            expression=write_exp_pca(tmp_path, face),
            landmarks=range(68),
            components=3,
        )
        due = face["mean"] + face["shift"].reshape(-1, 3)
        np.testing.assert_allclose(model.mean, due, rtol=1e-4)
        due = scaled(face["identity"], face["deviations"])[:3]
        np.testing.assert_allclose(model.identity_basis, due, rtol=1e-4)
        due = scaled(face["expression"], face["expression_deviations"])
        np.testing.assert_allclose(model.expression_basis, due, rtol=1e-4)


def write_exp_30(path, face, unit):
    """A FlatBuffers file written by the flatbuffers package, in the layout of exp_30.dat."""
    flatbuffers = pytest.importorskip("flatbuffers", reason="writes the test's FlatBuffers file")
    builder = flatbuffers.Builder(1024)

    def table(fields):
        builder.StartObject(4)
        for slot, add, value in fields:
            add(slot, value, 0)
        return builder.EndObject()

    offset, real = builder.PrependUOffsetTRelativeSlot, builder.PrependFloat32Slot
    parts = []
    for basis, scale in zip(face["expression"].T, face["expression_deviations"], strict=True):
        points = builder.CreateNumpyVector(basis.astype(np.float32))
        parts.append(table([(0, offset, points), (1, real, scale / unit)]))
    builder.StartVector(4, len(parts), 4)
    for part in reversed(parts):
        builder.PrependUOffsetTRelative(part)
    components = builder.EndVector()
    points = builder.CreateNumpyVector((face["mean"] / unit).ravel().astype(np.float32))
    triangles = builder.CreateNumpyVector(face["faces"].ravel().astype(np.uint32))
    mesh = table([(0, offset, points), (1, offset, triangles)])
    version = (0, builder.PrependUint16Slot, 2)
    builder.Finish(table([version, (1, offset, mesh), (2, offset, components)]))
    path.write_bytes(builder.Output())


def test_lsfm_as_packed_for_headgan_takes_triangles_from_its_expression_file(tmp_path, face):
    unit = 100.0
    struct_ = {
        "mean": face["mean"].reshape(-1, 1) / unit,
        "id_basis": face["identity"] * face["deviations"] / unit,
        "exp_basis": face["expression"] * face["expression_deviations"] / unit,
    }
    path = tmp_path / "all_all_all.mat"
    scipy.io.savemat(path, {"fmod": struct_})
    with pytest.raises(InputError, match=r"no triangles; give .*exp_30\.dat"):
        files.import_lsfm(path, landmarks=range(68))
    write_exp_30(tmp_path / "exp_30.dat", face, unit)
    model = files.import_lsfm(path, expression=tmp_path / "exp_30.dat", landmarks=range(68))
    np.testing.assert_allclose(model.mean, face["mean"], rtol=1e-4)
    np.testing.assert_array_equal(model.faces, face["faces"])
    due = scaled(face["identity"], face["deviations"])
    np.testing.assert_allclose(model.identity_basis, due, rtol=1e-4)
    due = scaled(face["expression"], face["expression_deviations"])
    np.testing.assert_allclose(model.expression_basis, due, rtol=1e-4)


def test_a_serialised_expression_model_is_read_component_by_component(tmp_path, face):
    write_exp_30(tmp_path / "exp_30.dat", face, 100.0)
    scipy.io.savemat(
        tmp_path / "all_all_all.mat",
        {
            "mean": face["mean"].reshape(1, -1) / 100,
            "components": face["identity"],
            "eigenvalues": (face["deviations"][None] / 100) ** 2,
            "trilist": face["faces"],
        },
    )
    model = files.import_lsfm(
        tmp_path / "all_all_all.mat", expression=tmp_path / "exp_30.dat", landmarks=range(68)
    )
    due = scaled(face["expression"], face["expression_deviations"])
    np.testing.assert_allclose(model.expression_basis, due, rtol=1e-4)
    np.testing.assert_allclose(model.mean, face["mean"], rtol=1e-4)


def test_landmarks_are_read_from_every_kind_of_file(tmp_path, face):
    indices = np.random.default_rng(3).permutation(V)[:68]
    (tmp_path / "a.txt").write_text("\n".join(map(str, indices)))
    (tmp_path / "b.csv").write_text(", ".join(map(str, indices)))
    np.savez(tmp_path / "c.npz", landmarks=indices)
    np.savez(tmp_path / "d.npz", landmarks=indices, points=[5, 3, 9])
    entries = [{"id": str(i), "coordinates": (face["mean"][i] + 1e-3).tolist()} for i in indices]
    (tmp_path / "e.json").write_text(json.dumps(entries))
    for source in (indices, indices.tolist(), *sorted(tmp_path.iterdir())):
        landmarks, points = files.read_landmarks(source, face["mean"])
        np.testing.assert_array_equal(landmarks[:68], indices)
        expected = [5, 3, 9] if str(source).endswith("d.npz") else indices
        np.testing.assert_array_equal(points, expected)


def test_missing_pupils_are_the_vertices_in_the_middle_of_the_eyes(face):
    face["mean"][[70, 71]] = face["mean"][36:42].mean(0), face["mean"][42:48].mean(0)
    landmarks, _ = files.read_landmarks(range(68), face["mean"])
    np.testing.assert_array_equal(landmarks[68:], [70, 71])
    landmarks, _ = files.read_landmarks(range(70), face["mean"])
    np.testing.assert_array_equal(landmarks, np.arange(70))


@pytest.mark.parametrize(
    "landmarks, message",
    [
        (None, "68 iBUG"),
        (range(50), "50 indices; due: 68"),
        (np.full(68, V), "from 0 to 79"),
        (np.full(68, 1.5), "whole numbers"),
    ],
)
def test_wrong_landmarks_are_refused(tmp_path, face, landmarks, message):
    write_bfm_2009(tmp_path / "bfm.mat", face)
    with pytest.raises(InputError, match=message):
        files.import_bfm(tmp_path / "bfm.mat", landmarks=landmarks)


@pytest.mark.parametrize("name", ["a.txt", "a.npz", "a.json"])
def test_a_landmark_file_of_something_else_is_refused(tmp_path, face, name):
    (tmp_path / name).write_bytes(b"these are no numbers \xff")
    with pytest.raises(InputError, match="holds no landmarks"):
        files.read_landmarks(tmp_path / name, face["mean"])


def refusals(folder, face):
    """(file, expression, message) of every way in which an import can go wrong."""
    write_bfm_2009(folder / "bfm.mat", face)
    scipy.io.savemat(folder / "other.mat", {"x": 1})
    (folder / "text.mat").write_text("not a mat file at all, but long enough to have a header" * 9)
    with h5py.File(folder / "other.h5", "w") as file:
        file["x"] = 1
    (folder / "other.bin").write_bytes(struct.pack("<i", 3) + bytes(4 * 10))
    (folder / "other.dat").write_bytes(bytes(range(200)))
    np.savez(folder / "other.npz", x=1)
    lonely = folder / "lonely"
    lonely.mkdir()
    write_exp_pca(lonely, face)
    (lonely / "std_exp.txt").unlink()
    bfm = folder / "bfm.mat"
    return [
        (folder / "missing.mat", None, "no file"),
        (folder / "other.mat", None, "no `shapeMU`, only x; due: BFM 2009"),
        (folder / "text.mat", None, "not a MATLAB file"),
        (folder / "other.h5", None, "no shape/model/mean"),
        (bfm, folder / "missing.bin", "no file"),
        (bfm, folder / "other.bin", "layout of Exp_Pca.bin"),
        (bfm, folder / "other.dat", "not a serialised morphable model"),
        (bfm, folder / "other.npz", "no array `basis`"),
        (bfm, folder / "other.mat", "no `mu_exp`"),
        (bfm, folder / "other.h5", "no expression file"),
        (bfm, lonely / "Exp_Pca.bin", "std_exp.txt beside it"),
    ]


def test_every_wrong_file_is_refused_in_one_line(tmp_path, face):
    for path, expression, message in refusals(tmp_path, face):
        with pytest.raises(InputError, match=message) as caught:
            files.import_bfm(path, expression=expression, landmarks=range(68))
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no `mean`"):
        files.import_lsfm(tmp_path / "other.mat", landmarks=range(68))
