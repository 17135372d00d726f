"""Files are built here byte by byte; where torch is installed, it writes them too."""

import collections
import io
import json
import os
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest

from facejax import torch_weights
from facejax.errors import InputError

WEIGHT = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
COUNT = np.array(7, np.int64)


class Global:
    """Pickles as a call of the global `module.name`, as torch's own objects do."""

    def __init__(self, name, *args):
        self.name, self.args = name, args


class Storage:
    def __init__(self, kind, key, array):
        self.kind, self.key, self.array = kind, key, array


class Writer(pickle._Pickler):
    """The pickles that torch.save writes, protocol 2, without torch."""

    legacy = False

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        view = (None,) if self.legacy else ()
        return ("storage", Global(f"torch {obj.kind}"), obj.key, "cpu", obj.array.size, *view)

    def save(self, obj, save_persistent_id=True):
        if not isinstance(obj, Global):
            return super().save(obj, save_persistent_id)
        self.write(b"c" + obj.name.replace(" ", "\n").encode() + b"\n")
        if obj.args:
            super().save(tuple(obj.args))
            self.write(b"R")


def tensor(storage, offset, size, stride):
    rebuild = "torch._utils _rebuild_tensor_v2"
    return Global(rebuild, storage, offset, size, stride, False, collections.OrderedDict())


def pickled(obj, legacy=False):
    file = io.BytesIO()
    writer = Writer(file, protocol=2)
    writer.legacy = legacy
    writer.dump(obj)
    return file.getvalue()


def example():
    """A state dict of a matrix, a transposed view of its inside, and a counter; the storages."""
    weight = Storage("FloatStorage", "0", WEIGHT.ravel())
    count = Storage("LongStorage", "1", COUNT.reshape(1))
    state = collections.OrderedDict(
        weight=tensor(weight, 0, (2, 3, 4), (12, 4, 1)),
        view=tensor(weight, 5, (4, 2), (1, 12)),
        count=tensor(count, 0, (), ()),
    )
    return state, [weight, count]


def write_zip(path, state, storages, name="archive"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/data.pkl", pickled(state))
        archive.writestr(f"{name}/byteorder", "little")
        for storage in storages:
            archive.writestr(f"{name}/data/{storage.key}", storage.array.tobytes())


def write_legacy(path, state, storages):
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    parts = [torch_weights.LEGACY_MAGIC, torch_weights.LEGACY_PROTOCOL, system]
    data = b"".join(pickled(part) for part in parts)
    data += pickled(state, legacy=True) + pickled([s.key for s in storages])
    for storage in storages:
        data += struct.pack("<q", storage.array.size) + storage.array.tobytes()
    path.write_bytes(data)


@pytest.fixture(params=[write_zip, write_legacy], ids=["zip", "legacy"])
def write(request):
    return request.param


def test_both_formats_give_the_tensors(tmp_path, write):
    path = tmp_path / "net.pth"
    write(path, *example())
    state = torch_weights.read(path)
    assert list(state) == ["weight", "view", "count"]
    np.testing.assert_array_equal(state["weight"], WEIGHT)
    np.testing.assert_array_equal(state["view"], [[5 + i, 17 + i] for i in range(4)])
    assert state["count"].shape == () and state["count"] == 7
    assert state["count"].dtype == np.int64


def test_nested_dictionaries_are_flattened_and_numbers_left_out(tmp_path, write):
    state, storages = example()
    path = tmp_path / "net.pth"
    write(path, {"state_dict": state, "epoch": 3, "name": "net"}, storages)
    assert set(torch_weights.read(path)) == {
        "state_dict.weight", "state_dict.view", "state_dict.count"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("HalfStorage", np.float16), ("BFloat16Storage", ml_dtypes.bfloat16), ("BoolStorage", bool)],
)
def test_other_element_types(tmp_path, write, kind, dtype):
    values = np.array([1, 0, 1], dtype)
    storage = Storage(kind, "0", values)
    write(tmp_path / "net.pth", {"x": tensor(storage, 0, (3,), (1,))}, [storage])
    found = torch_weights.read(tmp_path / "net.pth")["x"]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, values)


def test_an_empty_tensor_has_its_shape(tmp_path, write):
    storage = Storage("FloatStorage", "0", np.zeros(0, np.float32))
    write(tmp_path / "net.pth", {"x": tensor(storage, 0, (0, 3), (3, 1))}, [storage])
    assert torch_weights.read(tmp_path / "net.pth")["x"].shape == (0, 3)


