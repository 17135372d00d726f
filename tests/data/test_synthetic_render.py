import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.data.synthetic import dataset, expression, flow, paint, render, rhythm
from facejax.geometry.camera import camera_from_pose
from facejax.geometry.face_image import face_colors, face_image
from facejax.geometry.mesh import mesh_topology
from facejax.geometry.morphable import face_shape

SIZE = 64
PEOPLE = range(3)


def moments(**strengths):
    """Four views of one face: frontal, turned left, turned right and up, nearer."""
    angles = np.deg2rad([[0, 0, 0], [0, -20, 0], [-8, 15, 5], [4, 5, -6]])
    pose = np.zeros((4, 6), np.float32)
    pose[:, :3], pose[:, 3:5] = angles, rhythm.pivot_shift(angles)[:, :2]
    pose[:, 5] = np.array([1150, 1150, 1150, 1000])
    given = {name: np.full(4, value) for name, value in strengths.items()} or {"jaw": np.zeros(4)}
    return render.Moment(
        jnp.asarray(expression.coefficients(given), jnp.float32), jnp.asarray(pose)
    )


def draw(number, moment, size=SIZE):
    who = dataset.actor(0, "train", number).person
    frames, masks = render.draw(render.stage(), who, moment, size)
    shape = render.project_face(render.stage(), who, moment, size)
    landmarks = np.asarray(shape)[:, render.stage().model.landmarks]
    return np.asarray(frames).astype(float), np.asarray(masks), landmarks


@pytest.fixture(scope="module")
def stills():
    return [draw(number, moments()) for number in PEOPLE]


def at(image, point):
    """The colour at an image point [x, y, ...], between pixels."""
    x, y = point[0] - 0.5, point[1] - 0.5
    col, row = int(np.floor(x)), int(np.floor(y))
    fx, fy = x - col, y - row
    top = image[row, col] * (1 - fx) + image[row, col + 1] * fx
    return top * (1 - fy) + (image[row + 1, col] * (1 - fx) + image[row + 1, col + 1] * fx) * fy


def bright(color):
    return float(np.mean(color))


@pytest.mark.parametrize("number", PEOPLE)
def test_pupils_are_dark_and_lie_between_white_corners(number):
    frames, _, landmarks = draw(number, moments(), 4 * SIZE)
    for k in range(4):
        for pupil, corners in ((68, (36, 39)), (69, (42, 45))):
            spot = landmarks[k, pupil]
            pupil_light = bright(at(frames[k], spot))
            assert pupil_light < 70
            white = [bright(at(frames[k], 0.38 * spot + 0.62 * landmarks[k, c])) for c in corners]
            assert min(white) > pupil_light + 35


def test_lips_are_redder_than_the_cheeks_beside_them(stills):
    for frames, _, landmarks in stills:
        for frame, points in zip(frames, landmarks, strict=True):
            lip = at(frame, (points[57] + points[66]) / 2)
            chin = at(frame, 0.45 * points[57] + 0.55 * points[8])
            assert lip[0] / lip[1] > 1.08 * chin[0] / chin[1]


def test_shut_eyes_show_skin_where_the_pupils_are():
    shut, _, landmarks = draw(1, moments(blink=1.0), 4 * SIZE)
    for frame, points in zip(shut, landmarks, strict=True):
        skin = bright(at(frame, points[29]))
        for pupil in (68, 69):
            assert bright(at(frame, points[pupil])) > 0.5 * skin


def test_an_open_jaw_shows_a_dark_mouth(stills):
    wide = draw(1, moments(jaw=1.0))
    for k in range(4):
        inside = wide[2][k, 62] * 0.4 + wide[2][k, 66] * 0.6
        assert bright(at(wide[0][k], inside)) < 70
        assert wide[2][k, 66, 1] - wide[2][k, 62, 1] > 3
        assert bright(at(stills[1][0][k], stills[1][2][k, 57])) > 70


def test_landmarks_lie_on_the_person_and_the_corners_of_the_image_do_not(stills):
    for _, masks, landmarks in stills:
        for mask, points in zip(masks, landmarks, strict=True):
            column, row = np.floor(points[17:, :2]).astype(int).T
            assert (mask[row, column] > 250).all()
            assert mask[0, 0] == 0 and mask[0, -1] == 0


