"""TensorFlow checkpoints read without TensorFlow; TensorFlow itself is the oracle."""

import numpy as np
import pytest

from facejax import checkpoint_weights
from facejax.errors import InputError


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A checkpoint as TensorFlow writes it: names that share beginnings, enough for many blocks."""
    tf = pytest.importorskip("tensorflow")
    rng = np.random.default_rng(0)
    arrays = {
        f"scope/layer_{number}/{part}": rng.normal(size=(number % 3 + 1, 4)).astype(np.float32)
        for number in range(400)
        for part in ("weights", "BatchNorm/gamma")
    }
    arrays |= {
        "step": np.int64(7),
        "wide": rng.normal(size=5),
        "none": np.zeros((0, 3), np.float32),
    }
    prefix = str(tmp_path_factory.mktemp("checkpoint") / "net_256")
    names, values = zip(*({k: tf.constant(v) for k, v in arrays.items()} | {}).items(), strict=True)
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=[*names, "text"],
        shape_and_slices=[""] * (len(names) + 1), tensors=[*values, tf.constant("words")],
    )  # fmt: skip
    return prefix, arrays


@pytest.mark.parametrize("ending", ["", ".index", ".data-00000-of-00001"])
def test_every_variable_is_read_exactly(written, ending):
    prefix, arrays = written
    found = checkpoint_weights.read(prefix + ending)
    assert found.keys() == arrays.keys()  # text is no weight
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype and found[name].shape == np.shape(array)


def test_an_npz_of_the_variables_serves_too(tmp_path):
    np.savez(tmp_path / "net.npz", **{"resfcn256/Conv/weights": np.arange(3.0)})
    found = checkpoint_weights.read(tmp_path / "net.npz")
    np.testing.assert_array_equal(found["resfcn256/Conv/weights"], [0, 1, 2])


def test_a_file_that_is_missing_is_named(tmp_path):
    (tmp_path / "net.index").write_bytes(b"")
    with pytest.raises(InputError, match=r"no weights file .*net\.data-00000-of-00001"):
        checkpoint_weights.read(tmp_path / "net")


@pytest.mark.parametrize("cut", ["index", "data"])
def test_a_checkpoint_cut_short_is_refused(written, tmp_path, cut):
    prefix, _ = written
    for part in ("index", "data-00000-of-00001"):
        with open(f"{prefix}.{part}", "rb") as file:
            data = file.read()
        if part.startswith(cut):
            data = data[: len(data) // 2]
        (tmp_path / f"net.{part}").write_bytes(data)
    with pytest.raises(InputError, match="no TensorFlow checkpoint that can be read"):
        checkpoint_weights.read(tmp_path / "net")
