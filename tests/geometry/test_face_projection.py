"""The projected face."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.geometry import face_projection as projection
from facejax.geometry import rigid_motion
from facejax.geometry.mesh import mesh_topology
from facejax.geometry.rasterize import rasterize

SIZE = 40
KEY = np.array([0.1, -0.15, 0.05, 3.0, -2.0, 1.0], np.float32)


def dome(rings=14, spokes=40):
    """A rounded cap in mid-image, nearest in its middle: vertices px and outward triangles."""
    radius, turn = np.linspace(0, 1, rings + 1)[1:], np.arange(spokes) / spokes * 2 * np.pi
    out = np.r_[0, np.repeat(radius, spokes)]
    angle = np.r_[0, np.tile(turn, rings)]
    vertices = np.stack([20 + 13 * out * np.cos(angle), 20 + 15 * out * np.sin(angle)], -1)
    vertices = np.c_[vertices, 12 * out**2 - 6]
    k, after = np.arange(spokes), np.roll(np.arange(spokes), -1)
    faces = [np.stack([0 * k, 1 + after, 1 + k], 1)]
    for ring in range(rings - 1):
        a, b = 1 + ring * spokes + k, 1 + ring * spokes + after
        faces += [np.stack([a, b, a + spokes], 1), np.stack([b, b + spokes, a + spokes], 1)]
    return vertices.astype(np.float32), np.concatenate(faces).astype(np.int32)


@pytest.fixture(scope="module")
def face():
    vertices, faces = dome()
    place = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), -1) + 0.5
    image = np.stack(
        [place[..., 0] / 20 - 1, place[..., 1] / 20 - 1, np.sin(place[..., 0] / 6)], -1
    )
    image = jnp.asarray(image, jnp.float32)
    landmarks = vertices[[0, 30, 100]]
    made = projection.canonical_face(image, *map(jnp.asarray, (vertices, landmarks, KEY)))
    return image, made, mesh_topology(faces, len(vertices)), vertices, landmarks


def test_at_its_own_motion_the_key_frame_comes_back_under_the_mask(face):
    image, made, topology, vertices, landmarks = face
    shown = projection.project_face(made, jnp.asarray(KEY), topology, SIZE)
    covered = np.asarray(rasterize(jnp.asarray(vertices), topology, SIZE, SIZE)) >= 0
    mask = np.asarray(shown.mask[..., 0]) > 0
    assert np.sum(mask != covered) <= 3  # centres on the rim, by rounding
    difference = np.abs(np.asarray(shown.image - image))[mask & covered]
    assert difference.mean() < 0.005 and difference.max() < 0.1
    np.testing.assert_array_equal(np.asarray(shown.image)[~mask], -1)
    np.testing.assert_allclose(shown.landmarks, landmarks, atol=1e-4)


def test_a_clip_is_drawn_in_one_call_as_frame_by_frame(face):
    _, made, topology, _, landmarks = face
    turns = np.stack([KEY, KEY + np.float32([0, 0.3, 0, 4, 0, 0])])
    both = projection.project_face(made, jnp.asarray(turns), topology, SIZE)
    assert both.image.shape == (2, SIZE, SIZE, 3) and both.mask.shape == (2, SIZE, SIZE, 1)
    for k in range(2):
        one = projection.project_face(made, jnp.asarray(turns[k]), topology, SIZE)
        np.testing.assert_array_equal(both.image[k], one.image)
    due = rigid_motion.move(jnp.asarray(landmarks), KEY, turns[1])
    np.testing.assert_allclose(both.landmarks[1], due, atol=1e-4)


def test_a_batch_of_faces_meets_a_batch_of_motions(face):
    _, made, topology, _, _ = face
    dim = made._replace(colors=made.colors * 0.5)
    two = jax.tree.map(lambda *x: jnp.stack(x), made, dim)
    shown = projection.project_face(two, jnp.stack([jnp.asarray(KEY)] * 2), topology, SIZE)
    mask = shown.mask[0, ..., 0] > 0
    np.testing.assert_allclose(shown.image[1][mask], 0.5 * shown.image[0][mask], atol=1e-6)


def test_px_are_what_the_published_camera_sees():
    """Its steps: look-at, orthographic scale 2/256, rows counted upwards, both axes flipped."""
    eye, z_axis, up = np.array([128.0, 128, 6000]), np.array([0.0, 0, -1]), np.array([0.0, 1, 0])
    x_axis = np.cross(up, z_axis)
    turn = np.stack([x_axis, np.cross(z_axis, x_axis), z_axis])
    size, centre = 256, lambda k: (2 * k + 1 - 256) / 256  # of pixel k in [-1, 1]
    for point in np.array([[128.0, 128, 0], [40.5, 99.5, 12], [250.5, 3.5, -30]]):
        seen = turn @ (point - eye) * [2 / 256, 2 / 256, 1]
        column = next(c for c in range(size) if abs(centre(c) - seen[0]) <= 1 / 256)
        row = next(r for r in range(size) if abs(centre(size - 1 - r) - seen[1]) <= 1 / 256)
        row, column = size - 1 - row, size - 1 - column  # the flips
        assert abs(column + 0.5 - point[0]) <= 0.5 and abs(row + 0.5 - point[1]) <= 0.5
        np.testing.assert_allclose(seen[2], projection.CAMERA_Z - point[2])


def test_soft_and_hard_drawing_agree_off_the_rim_and_across_depths(face):
    _, made, topology, _, _ = face
    motion = jnp.asarray(KEY)
    hard = projection.project_face(made, motion, topology, SIZE)
    soft = projection.project_face(made, motion, topology, SIZE, projection.draw_soft)
    mask = np.asarray(hard.mask[..., 0]) > 0
    inner = mask.copy()
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        inner &= np.roll(mask, step, axis)
    np.testing.assert_allclose(soft.image[inner], hard.image[inner], atol=0.06)
    assert np.abs(np.asarray(soft.image - hard.image))[inner].mean() < 0.01
    outside = ~(mask | np.roll(mask, 1, 0) | np.roll(mask, -1, 0))
    outside &= ~(np.roll(mask, 1, 1) | np.roll(mask, -1, 1))
    np.testing.assert_allclose(np.asarray(soft.image)[outside], -1, atol=1e-3)


def test_what_looks_up_is_brighter_under_the_released_lights(face):
    _, made, topology, _, _ = face
    front = rigid_motion.from_canonical(made.vertices, KEY)
    grey = made._replace(vertices=front, colors=jnp.full_like(made.colors, -0.5))
    lit = projection.lit_from_above(grey, topology)
    gain = (np.asarray(lit.colors)[:, 0] + 1) / 0.5
    above, below = np.asarray(front)[:, 1] < 14, np.asarray(front)[:, 1] > 26
    assert gain[above].min() > 1.02 and gain.max() <= 1.5
    np.testing.assert_allclose(gain[below], 1, atol=1e-6)


def test_the_cropped_target_is_black_where_the_rendering_is_almost(face):
    image = np.full((1, 2, 1, 3), 0.25, np.float32)
    levels = np.array([[9, 10, 200], [0, 255, 9]], np.float32)
    rendering = (levels / 127.5 - 1).reshape(1, 2, 1, 3)
    found = projection.cropped_to_render(jnp.asarray(image), jnp.asarray(rendering))
    due = np.where(levels < 10, -1, 0.25).reshape(image.shape)
    np.testing.assert_allclose(found, due)