def test_the_face_image_of_the_motion_overlays_the_drawn_head(stills):
    model, moment = render.stage().model, moments()
    topology = mesh_topology(np.asarray(model.faces), len(model.mean))
    for number, (_, masks, _) in zip(PEOPLE, stills, strict=True):
        identity = dataset.actor(0, "train", number).person.identity
        shape = face_shape(model, identity, moment.expression)
        camera = camera_from_pose(moment.pose, SIZE, SIZE)
        image = face_image(shape, camera, topology, face_colors(model.mean), SIZE, SIZE)
        face = np.asarray(image).max(-1) > 0
        assert face.mean() > 0.12
        assert (masks[face] > 100).mean() > 0.995


def test_the_background_stands_still(stills):
    for frames, masks, _ in stills:
        empty = (masks == 0).all(0)
        assert empty.mean() > 0.2
        assert np.ptp(frames[:, empty], axis=0).max() == 0


def test_the_same_motion_is_the_same_picture_at_any_size(stills):
    large = draw(0, moments(), 4 * SIZE)
    pooled = large[0].reshape(4, SIZE, 4, SIZE, 4, 3).mean((2, 4))
    assert np.abs(pooled - stills[0][0]).mean() < 2.5
    np.testing.assert_allclose(large[2], 4 * stills[0][2], atol=1e-3)


def one(moment, k):
    return jax.tree.map(lambda rows: rows[k], moment)


def exact(number, moment, target, source, size=SIZE):
    who = dataset.actor(0, "train", number).person
    result = flow.flow(render.stage(), who, one(moment, target), one(moment, source), size)
    return np.asarray(result.displacement), np.asarray(result.visible)


def test_flow_between_equal_moments_is_zero_and_all_is_visible():
    displacement, visible = exact(0, moments(), 1, 1)
    np.testing.assert_allclose(displacement, 0, atol=1e-3)
    assert visible.all()


def test_flow_of_a_shift_is_the_shift(stills):
    moment = moments()
    shifted = moment.pose.at[1].set(moment.pose[0].at[3:5].add(jnp.array([9.0, -4.0])))
    displacement, _ = exact(0, moment._replace(pose=shifted), 0, 1)
    scale = 4 * SIZE / 1150
    column, row = np.floor(stills[0][2][0, 27:31, :2]).astype(int).T
    due = np.tile([9 * scale, 4 * scale], (4, 1))
    np.testing.assert_allclose(displacement[row, column], due, atol=1e-3)
    np.testing.assert_array_equal(displacement[0, 0], 0)


def test_warping_by_the_flow_rebuilds_the_target():
    """On what is visible in both; light and gloss change a little with the pose."""
    moment = moments()
    pose, said = moment.pose[0], moment.expression
    pose = moment.pose.at[2].set(pose + jnp.array([0.02, 0.1, -0.04, 9.0, 3.0, 20.0]))
    moment = render.Moment(said.at[2, 0].set(2.0), pose)
    for number in PEOPLE:
        frames, _, _ = draw(number, moment, 4 * SIZE)
        displacement, visible = exact(number, moment, 0, 2, 4 * SIZE)
        y, x = np.mgrid[: 4 * SIZE, : 4 * SIZE] + 0.5
        grid = [y + displacement[..., 1] - 0.5, x + displacement[..., 0] - 0.5]
        warped = np.stack(
            [jax.scipy.ndimage.map_coordinates(frames[2][..., c], grid, 1) for c in range(3)], -1
        )
        moving = visible & (np.abs(displacement).max(-1) > 0.5)
        error = np.abs(warped - frames[0])[moving].mean()
        copied = np.abs(frames[2] - frames[0])[moving].mean()
        assert moving.mean() > 0.2
        assert error < 0.35 * copied


def test_polyline_is_linear_interpolation():
    x = jnp.linspace(-3.0, 12.0, 31)
    stops, values = (-1.0, 2.0, 2.5, 9.0), (4.0, -1.0, 3.0, 0.5)
    due = np.interp(x, stops, values)
    np.testing.assert_allclose(paint.polyline(x, stops, values), due, atol=1e-4)
