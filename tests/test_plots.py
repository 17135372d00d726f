import numpy as np
import pytest

from facejax import plots, pose_plot
from facejax.motion import Motion


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


def test_a_sound_lies_behind_where_it_is_loud():
    wave = np.zeros(3000)
    wave[1000:2000] = np.tile([0.5, -0.5], 500)
    image = plots.lines({"a": np.array([0.0, 2.0])}, behind=wave, size=(120, 420))
    pale = (image == np.array(plots.WAVE)).all(-1)
    height = pale[:, plots.MARGIN + 2 : 414].sum(0)
    third = len(height) // 3
    middle = height[third + 5 : 2 * third - 5]
    assert middle.min() > 70  # the loudest is as high as the plot, but for what the curve covers
    assert height[: third - 5].max() <= 2 and height[2 * third + 5 :].max() <= 2


def test_pose_is_plotted_over_the_sound_that_it_goes_with():
    motion = Motion(None, None, np.zeros((50, 6)), None, np.float32(25))
    wave = np.concatenate([np.tile([0.3, -0.3], 16000), np.tile([1.0, -1.0], 8000)])  # 2 s and more
    image = pose_plot.picture(motion, wave, 16000, "speech.wav")
    assert image.dtype == np.uint8 and image.shape[1] >= 960 and image.shape[0] >= 2 * 170
    pale = (image == np.array(plots.WAVE)).all(-1).sum(0)
    assert pale[200:800].min() > 200  # of these two seconds alone: the later sound is not shown
    silent = pose_plot.picture(motion, np.zeros(0), 16000)
    assert not (silent == np.array(plots.WAVE)).all(-1).any()
