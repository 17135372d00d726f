import numpy as np
import pytest

from facejax import confusion, sheets

WHITE = np.full(3, sheets.BACKGROUND)


def corner(image, row, column):
    """The colour of a cell, off its number."""
    top = image.shape[0] - 3 * confusion.CELL
    x, y = confusion.LEFT + column * confusion.CELL, top + row * confusion.CELL
    return image[y + 4, x + 4].astype(int)


def test_a_cell_is_as_dark_as_its_share_of_the_row():
    image = confusion.picture(np.array([[10, 0, 0], [1, 1, 2], [0, 0, 0]]), ["a", "b", "c"], "t")
    np.testing.assert_array_equal(corner(image, 0, 0), confusion.FULL)
    for row, column in ((0, 1), (0, 2), (2, 0), (2, 1), (2, 2)):
        np.testing.assert_array_equal(corner(image, row, column), WHITE)
    half = (WHITE + confusion.FULL) / 2
    np.testing.assert_allclose(corner(image, 1, 2), half, atol=1)
    assert corner(image, 1, 0).sum() == corner(image, 1, 1).sum() > half.sum()


def test_names_and_numbers_are_drawn():
    plain = confusion.picture(np.eye(3), ["", "", ""])
    named = confusion.picture(np.eye(3), ["ann", "bob", "cleo"], "blinks")
    where = np.argwhere((plain != named).any(-1))
    assert plain.shape == named.shape and where[:, 1].max() < confusion.LEFT
    assert (plain[:, confusion.LEFT :] < 255).any()


def test_another_number_of_names_is_refused():
    with pytest.raises(ValueError, match=r"matrix has shape \(2, 3\), with 2 names; due: \[N, N\]"):
        confusion.picture(np.zeros((2, 3)), ["a", "b"])