@pytest.mark.parametrize(
    "bad", [(20, (5,), (1,)), (0, (2, 13), (12, 1)), (-1, (2,), (1,)), (0, (2,), (-1,))]
)
def test_a_tensor_that_reaches_past_its_data_is_refused(tmp_path, write, bad):
    storage = Storage("FloatStorage", "0", WEIGHT.ravel())
    write(tmp_path / "net.pth", {"x": tensor(storage, *bad)}, [storage])
    with pytest.raises(InputError, match="shape"):
        torch_weights.read(tmp_path / "net.pth")


@pytest.mark.parametrize("name", ["os system", "builtins eval", "builtins getattr", "torch load"])
def test_a_pickle_that_would_run_something_is_refused_by_name(tmp_path, write, name):
    marker = tmp_path / "ran"
    write(tmp_path / "net.pth", {"x": Global(name, f"touch {marker}")}, [])
    with pytest.raises(InputError, match=name.replace(" ", r"\.")):
        torch_weights.read(tmp_path / "net.pth")
    assert not marker.exists()


def test_a_plain_pickle_is_refused_and_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    (tmp_path / "net.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError, match="more than tensors"):
        torch_weights.read(tmp_path / "net.pth")
    assert not (tmp_path / "ran").exists()


def test_every_cut_of_a_file_is_an_input_error(tmp_path, write):
    path = tmp_path / "net.pth"
    write(path, *example())
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 37):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"net\.pth"):
            torch_weights.read(path)


@pytest.mark.parametrize(
    "data", [b"hello, this is text\n" * 9, b"", b"PK\x03\x04junk", b"\x80\x02."]
)
def test_what_is_no_weights_file_is_an_input_error(tmp_path, data):
    (tmp_path / "net.pth").write_bytes(data)
    with pytest.raises(InputError, match="not a weights file"):
        torch_weights.read(tmp_path / "net.pth")


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match=r"no weights file .*nowhere\.pth"):
        torch_weights.read("nowhere.pth")


def test_npz_round_trip_and_no_objects(tmp_path):
    np.savez(tmp_path / "net.npz", **{"a.weight": WEIGHT, "count": COUNT})
    state = torch_weights.read(tmp_path / "net.npz")
    np.testing.assert_array_equal(state["a.weight"], WEIGHT)
    np.savez(tmp_path / "bad.npz", x=np.array([{}], object))
    with pytest.raises(InputError, match=r"bad\.npz"):
        torch_weights.read(tmp_path / "bad.npz")


def test_safetensors(tmp_path):
    header = {
        "__metadata__": {"format": "pt"},
        "w": {"dtype": "F32", "shape": [2, 3, 4], "data_offsets": [0, 96]},
        "n": {"dtype": "I64", "shape": [], "data_offsets": [96, 104]},
    }
    text = json.dumps(header).encode()
    data = struct.pack("<Q", len(text)) + text + WEIGHT.tobytes() + COUNT.tobytes()
    (tmp_path / "net.safetensors").write_bytes(data)
    state = torch_weights.read(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(state["w"], WEIGHT)
    assert state["n"] == 7
    (tmp_path / "net.safetensors").write_bytes(data[:-20])
    with pytest.raises(InputError):
        torch_weights.read(tmp_path / "net.safetensors")


@pytest.mark.parametrize("legacy", [False, True])
def test_files_written_by_torch(tmp_path, legacy):
    torch = pytest.importorskip("torch", reason="torch is not installed; it is only an oracle here")
    net = torch.nn.Sequential(
        torch.nn.utils.spectral_norm(torch.nn.Conv2d(3, 4, 3)), torch.nn.BatchNorm2d(4)
    )
    state = {"net": net.state_dict(), "half": torch.ones(3).half(), "step": 5}
    state["t"] = torch.arange(12.0).reshape(3, 4).t()[1:]
    state["parameter"] = torch.nn.Parameter(torch.ones(2, 3, dtype=torch.bfloat16))
    torch.save(state, tmp_path / "net.pth", _use_new_zipfile_serialization=not legacy)
    found = torch_weights.read(tmp_path / "net.pth")
    due = {f"net.{name}": value for name, value in state["net"].items()}
    due |= {name: state[name] for name in ("half", "t", "parameter")}
    assert found.keys() == due.keys()
    for name, value in due.items():
        np.testing.assert_array_equal(
            found[name].astype(np.float32), value.detach().float().numpy(), err_msg=name
        )
