import io
import json
import struct

import jax.numpy as jnp
import numpy as np
import pytest

from facejax import gltf, mesh_files
from facejax.errors import InputError
from facejax.geometry.camera import camera_from_pose, project
from facejax.geometry.morphable import MorphableModel, face_shape
from facejax.geometry.rotations import euler_to_matrix
from facejax.motion import Motion
from tests.data import fake

MODEL = MorphableModel(**fake.model_arrays())
FRAMES = 5
COLORS = np.linspace(0, 1, 75).reshape(25, 3)


@pytest.fixture(scope="module")
def motion():
    rng = np.random.default_rng(0)
    pose = rng.normal(0, [0.2, 0.4, 0.2, 20, 20, 40], (FRAMES, 6))
    pose[:, 5] += 1100
    fields = rng.normal(size=4), rng.normal(size=(FRAMES, 3)), pose
    return Motion(*(x.astype("f4") for x in fields), np.zeros(FRAMES, "f4"), np.float32(25))


def arrays_of(document, binary):
    """Every accessor of a glTF document, as numpy arrays."""
    kinds, widths = {5126: "<f4", 5125: "<u4"}, {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
    found = []
    for accessor in document["accessors"]:
        view = document["bufferViews"][accessor["bufferView"]]
        assert view["byteOffset"] % 4 == 0 and view["buffer"] == 0
        count = accessor["count"] * widths[accessor["type"]]
        values = np.frombuffer(binary, kinds[accessor["componentType"]], count, view["byteOffset"])
        found.append(values.reshape(accessor["count"], -1))
    return found


def rotated(quaternion, points):
    """Points turned by a quaternion x, y, z, w: v + 2 w (q x v) + 2 q x (q x v)."""
    axis, w = quaternion[:3], quaternion[3]
    across = np.cross(axis, points)
    return points + 2 * w * across + 2 * np.cross(axis, across)


def frame_of(document, arrays, frame):
    """The vertices, m, that a viewer shows at a key frame: morph targets, then the node's TRS."""
    primitive = document["meshes"][0]["primitives"][0]
    corners = arrays[primitive["attributes"]["POSITION"]].astype(float)
    animation, moved = document["animations"][0], {}
    for channel in animation["channels"]:
        assert channel["target"]["node"] == 0
        sampler = animation["samplers"][channel["sampler"]]
        assert sampler["interpolation"] == "LINEAR"
        moved[channel["target"]["path"]] = arrays[sampler["output"]]
    targets = primitive["targets"]
    weights = moved["weights"].reshape(FRAMES, len(targets))[frame]
    for weight, target in zip(weights, targets, strict=True):
        corners = corners + weight * arrays[target["POSITION"]]
    return rotated(moved["rotation"][frame], corners) + moved["translation"][frame]


def due(motion, frame):
    """The same by our own geometry, mm."""
    shape = np.asarray(face_shape(MODEL, motion.identity, motion.expression[frame]))
    turn = np.asarray(euler_to_matrix(jnp.asarray(motion.pose[frame, :3])))
    return shape @ turn.T + motion.pose[frame, 3:] * [1, 1, -1]


def chunks(data):
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON" and size % 4 == 0
    body, tag = struct.unpack_from("<I4s", data, 20 + size)
    assert tag == b"BIN\0" and 28 + size + body == len(data) and body % 4 == 0
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def test_the_file_shows_the_frames_of_our_own_geometry(motion, tmp_path):
    path = mesh_files.write_mesh(tmp_path / "talk.glb", motion, MODEL, COLORS, "speech.wav")
    document, binary = chunks(path.read_bytes())
    arrays = arrays_of(document, binary)
    for frame in range(FRAMES):
        np.testing.assert_allclose(
            1000 * frame_of(document, arrays, frame), due(motion, frame), atol=2e-3
        )
        np.testing.assert_allclose(
            mesh_files.posed(motion, MODEL, frame), due(motion, frame), atol=2e-3
        )
    indices = arrays[document["meshes"][0]["primitives"][0]["indices"]].reshape(-1, 3)
    np.testing.assert_array_equal(indices, MODEL.faces)


def test_a_reader_of_gltf_opens_it(motion, tmp_path):
    reader = pytest.importorskip("pygltflib", reason="pip install pygltflib")
    path = mesh_files.write_mesh(tmp_path / "talk.glb", motion, MODEL, COLORS, "speech.wav")
    found = reader.GLTF2().load(str(path))
    document = json.loads(found.to_json())
    arrays = arrays_of(document, found.binary_blob())
    for frame in (0, FRAMES - 1):
        np.testing.assert_allclose(
            1000 * frame_of(document, arrays, frame), due(motion, frame), atol=2e-3
        )
    assert document["meshes"][0]["extras"]["targetNames"] == [f"expression_{k}" for k in range(3)]


def test_its_keys_are_at_the_times_of_the_sound(motion, tmp_path):
    path = mesh_files.write_mesh(tmp_path / "talk.glb", motion, MODEL, COLORS, "speech.wav")
    document, binary = chunks(path.read_bytes())
    arrays, animation = arrays_of(document, binary), document["animations"][0]
    (number,) = {sampler["input"] for sampler in animation["samplers"]}
    np.testing.assert_allclose(arrays[number][:, 0], np.arange(FRAMES) / 25, atol=1e-7)
    assert document["accessors"][number]["min"] == [0.0]
    assert document["accessors"][number]["max"] == pytest.approx([4 / 25])
    assert animation["extras"] == {"fps": 25.0, "sound": "speech.wav"}


def test_bounds_of_positions_are_those_of_the_arrays(motion):
    document, binary = chunks(gltf.to_glb(mesh_files.scene(motion, MODEL, COLORS)))
    arrays, checked = arrays_of(document, binary), 0
    for accessor, values in zip(document["accessors"], arrays, strict=True):
        if "min" in accessor:
            np.testing.assert_array_equal(np.float32(accessor["min"]), values.min(0))
            np.testing.assert_array_equal(np.float32(accessor["max"]), values.max(0))
            checked += 1
    assert checked == 1 + 3 + 1  # positions, three targets, times


def test_its_camera_sees_what_our_camera_sees(motion):
    """Perspective and weak perspective agree where the head's depth is small to its distance."""
    scene = mesh_files.scene(motion, MODEL, COLORS)
    flat = motion._replace(pose=motion.pose * [0, 0, 0, 1, 1, 1])  # the fake face is nearly flat
    seen = np.asarray(
        project(
            face_shape(MODEL, flat.identity * 0, flat.expression[0] * 0),
            camera_from_pose(jnp.asarray(flat.pose[0]), 512, 512),
        )
    )
    still = flat._replace(identity=flat.identity * 0, expression=flat.expression * 0)
    x, y, z = mesh_files.posed(still, MODEL, 0).T
    focal = 256 / np.tan(scene.field_of_view / 2)
    np.testing.assert_allclose(256 + focal * x / -z, seen[:, 0], atol=0.5)
    np.testing.assert_allclose(256 - focal * y / -z, seen[:, 1], atol=0.5)


def test_quaternions_are_the_rotations_and_do_not_jump():
    rng = np.random.default_rng(1)
    angles = np.cumsum(rng.normal(0, 0.4, (200, 3)), 0)
    found = mesh_files.quaternions(angles)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-12)
    points = rng.normal(size=(4, 3))
    for angle, quaternion in zip(angles[::20], found[::20], strict=True):
        turn = np.asarray(euler_to_matrix(jnp.asarray(angle)), np.float64)
        np.testing.assert_allclose(rotated(quaternion, points), points @ turn.T, atol=1e-5)
    assert (np.sum(found[1:] * found[:-1], 1) > 0).all()


