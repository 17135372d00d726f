"""Sketches: each part in its colour, where its landmarks are, soft at the edges, black beside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.geometry.landmarks import PARTS, draw_landmarks, draw_strokes

HEIGHT, WIDTH = 90, 120


@pytest.fixture
def face():
    """70 landmarks in pixels, every part apart from the others."""
    turn = lambda n: np.arange(n) * 2 * np.pi / n
    ring = lambda n, x, y, a, b: np.stack([x - a * np.cos(turn(n)), y - b * np.sin(turn(n))], 1)
    line = lambda n, x0, y0, x1, y1: np.stack([np.linspace(x0, x1, n), np.linspace(y0, y1, n)], 1)
    half = np.linspace(0, np.pi, 17)
    jaw = np.stack([60 - 50 * np.cos(half), 20 + 65 * np.sin(half)], 1)
    parts = [
        jaw,
        line(5, 22, 15, 45, 12),
        line(5, 75, 12, 98, 15),
        line(4, 60, 20, 60, 38),
        line(5, 50, 45, 70, 45),
        ring(6, 35, 28, 10, 5),
        ring(6, 85, 28, 10, 5),
        ring(12, 60, 64, 18, 9),
        ring(8, 60, 64, 10, 4),
        [[35, 28], [85, 28]],
    ]
    return np.concatenate(parts).astype(np.float32)


def has_color(image, color):
    """Whether any pixel of an image [h, w, 3] is fully of one colour."""
    return (np.abs(np.asarray(image) - np.array(color)).max(-1) < 1e-5).any()


def near(image, point):
    x, y = (int(v) for v in point)
    return image[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]


def test_colors_of_parts_differ():
    assert len({part.color for part in PARTS}) == len(PARTS)


def test_parts_name_every_landmark_once():
    assert [i for part in PARTS for i in range(part.first, part.last + 1)] == list(range(70))


def test_each_part_runs_through_its_landmarks_in_its_color(face):
    image = np.asarray(draw_landmarks(face, HEIGHT, WIDTH, 3.0))
    for part in PARTS:
        for point in face[part.first : part.last + 1]:
            assert has_color(near(image, point), part.color), part.name


def test_eyes_and_lips_are_closed_and_the_other_strokes_open(face):
    image = np.asarray(draw_landmarks(face, HEIGHT, WIDTH, 3.0))
    for part in PARTS:
        if part.closed:
            between = (face[part.first] + face[part.last]) / 2
            assert has_color(near(image, between), part.color), part.name
    assert [part.name for part in PARTS if part.closed] == [
        "right eye",
        "left eye",
        "outer lips",
        "inner lips",
    ]
    brow_high = face.copy()
    brow_high[18:21, 1] = 5  # bends the brow away from the straight line between its ends
    bent = np.asarray(draw_landmarks(brow_high, HEIGHT, WIDTH, 3.0))
    assert not near(bent, (face[17] + face[21]) / 2).any()


def test_ink_is_thickness_times_length_and_values_are_bounded():
    points = np.full((68, 2), np.nan, np.float32)
    points[27:31] = np.linspace([20.3, 10.6], [80.9, 55.2], 4)
    length = np.hypot(60.6, 44.6)
    for thickness in (1.5, 4.0):
        image = np.asarray(draw_landmarks(points, HEIGHT, WIDTH, thickness))
        ink = image[..., 2]  # the bridge's colour is 1 in blue
        assert ink.min() == 0 and ink.max() <= 1
        np.testing.assert_allclose(ink.sum(), thickness * length + thickness**2, rtol=0.05)


def test_edges_are_soft():
    points = np.full((68, 2), np.nan, np.float32)
    points[27:31] = np.linspace([20, 10.25], [80, 10.25], 4)
    column = np.asarray(draw_landmarks(points, HEIGHT, WIDTH, 2.0))[8:13, 50, 2]
    np.testing.assert_allclose(column, [0, 0.75, 1, 0.25, 0], atol=1e-5)


def test_missing_landmarks_leave_out_their_segments_only(face):
    broken = face.copy()
    broken[3] = np.nan
    broken[38, 1] = np.inf
    whole = np.asarray(draw_landmarks(face, HEIGHT, WIDTH, 3.0))
    image = np.asarray(draw_landmarks(broken, HEIGHT, WIDTH, 3.0))
    assert np.isfinite(image).all()
    assert has_color(near(image, face[8]), PARTS[0].color)
    assert not near(image, face[3]).any() and near(whole, face[3]).any()
    assert not near(image, face[38]).any() and near(whole, face[38]).any()
    np.testing.assert_array_equal(image[50:, 30:], whole[50:, 30:])


def test_68_landmarks_are_70_without_pupils(face):
    blind = face.copy()
    blind[68:] = np.nan
    image = draw_landmarks(face[:68], HEIGHT, WIDTH, 3.0)
    np.testing.assert_allclose(image, draw_landmarks(blind, HEIGHT, WIDTH, 3.0), atol=1e-6)
    assert np.abs(image - draw_landmarks(face, HEIGHT, WIDTH, 3.0)).max() > 0.4


def test_sketch_moves_with_the_landmarks(face):
    image = np.asarray(draw_landmarks(face, HEIGHT, WIDTH, 3.0))
    shift = np.array([7, -4], np.float32)
    moved = np.asarray(draw_landmarks(face + shift, HEIGHT, WIDTH, 3.0))
    np.testing.assert_allclose(moved[:-4, 7:], image[4:, :-7], atol=1e-4)


def test_strokes_outside_the_image_are_cut_off(face):
    image = draw_landmarks(face + np.array([500, 0], np.float32), HEIGHT, WIDTH, 3.0)
    np.testing.assert_array_equal(image, 0)


def test_strokes_scale_with_the_image_unless_told(face):
    small, large = draw_landmarks(face, HEIGHT, WIDTH), draw_landmarks(4 * face, 360, 480)
    np.testing.assert_allclose(small, draw_landmarks(face, HEIGHT, WIDTH, 1.0), atol=1e-6)
    np.testing.assert_allclose(large, draw_landmarks(4 * face, 360, 480, 360 / 128), atol=1e-6)


def test_batch_axes_equal_a_loop(face):
    faces = np.stack([face, face + 3, face * 0.5, face - 2]).reshape(2, 2, 70, 2)
    images = draw_landmarks(faces, HEIGHT, WIDTH, 3.0)
    assert images.shape == (2, 2, HEIGHT, WIDTH, 3)
    for i, j in np.ndindex(2, 2):
        one = draw_landmarks(faces[i, j], HEIGHT, WIDTH, 3.0)
        np.testing.assert_allclose(images[i, j], one, atol=1e-5)


def test_gradient_is_finite_with_missing_and_coinciding_landmarks(face):
    odd = face.copy()
    odd[1] = np.nan
    odd[20] = odd[21]
    odd[27:31] = np.floor(odd[27:31]) + 0.5  # strokes through pixel centres
    loss = lambda points: jnp.sum(draw_landmarks(points, HEIGHT, WIDTH) ** 2)
    gradient = np.asarray(jax.grad(loss)(odd))
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


def test_other_numbers_of_landmarks_are_refused():
    with pytest.raises(ValueError, match="68 or 70"):
        draw_landmarks(jnp.zeros((2, 69, 2)), HEIGHT, WIDTH)


def test_white_strokes_are_the_coloured_ones_part_by_part():
    rng = np.random.default_rng(3)
    points = rng.uniform(2, 30, (2, 68, 2)).astype(np.float32)
    white = draw_strokes(jnp.asarray(points), 32, 40)
    nearest = jnp.zeros((2, 32, 40, 1))
    for part in PARTS[:9]:
        alone = np.full_like(points, np.nan)  # so that nothing lies over it
        alone[:, part.first : part.last + 1] = points[:, part.first : part.last + 1]
        alone = jnp.asarray(alone)
        due = draw_landmarks(alone, 32, 40).max(-1, keepdims=True)  # a channel of each is 1
        np.testing.assert_allclose(draw_strokes(alone, 32, 40), due, atol=1e-5)
        nearest = jnp.maximum(nearest, due)
    np.testing.assert_allclose(white, nearest, atol=1e-5)
