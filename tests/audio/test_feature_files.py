import numpy as np
import pytest

from facejax.audio.feature_files import read_features
from facejax.audio.windows import windows
from facejax.errors import InputError


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(12, 29)).astype(np.float32)


def test_rows_and_windows_of_any_stride_are_read(tmp_path, rows):
    np.save(tmp_path / "rows.npy", rows)
    np.save(tmp_path / "windows.npy", windows(rows).astype(np.float64))
    np.savez(tmp_path / "windows.npz", deepspeech=windows(rows, stride=2))
    np.testing.assert_array_equal(read_features(tmp_path / "rows.npy"), rows)
    np.testing.assert_array_equal(read_features(tmp_path / "windows.npy"), rows)
    np.testing.assert_array_equal(read_features(tmp_path / "windows.npz"), rows[::2])


def test_another_number_of_channels_is_read_where_it_is_due(tmp_path, rows):
    np.save(tmp_path / "rows.npy", rows[:, :26])
    assert read_features(tmp_path / "rows.npy", 26).shape == (12, 26)


@pytest.mark.parametrize("shape", [(12, 28), (29, 12), (12, 29, 16), (12, 8, 29), (29,), (0, 29)])
def test_a_file_of_another_shape_is_refused_with_both(tmp_path, shape):
    np.save(tmp_path / "rows.npy", np.zeros(shape))
    with pytest.raises(InputError, match=r"of shape \(.*due: \[T, 29\]"):
        read_features(tmp_path / "rows.npy")


def test_values_that_are_not_finite_are_refused(tmp_path, rows):
    rows[3, 4] = np.nan
    np.save(tmp_path / "rows.npy", rows)
    with pytest.raises(InputError, match="not finite"):
        read_features(tmp_path / "rows.npy")


def save_text(path, rows):
    path.write_text("1, 2, 3\n")


def save_cut(path, rows):
    np.save(path, rows)
    path.write_bytes(path.read_bytes()[:500])


def save_objects(path, rows):
    np.save(path, np.array([{"a": rows}], dtype=object))


def save_words(path, rows):
    np.save(path, np.array(["a", "b"]))


def save_two(path, rows):
    with path.open("wb") as file:
        np.savez(file, a=rows, b=rows)


def save_broken_zip(path, rows):
    path.write_bytes(b"PK\x03\x04" + bytes(80))


def save_nothing(path, rows):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "save",
    [save_text, save_cut, save_objects, save_words, save_two, save_broken_zip, save_nothing],
)
def test_what_is_no_array_of_numbers_is_refused_in_one_line(tmp_path, rows, save):
    save(tmp_path / "rows.npy", rows)
    with pytest.raises(InputError, match="is not a file of features") as caught:
        read_features(tmp_path / "rows.npy")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="no features file"):
        read_features(tmp_path / "nowhere.npy")
