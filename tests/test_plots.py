import numpy as np
import pytest

from facejax import plots


def ink(image, color):
    """Where, inside the axes, a plot has this colour, or a paler shade of it: [H, W]."""
    away, wanted = 255.0 - image, 255.0 - np.array(color)
    length = np.linalg.norm(away, axis=-1)
    same = away @ wanted > 0.99 * np.maximum(length, 60) * np.linalg.norm(wanted)
    inside = np.zeros_like(same)
    inside[plots.sheets.BAND + 3 : -plots.BELOW - 1, plots.MARGIN + 1 : -5] = True
    return same & inside


def test_a_curve_lies_where_its_values_say():
    image = plots.lines({"ramp": np.linspace(-3, 5, 200)}, size=(100, 300))
    assert image.shape == (100, 300, 3) and image.dtype == np.uint8
    rows, columns = np.nonzero(ink(image, plots.COLORS[0]))
    slope, start = np.polyfit(columns - plots.MARGIN, rows, 1)
    assert slope == pytest.approx(-(84 - 18) / (296 - 34), rel=0.03)
    assert start == pytest.approx(84, abs=1.5)


def test_curves_share_one_axis():
    curves = {"all": np.array([0.0, 4.0]), "low": np.full(50, 1.0), "high": np.full(50, 3.0)}
    image = plots.lines(curves)
    low, high = (np.nonzero(ink(image, color))[0].mean() for color in plots.COLORS[1:3])
    assert low - high == pytest.approx((104 - 18) / 2, abs=1.5)


def test_values_that_are_not_finite_are_gaps():
    curve = np.ones(100)
    curve[40:60] = np.nan
    curve[80] = np.inf
    image = plots.lines({"ends": np.array([0.0, 2.0]), "a": curve})
    columns = np.nonzero(ink(image, plots.COLORS[1]))[1]
    place = lambda k: plots.MARGIN + (420 - 4 - plots.MARGIN) * k / 99
    inside = lambda a, b: ((columns > place(a)) & (columns < place(b))).any()
    assert inside(5, 35) and inside(65, 78) and not inside(42, 57)


def test_a_curve_of_one_value_or_of_nothing_known_is_drawn_too():
    dot = {"ends": np.array([0.0, 2.0]), "dot": np.array([np.nan, 1.0, np.nan])}
    assert ink(plots.lines(dot), plots.COLORS[1]).any()
    assert not ink(plots.lines({"a": np.full(3, np.nan)}), plots.COLORS[0]).any()


def test_the_title_and_every_label_are_written():
    bare = plots.lines({"": np.zeros(5), " ": np.zeros(5)})
    full = plots.lines({"true": np.zeros(5), "made": np.zeros(5)}, title="opening, mm")
    top = (bare != full)[: plots.sheets.BAND].any((0, 2))
    assert all(part.any() for part in np.array_split(top[plots.MARGIN :], 3))


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="curves has 0 entries"):
        plots.lines({})
    with pytest.raises(ValueError, match="'a' has shape"):
        plots.lines({"a": np.zeros((3, 2))})
