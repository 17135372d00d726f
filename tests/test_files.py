import errno
import os

import cv2
import numpy as np
import pytest

from facejax import files
from facejax.errors import InputError


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (40, 52, 3)).astype(np.uint8)


def encode(path, array, *options):
    path.write_bytes(cv2.imencode(path.suffix, array, *options)[1].tobytes())
    return path


def raising(error):
    def raises(*_, **__):
        raise error

    return raises


def test_the_file_appears_only_when_the_block_ends(tmp_path):
    with files.atomic_path(tmp_path / "a.png") as partial:
        partial.write_bytes(b"x")
        assert partial.suffix == ".png" and not (tmp_path / "a.png").exists()
    assert (tmp_path / "a.png").read_bytes() == b"x"
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_folder_is_renamed_and_removed_like_a_file(tmp_path):
    with files.atomic_path(tmp_path / "a") as partial:
        partial.mkdir()
        (partial / "b").write_text("x")
    assert (tmp_path / "a" / "b").read_text() == "x"
    with pytest.raises(RuntimeError), files.atomic_path(tmp_path / "c") as partial:
        partial.mkdir()
        (partial / "b").write_text("x")
        raise RuntimeError
    assert os.listdir(tmp_path) == ["a"]


def test_a_failed_block_leaves_the_old_file_as_it_was(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt), files.atomic_path(tmp_path / "a.txt") as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    "code,words",
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EFBIG, "largest size"),
        (errno.EROFS, "read-only"),
    ],
)
def test_a_refused_write_is_one_line_and_leaves_nothing(tmp_path, code, words):
    with pytest.raises(InputError, match=words), files.atomic_path(tmp_path / "a") as partial:
        partial.write_bytes(b"half")
        raise OSError(code, os.strerror(code))
    assert os.listdir(tmp_path) == []


def test_an_error_about_another_file_is_not_taken_for_ours(tmp_path):
    with pytest.raises(FileNotFoundError), files.atomic_path(tmp_path / "a"):
        (tmp_path / "elsewhere").read_bytes()


def test_a_missing_folder_is_named_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(InputError, match=r"mkdir -p .*nowhere"):
        files.check_parent(tmp_path / "nowhere" / "a.png")
    with pytest.raises(InputError, match="nowhere"), files.atomic_path(tmp_path / "nowhere" / "a"):
        pass


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(InputError, match="is a folder"), files.atomic_path(tmp_path / "a.png"):
        pass


def test_png_round_trips_exactly(tmp_path, image):
    files.write_image(tmp_path / "a.png", image)
    np.testing.assert_array_equal(files.read_image(tmp_path / "a.png"), image)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp", ".tiff"])
def test_other_formats_keep_size_and_channel_order(tmp_path, suffix):
    image = np.full((40, 52, 3), (200, 100, 30), np.uint8)
    files.write_image(tmp_path / f"a{suffix}", image)
    np.testing.assert_allclose(files.read_image(tmp_path / f"a{suffix}"), image, atol=8)


def test_grayscale_is_repeated_over_the_channels(tmp_path, image):
    path = encode(tmp_path / "a.png", image[..., 0])
    np.testing.assert_array_equal(files.read_image(path), image[..., :1].repeat(3, axis=2))


def test_transparency_is_composited_on_white(tmp_path, image):
    alpha = np.zeros((40, 52, 1), np.uint8)
    alpha[:, 26:] = 255
    alpha[20:, :26] = 51  # one fifth
    path = encode(tmp_path / "a.png", np.concatenate([image[..., ::-1], alpha], axis=2))
    got = files.read_image(path).astype(int)
    np.testing.assert_array_equal(got[:, 26:], image[:, 26:])
    assert (got[:20, :26] == 255).all()
    np.testing.assert_allclose(got[20:, :26], image[20:, :26] * 0.2 + 255 * 0.8, atol=1)


def test_sixteen_bits_are_brought_to_eight(tmp_path, image):
    path = encode(tmp_path / "a.png", image[..., ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(files.read_image(path), image)


def test_photos_are_turned_upright(tmp_path):
    """EXIF orientation 6: the first row of the stored picture is the right side of the seen one."""
    stored = np.full((40, 60, 3), 20, np.uint8)
    stored[:20] = 230
    data = cv2.imencode(".jpg", stored)[1].tobytes()
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
    tiff = b"MM\x00*\x00\x00\x00\x08\x00\x01" + entry + b"\x00\x00\x00\x00"
    exif = b"Exif\x00\x00" + tiff
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif
    (tmp_path / "a.jpg").write_bytes(data[:2] + segment + data[2:])
    got = files.read_image(tmp_path / "a.jpg")
    assert got.shape == (60, 40, 3)
    assert got[:, 25:].mean() > 200 > 60 > got[:, :15].mean()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_one_pixel_is_refused_with_the_least_size(tmp_path, suffix):
    path = encode(tmp_path / f"a{suffix}", np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(InputError, match=r"is 1x1 px; at least 16x16"):
        files.read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_an_enormous_image_is_refused_before_it_is_decoded(tmp_path, suffix, monkeypatch):
    path = encode(tmp_path / f"a{suffix}", np.zeros((12000, 12000), np.uint8))
    monkeypatch.setattr(cv2, "imdecode", raising(AssertionError("decoded")))
    with pytest.raises(InputError, match=r"12000x12000 px, over the limit of 64 megapixels"):
        files.read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_an_image_cut_short_is_refused(tmp_path, suffix, image):
    path = encode(tmp_path / f"a{suffix}", image)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"cut short|not an image"):
        files.read_image(path)


@pytest.mark.parametrize(
    "data,words", [(b"", "empty"), (b"hello", "not an image"), (b"\xff\xd8\xff", "not an image")]
)
def test_what_is_no_image_is_refused(tmp_path, data, words):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match=words):
        files.read_image(tmp_path / "a.png")


def test_missing_and_folder_inputs_are_named(tmp_path):
    with pytest.raises(InputError, match=r"no file .*gone\.png"):
        files.read_image(tmp_path / "gone.png")
    with pytest.raises(InputError, match="is a folder"):
        files.read_image(tmp_path)


def test_a_wrong_array_or_suffix_is_refused_on_writing(tmp_path, image):
    with pytest.raises(ValueError, match="float64"):
        files.write_image(tmp_path / "a.png", image / 255)
    with pytest.raises(InputError, match=r"use \.png"):
        files.write_image(tmp_path / "a.doc", image)
