import cv2
import numpy as np
import pytest

from facejax import crops
from facejax.errors import InputError

SIZE = (300, 420)


@pytest.fixture
def frame():
    noise = np.random.default_rng(0).integers(0, 255, (30, 42, 3)).astype(np.uint8)
    return cv2.resize(noise, SIZE[::-1], interpolation=cv2.INTER_CUBIC)


def still(box, frames=7):
    return np.tile(np.array(box, np.float32), (frames, 1))


def test_the_crop_is_square_centred_and_one_and_two_thirds_of_the_face():
    box = crops.steady_box(still([180, 90, 260, 190]), SIZE)
    side = box[2] - box[0]
    assert side == box[3] - box[1] == round(100 * 1.641)
    np.testing.assert_allclose((box[:2] + box[2:]) / 2, [220, 140], atol=1)
    np.testing.assert_array_equal(box, np.round(box))


def test_an_outlier_does_not_move_the_crop():
    boxes = still([180, 90, 260, 190])
    moved = boxes.copy()
    moved[3] += 40
    np.testing.assert_array_equal(crops.steady_box(moved, SIZE), crops.steady_box(boxes, SIZE))


@pytest.mark.parametrize("box", [[2, 90, 82, 190], [300, 180, 400, 296], [180, 1, 260, 101]])
def test_a_crop_that_fits_is_moved_inside_the_frame(box):
    x0, y0, x1, y1 = crops.steady_box(still(box), SIZE)
    assert x0 >= 0 and y0 >= 0 and x1 <= SIZE[1] and y1 <= SIZE[0]
    assert x0 <= box[0] and y0 <= box[1] and x1 >= box[2] and y1 >= box[3]


@pytest.mark.parametrize("top", [1, 28, 59])
def test_a_crop_larger_than_the_frame_is_square_and_holds_all_of_it(top):
    box = crops.steady_box(still([60, top, 300, top + 240]), SIZE)
    assert box[2] - box[0] == box[3] - box[1] == round(240 * 1.641)
    assert box[1] <= 0 and box[3] >= SIZE[0] and box[0] >= 0


@pytest.mark.parametrize("shift", [[120, 0, 120, 0], [0, 0, 90, 90]])
def test_a_face_that_jumps_or_grows_is_refused_with_the_figure(shift):
    boxes = still([100, 90, 180, 190])
    boxes[5:] += np.array(shift)
    with pytest.raises(InputError, match=r"moves by 0\.\d\d of the crop's side, more than 0\.45"):
        crops.steady_box(boxes, SIZE)


def test_points_and_pixels_agree_on_where_a_spot_lies(frame):
    frame[:] = 0
    cv2.circle(frame, (200, 120), 6, (255, 255, 255), -1)  # its centre is pixel (120, 200)
    box = np.array([130, 60, 290, 220], np.float32)
    for size in (64, 160, 256):
        crop = crops.extract(frame, box, size)[..., 0].astype(float)
        rows, columns = np.indices(crop.shape) + 0.5
        seen = [(columns * crop).sum() / crop.sum(), (rows * crop).sum() / crop.sum()]
        due = crops.to_crop(np.array([200.5, 120.5, 3.0]), box, size)
        np.testing.assert_allclose(seen, due[:2], atol=0.1)
        np.testing.assert_allclose(due[2], 3 * size / 160)


def test_a_crop_of_equal_size_is_a_copy(frame):
    box = np.array([130, 60, 290, 220], np.float32)
    np.testing.assert_array_equal(crops.extract(frame, box, 160), frame[60:220, 130:290])


def test_outside_the_frame_its_edge_is_repeated(frame):
    frame[:, :4] = (10, 200, 30)
    crop = crops.extract(frame, np.array([-100, 50, 60, 210], np.float32), 80)
    due = np.broadcast_to([10, 200, 30], (80, 48, 3))
    np.testing.assert_allclose(crop[:, :48].astype(int), due, atol=1)


def test_the_centre_box_is_the_largest_square_in_the_middle():
    np.testing.assert_array_equal(crops.centre_box((300, 420)), [60, 0, 360, 300])
    np.testing.assert_array_equal(crops.centre_box((420, 300)), [0, 60, 300, 360])


@pytest.mark.parametrize("size", [64, 160, 200])
def test_pasting_a_crop_back_changes_nothing_much(frame, size):
    box = np.array([130, 60, 290, 220], np.float32)
    pasted = crops.paste_back(frame, crops.extract(frame, box, size), box)
    outside = np.ones(SIZE, bool)
    outside[60:220, 130:290] = False
    np.testing.assert_array_equal(pasted[outside], frame[outside])
    assert np.abs(pasted.astype(int) - frame).mean() < 2


def test_a_pasted_crop_is_full_inside_and_fades_to_nothing_at_its_edge(frame):
    box = np.array([130, 60, 290, 220], np.float32)
    frame[:] = 0
    pasted = crops.paste_back(frame, np.full((64, 64, 3), 200, np.uint8), box)[..., 0]
    assert (pasted[100:180, 170:250] == 200).all()
    assert pasted[60:220, 130].max() < 10
    assert (np.diff(pasted[140, 130:160].astype(int)) >= 0).all()


def test_a_pasted_crop_does_not_fade_at_the_edge_of_the_frame(frame):
    frame[:] = 0
    box = np.array([-40, -40, 120, 120], np.float32)
    pasted = crops.paste_back(frame, np.full((64, 64, 3), 200, np.uint8), box)[..., 0]
    assert (pasted[:60, :60] == 200).all()
    assert pasted[119, 0] < 10


def test_a_box_off_the_frame_leaves_it_alone(frame):
    box = np.array([500, 0, 600, 100], np.float32)
    crop = np.zeros((64, 64, 3), np.uint8)
    np.testing.assert_array_equal(crops.paste_back(frame, crop, box), frame)
