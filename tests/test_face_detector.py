import numpy as np
import pytest

from facejax.face_detector import (
    INPUT,
    LEAST_TILE,
    Detection,
    anchors,
    decode,
    overlap,
    sample_square,
    search_levels,
    suppress,
)


def ramp(height, width):
    """An image whose red is the x and green the y of each pixel's centre (in half px)."""
    y, x = np.mgrid[:height, :width]
    return np.stack([2 * x + 1, 2 * y + 1, np.zeros_like(x)], axis=-1).astype(np.uint8)


def test_anchors_are_the_cell_centres_of_two_grids():
    points = anchors()
    assert points.shape == (896, 2)
    np.testing.assert_allclose(
        points[[0, 1, 2, 32]], np.array([[1, 1], [1, 1], [3, 1], [1, 3]]) / 32
    )
    np.testing.assert_allclose(points[[512, 517, 518]], np.array([[1, 1], [1, 1], [3, 1]]) / 16)
    np.testing.assert_allclose(points[-1], [15 / 16, 15 / 16])


def test_decode_returns_the_box_that_was_encoded():
    rng = np.random.default_rng(0)
    grid, corner, side = anchors(), np.array([40.0, -7.0]), 300.0
    codes, logits = rng.normal(size=(896, 16)).astype(np.float32), np.full(896, -9.0)
    box, keypoints = np.array([100.0, 50.0, 180.0, 170.0]), rng.uniform(90, 190, (6, 2))
    place = 530
    flat = np.concatenate([[(box[:2] + box[2:]) / 2], keypoints])
    relative = ((flat - corner) / side - grid[place]) * INPUT
    codes[place] = np.concatenate([relative[0], (box[2:] - box[:2]) / side * INPUT, *relative[1:]])
    logits[place] = 2.0
    (found,) = decode(codes, logits, grid, corner, side)
    np.testing.assert_allclose(found.box, box, rtol=1e-5)
    np.testing.assert_allclose(found.keypoints, keypoints, rtol=1e-5)
    np.testing.assert_allclose(found.score, 1 / (1 + np.exp(-2.0)), rtol=1e-6)


def test_decode_survives_any_logit():
    codes = np.zeros((896, 16), np.float32)
    logits = np.full(896, -1e9, np.float32)
    logits[3] = 1e9
    assert [d.score for d in decode(codes, logits, anchors(), np.zeros(2), 9.0)] == [1.0]


def test_overlap_of_known_boxes():
    a = np.array([0.0, 0.0, 4.0, 2.0])
    assert overlap(a, a) == 1
    assert overlap(a, np.array([2.0, 0.0, 6.0, 2.0])) == pytest.approx(4 / 12)
    assert overlap(a, np.array([5.0, 0.0, 6.0, 2.0])) == 0
    assert overlap(a * 0, a * 0) == 0


def test_suppress_merges_a_face_and_keeps_its_neighbour():
    def found(x, score):
        return Detection(np.array([x, 0.0, x + 10, 10.0]), np.full((6, 2), x), score)

    merged = suppress([found(40.0, 0.6), found(1.0, 0.5), found(0.0, 1.0)])
    assert [round(d.score, 3) for d in merged] == [1.0, 0.6]
    np.testing.assert_allclose(merged[0].box, [1 / 3, 0, 31 / 3, 10])
    np.testing.assert_allclose(merged[0].keypoints, 1 / 3)
    np.testing.assert_allclose(merged[1].box, [40, 0, 50, 10])


def test_suppress_drops_no_empty_box_into_an_endless_loop():
    flat = Detection(np.array([3.0, 3.0, 3.0, 3.0]), np.zeros((6, 2)), 0.9)
    assert len(suppress([flat, flat._replace(score=0.8)])) == 2


@pytest.mark.parametrize("size", [(1080, 1920), (700, 400), (500, 500)])
def test_every_level_of_tiles_covers_the_image(size):
    height, width = size
    levels = list(search_levels(height, width))
    assert len(levels) == 4
    assert levels[0] == [(width / 2, height / 2, max(size))]
    for squares in levels[2:]:
        side = squares[0][2]
        x, y = np.unique([s[0] for s in squares]), np.unique([s[1] for s in squares])
        for centres, length in ((x, width), (y, height)):
            assert centres[0] == side / 2 and centres[-1] == length - side / 2
            assert np.all(np.diff(centres) <= side / 2 + 1e-9)


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (60, 8000)])
def test_small_and_thin_images_are_not_tiled(size):
    squares = [square for level in search_levels(*size) for square in level]
    assert len(squares) == 2
    assert min(side for *_, side in squares) >= min(LEAST_TILE, max(size))


def test_sample_square_at_its_own_scale_is_a_plain_crop():
    image = ramp(40, 60)
    crop = sample_square(image, (25.0, 18.0), 20, 0.0, 20)
    np.testing.assert_array_equal(crop, image[8:28, 15:35])


@pytest.mark.parametrize("side, angle", [(24, 0.0), (40, 0.4), (9, -1.2), (70, 3.0)])
def test_sample_square_shows_each_place_of_the_image(side, angle):
    """Red and green say where a pixel came from: centre + rotation @ (place in the square)."""
    image, centre, size = ramp(120, 120), np.array([61.0, 57.5]), 16
    crop = sample_square(image, tuple(centre), side, angle, size).astype(float)
    y, x = np.mgrid[:size, :size] + 0.5
    offset = np.stack([x, y], axis=-1) * side / size - side / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    due = centre + offset @ turn.T
    inside = np.all((due > 3) & (due < 117), axis=-1)
    assert inside.mean() > 0.6
    np.testing.assert_allclose(crop[..., :2][inside] / 2, due[inside], atol=0.6)


def test_sample_square_averages_when_it_shrinks():
    stripes = np.zeros((240, 240, 3), np.uint8)
    stripes[:, ::2] = 200
    crop = sample_square(stripes, (120.0, 120.0), 200, 0.1, 20)
    np.testing.assert_allclose(crop, 100, atol=12)


def test_sample_square_beside_the_image_is_black():
    assert not sample_square(ramp(20, 30), (-100.0, 10.0), 20, 0.3, 8).any()
