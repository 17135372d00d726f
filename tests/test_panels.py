import numpy as np

from facejax import panels


def test_still_is_white_and_opposite_shifts_have_opposite_hues():
    flow = np.zeros((4, 8, 2), np.float32)
    assert (panels.flow_as_bytes(flow) == 255).all()
    right, left = flow + np.array([8, 0]), flow - np.array([8, 0])
    red, cyan = panels.flow_as_bytes(right)[0, 0], panels.flow_as_bytes(left)[0, 0]
    np.testing.assert_array_equal(red, [255, 0, 0])
    np.testing.assert_array_equal(cyan, [0, 255, 255])


def test_a_longer_shift_has_more_colour():
    flow = np.stack([np.linspace(0, 2, 9), np.zeros(9)], -1)[None]
    least = panels.flow_as_bytes(flow, full=2.0).min(-1)[0].astype(int)
    assert (np.diff(least) < 0).all() and least[0] == 255 and least[-1] == 0


def test_bytes_span_the_range_and_round():
    np.testing.assert_array_equal(
        panels.as_bytes(np.array([-1.0, 0, 1, 1.2, -9])), [0, 128, 255, 255, 0]
    )
    np.testing.assert_array_equal(panels.face_as_bytes(np.array([0.0, 0.5, 1])), [0, 128, 255])


def test_panels_are_in_the_papers_order_and_take_the_one_reference_face():
    image = np.zeros((3, 4, 4, 3))
    image[1] = 1
    outputs = {"image": image, "warped": -image, "face": image, "flow": image[..., :2]}
    outputs["reference_face"] = image[1:2]
    found = panels.panels(image[0], outputs, 1, image[2])
    due = "reference, reference 3-D face, driving 3-D face, flow, warped, generated, driving"
    assert ", ".join(found) == due
    assert found["generated"].min() == 255 and found["warped"].max() == 0
    assert found["reference 3-D face"].min() == 255
    assert "flow" not in panels.panels(image[0], {"image": image}, 0, image[0])
