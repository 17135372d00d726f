import numpy as np
import pytest

from facejax import sheets


def test_every_image_lies_unchanged_in_its_cell():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 200, (20, 30, 3)).astype(np.uint8) for _ in range(5)]
    sheet = sheets.grid(images, columns=3)
    assert sheet.shape == (
        sheets.GAP + 2 * (20 + sheets.GAP),
        sheets.GAP + 3 * (30 + sheets.GAP),
        3,
    )
    for k, image in enumerate(images):
        y, x = sheets.GAP + k // 3 * (20 + sheets.GAP), sheets.GAP + k % 3 * (30 + sheets.GAP)
        np.testing.assert_array_equal(sheet[y : y + 20, x : x + 30], image)


def test_smaller_and_gray_images_are_centred():
    sheet = sheets.grid([np.zeros((20, 30, 3), np.uint8), np.zeros((10, 10), np.uint8)], columns=2)
    cell = sheet[sheets.GAP : sheets.GAP + 20, -(30 + sheets.GAP) : -sheets.GAP]
    np.testing.assert_array_equal(cell[5:15, 10:20], 0)
    assert (cell[:5] == sheets.BACKGROUND).all()


def test_labels_stay_below_their_cell_and_inside_its_width():
    images = [np.full((20, 60, 3), 255, np.uint8)] * 2
    sheet = sheets.grid(images, ["", "a label much longer than its cell is wide"], columns=2)
    ink = np.argwhere(sheet[..., 0] < 200)
    assert len(ink)
    assert ink[:, 0].min() >= sheets.GAP + 20
    assert ink[:, 1].min() >= 60 + 2 * sheets.GAP


def test_a_title_adds_a_band_above():
    image = np.zeros((20, 200, 3), np.uint8)
    plain, titled = sheets.grid([image]), sheets.grid([image], title="seen at 1.2 s")
    assert titled.shape[0] == plain.shape[0] + sheets.BAND
    assert (titled[: sheets.BAND] < 200).any()


@pytest.mark.parametrize(
    "images,labels,words",
    [
        ([], None, "at least one"),
        ([np.zeros((4, 4, 3))], None, "float64"),
        ([np.zeros((4, 4, 3), np.uint8)], ["a", "b"], "labels has 2"),
    ],
)
def test_misuse_is_refused(images, labels, words):
    with pytest.raises(ValueError, match=words):
        sheets.grid(images, labels)
