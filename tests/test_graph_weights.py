import struct

import numpy as np
import pytest

from facejax import graph_weights
from facejax.errors import InputError
from tests import fake_graph
from tests.fake_graph import constant, field


@pytest.fixture
def saved(tmp_path):
    """Writes bytes as a file."""

    def save(data):
        path = tmp_path / "output_graph.pb"
        path.write_bytes(data)
        return path

    return save


def float_tensor(*fields, shape=(2, 3), dtype=1):
    dims = b"".join(field(2, field(1, size)) for size in shape)
    return field(1, dtype) + field(2, dims) + b"".join(fields)


def test_constants_come_back_bit_for_bit(saved):
    due = fake_graph.weights(width=3, inputs=5)
    got = graph_weights.read(saved(fake_graph.graph(due)))
    assert set(got) == set(due)
    for name, value in due.items():
        np.testing.assert_array_equal(got[name], value)


def test_values_listed_one_by_one_are_read_and_the_last_is_repeated(saved):
    packed = field(5, struct.pack("<4f", 1, 2, 3, 4))
    single = b"".join(b"\x2d" + struct.pack("<f", v) for v in (1, 2, 3, 4))  # field 5, four bytes
    data = constant("a", float_tensor(packed)) + constant("b", float_tensor(single))
    got = graph_weights.read(saved(data))
    for name in "ab":
        np.testing.assert_array_equal(got[name], [[1, 2, 3], [4, 4, 4]])


def test_doubles_scalars_and_empty_tensors_are_read_and_integers_left_out(saved):
    double = fake_graph.tensor(np.arange(3.0), dtype=2)
    scalar = fake_graph.tensor(np.float32(7).reshape(()))
    empty = float_tensor(shape=(0, 4))
    whole = fake_graph.tensor(np.arange(3, dtype=np.int32), dtype=3)
    messages = {"d": double, "s": scalar, "e": empty, "i": whole}
    got = graph_weights.read(saved(b"".join(constant(n, m) for n, m in messages.items())))
    assert {name: value.shape for name, value in got.items()} == {"d": (3,), "s": (), "e": (0, 4)}
    np.testing.assert_array_equal(got["d"], [0, 1, 2])


def test_a_file_cut_anywhere_is_refused_or_lacks_its_last_constants(saved):
    due = fake_graph.weights(width=2, inputs=3)
    whole = fake_graph.graph(due)
    for size in range(1, len(whole) - 1, 37):
        try:
            got = graph_weights.read(saved(whole[:size]))
        except InputError as error:
            assert "cut short" in str(error) and "\n" not in str(error)
        else:
            assert list(got) == list(due)[: len(got)]


def test_damage_never_gives_another_error(saved):
    whole = fake_graph.graph(fake_graph.weights(width=2, inputs=3))
    rng, refused = np.random.default_rng(0), 0
    for _ in range(250):
        data = bytearray(whole)
        for at in rng.integers(len(data), size=3):
            data[at] = rng.integers(256)
        try:
            graph_weights.read(saved(data))
        except InputError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    "data,words",
    [
        (b"", "empty"),
        (b"hello, this is no graph\n", "no protobuf"),
        (b"PK\x03\x04" + bytes(50), "protobuf"),
        (b"\x1f\x8b\x08" + bytes(50), "unpack"),
        (field(1, 1) + field(2, b"saved model"), "of another kind"),
        (field(4, field(1, 24)), "no nodes"),
        (b"\x0a" + b"\xff" * 12, "no protobuf"),
        (constant("a", float_tensor(field(4, bytes(20)))), "'a' has 5 values"),
        (constant("a", float_tensor()), "'a' has 0 values"),
        (constant("a", float_tensor(field(4, bytes(23)))), "buffer size"),
        (constant("a", float_tensor(shape=((1 << 64) - 1, 2))), "no fixed shape"),
    ],
)
def test_what_is_no_graph_is_refused_in_one_line(saved, data, words):
    with pytest.raises(InputError, match=words) as caught:
        graph_weights.read(saved(data))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="no weights file"):
        graph_weights.read(tmp_path / "nowhere.pb")