def test_vertex_colors_are_linear_light():
    np.testing.assert_allclose(mesh_files.linear(np.array([0, 1, 2.0])), [0, 1, 1])
    assert mesh_files.linear(np.array(0.5)) == pytest.approx(0.21404, abs=1e-5)  # IEC 61966-2-1


@pytest.mark.parametrize("name", ["frames", "frames.obj"])
def test_a_folder_has_an_obj_file_of_each_frame(motion, tmp_path, name):
    folder = mesh_files.write_mesh(tmp_path / name, motion, MODEL, COLORS)
    assert folder == tmp_path / "frames"
    rows = (folder / mesh_files.TIMES).read_text().split()
    assert rows[0] == "file,seconds" and rows[1:3] == ["000000.obj,0.000000", "000001.obj,0.040000"]
    assert len(list(folder.glob("*.obj"))) == FRAMES
    text = (folder / "000003.obj").read_text()
    corners = np.loadtxt(io.StringIO("\n".join(x[2:] for x in text.splitlines() if x[0] == "v")))
    np.testing.assert_allclose(corners[:, :3], due(motion, 3), atol=2e-3)
    np.testing.assert_allclose(corners[:, 3:], COLORS, atol=1e-4)
    faces = np.loadtxt(io.StringIO("\n".join(x[2:] for x in text.splitlines() if x[0] == "f")))
    np.testing.assert_array_equal(faces - 1, MODEL.faces)


def test_a_place_that_will_not_do_is_refused(motion, tmp_path):
    with pytest.raises(InputError, match=r"--mesh is talk.fbx; due: a name ending in .glb"):
        mesh_files.check_path("talk.fbx")
    with pytest.raises(InputError, match="no folder"):
        mesh_files.check_path(tmp_path / "nowhere" / "talk.glb")
    with pytest.raises(InputError, match="it is a folder"):
        mesh_files.check_path(f"{tmp_path}.obj")
