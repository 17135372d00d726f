import jax.numpy as jnp
import numpy as np
import pytest

from facejax import appearance
from facejax.data import records
from facejax.data.synthetic import dataset, head
from facejax.errors import InputError
from facejax.geometry import shade
from facejax.geometry.camera import camera_from_pose, project
from facejax.geometry.mesh import mesh_topology
from facejax.geometry.morphable import face_shape
from facejax.geometry.rasterize import fragments, interpolate, rasterize

MODEL = head.model()
TOPOLOGY = mesh_topology(MODEL.faces, len(MODEL.mean))
IDENTITY = np.zeros(len(MODEL.identity_basis), np.float32)
EXPRESSION = np.zeros((1, len(MODEL.expression_basis)), np.float32)
PLACE = [0.0, -10.0, 4 * 230.0]  # mm: the image is 230 mm wide
USED = np.unique(MODEL.faces)


def pose(yaw=0.0, pitch=0.0):
    return np.array([[pitch, yaw, 0.0, *PLACE]], np.float32)


def harmonics(x=0.0, y=0.0, z=0.0):
    """Ambient light and one from a direction, white."""
    light = np.zeros((9, 3), np.float32)
    light[0] = 0.7 / shade.SH_CONSTANT
    light[1:4] = np.array([y, z, x])[:, None] / shade.SH_LINEAR
    return light


def photo(albedo, light, where, size=128):
    """The mean face under a light on a blue wall, [size, size, 3], and its normals [V, 3]."""
    screen = project(jnp.asarray(MODEL.mean), camera_from_pose(jnp.asarray(where[0]), size, size))
    normal = shade.vertex_normals(screen * jnp.array([[1.0, -1.0, -1.0]]), TOPOLOGY)
    color = jnp.clip(shade.shade(jnp.asarray(albedo), normal, jnp.asarray(light)), 0, 1)
    seen = fragments(screen, TOPOLOGY, rasterize(screen, TOPOLOGY, size, size))
    wall = jnp.array([0.1, 0.2, 0.6])
    return np.asarray(interpolate(color, TOPOLOGY, seen, wall)), np.asarray(normal)


def estimate(image, where):
    return appearance.estimate(MODEL, image[None], IDENTITY, EXPRESSION, where)


def shading(light, normal):
    return np.asarray(shade.spherical_harmonics(jnp.asarray(normal)) @ light)


def front(normal, least=0.5):
    return np.intersect1d(USED, np.flatnonzero(normal[:, 2] > least))


DIRECTIONS = [(0.3, 0.1, 0.1), (-0.3, 0.1, 0.0), (0.0, 0.3, 0.2)]


def recovered(direction):
    """Of vertices in front: shading found over true, of mean 1, and the albedo's error."""
    albedo, light = MODEL.colors * np.float32([0.9, 0.8, 0.7]), harmonics(*direction)
    image, normal = photo(albedo, light, pose())
    found = estimate(image, pose())
    seen = front(normal)
    ratio = shading(found.light, normal)[seen] / shading(light, normal)[seen]
    error = found.albedo[seen] * ratio.mean(0) - albedo[seen]
    return ratio / ratio.mean(0), np.abs(error)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_known_light_comes_back_up_to_its_scale(direction, monkeypatch):
    monkeypatch.setattr(appearance, "RIDGE", (0.0, 1e-6, 1e-6))
    ratio, error = recovered(direction)
    np.testing.assert_allclose(ratio, 1, atol=0.02)
    assert np.median(error) < 0.01  # the lips' border is blurred


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_ridge_costs_little_of_the_light(direction):
    ratio, error = recovered(direction)
    assert np.abs(ratio - 1).mean() < 0.03
    assert np.median(error) < 0.02


def test_the_light_stays_where_it_is_when_the_head_turns():
    light = harmonics(x=0.35)
    for yaw in (-0.5, 0.5):
        image, _ = photo(MODEL.colors, light, pose(yaw=yaw))
        found = estimate(image, pose(yaw=yaw)).light.mean(1)
        assert found[3] > 2 * abs(found[1])  # from the right, not from above
        assert found[3] * shade.SH_LINEAR > 0.5 * 0.35 / 0.7


def test_a_hand_before_the_chin_leaves_the_light_as_it_is():
    light = harmonics(x=0.25, y=0.1)
    image, normal = photo(MODEL.colors, light, pose())
    covered = image.copy()
    covered[84:110, 40:76] = [0.05, 0.3, 0.05]
    lights = [estimate(picture, pose()).light for picture in (image, covered)]
    clean, found = (shading(light, normal)[front(normal)] for light in lights)
    assert np.abs(found - clean).mean() < 0.05


def test_several_frames_under_one_light_are_one_person():
    light = harmonics(x=0.3)
    wheres = np.concatenate([pose(yaw=yaw) for yaw in (-0.4, 0.0, 0.4)])
    images = np.stack([photo(MODEL.colors, light, where[None])[0] for where in wheres])
    expression = np.repeat(EXPRESSION, 3, axis=0)
    found = appearance.estimate(MODEL, images, IDENTITY, expression, wheres)
    seen = front(photo(MODEL.colors, light, pose())[1])
    scale = np.median(found.albedo[seen] / MODEL.colors[seen], axis=0)
    error = np.abs(found.albedo[seen] / scale - MODEL.colors[seen])
    assert np.median(error) < 0.01


@pytest.mark.slow
def test_on_the_embedded_people_most_of_their_true_light_is_found():
    config, errors = dataset.Config(frames=8, fps=3), []
    directions = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions = directions[directions[:, 2] > 0.3]
    for number in (0, 3, 5):  # dark hair before the face, then fair and dark skins
        clip = dataset.make_clip(config, "train", number, 0)
        images = np.stack([records.decode_frame(frame) for frame in clip.frames]) / 255
        found = appearance.estimate(MODEL, images, clip.identity[0], clip.expression, clip.pose)
        person = dataset.actor(config.seed, "train", number).person.look
        # Their light is linear; the camera's picture of it is not.
        due = np.maximum(shading(person.light, directions), 0.02).mean(1) ** (1 / 2.2)
        shades = shading(found.light, directions).mean(1)
        error = np.abs(shades / shades.mean() - due / due.mean()).mean()
        errors.append(error / np.abs(due / due.mean() - 1).mean())  # 1: as flat light
    assert max(errors) < 0.75 and np.mean(errors) < 0.5


def test_only_vertices_that_nothing_hides_are_looked_at():
    where = jnp.asarray(pose(yaw=0.7)[0])
    zero = jnp.asarray(EXPRESSION[0])
    _, _, facing = appearance._geometry(MODEL, TOPOLOGY, jnp.asarray(IDENTITY), zero, where)
    size = appearance.DETAIL
    shape = face_shape(MODEL, jnp.asarray(IDENTITY), zero)
    screen = np.asarray(project(shape, camera_from_pose(where, size, size)), np.float64)
    hidden = covered_by(screen, MODEL.faces)  # px behind the nearest triangle over it
    assert not np.any(np.asarray(facing)[hidden > 3 * appearance.DEPTH_SLACK])
    normal = np.asarray(
        shade.vertex_normals(jnp.asarray(screen * [1, -1, -1], jnp.float32), TOPOLOGY)
    )
    clear = (hidden < 0.1) & (normal[:, 2] > 0.5)
    assert np.mean(np.asarray(facing)[clear] > 0) > 0.95


def covered_by(screen, faces):
    """How far behind the nearest triangle over it each vertex lies, by looking at all pairs."""
    a, b, c = (screen[faces[:, k]] for k in range(3))
    area = lambda p, q, r: (
        (q[..., 0] - p[..., 0]) * (r[..., 1] - p[..., 1])
        - (q[..., 1] - p[..., 1]) * (r[..., 0] - p[..., 0])
    )
    total = area(a, b, c)
    total = np.where(np.abs(total) < 1e-9, np.inf, total)
    depth = np.zeros(len(screen))
    for number, point in enumerate(screen):
        weights = np.stack([area(b, c, point), area(c, a, point), area(a, b, point)]) / total
        over = np.all(weights > 1e-6, axis=0)
        z = weights[0] * a[:, 2] + weights[1] * b[:, 2] + weights[2] * c[:, 2]
        depth[number] = max(0.0, point[2] - z[over].min()) if over.any() else 0.0
    return depth


def test_what_no_frame_shows_takes_the_colour_of_its_mirror_image_or_of_its_neighbours():
    mean = np.array([[-40.0, 0, 0], [41, 1, 0], [0, 50, 0], [0, 52, 0], [3, 50, 0]])
    albedo = np.array([[0.2] * 3, [0.9] * 3, [0.5] * 3, [0.9] * 3, [0.9] * 3])
    known = np.array([True, False, True, False, False])
    filled = appearance._fill(albedo, known, mean)
    np.testing.assert_allclose(filled[[0, 2]], albedo[[0, 2]])
    np.testing.assert_allclose(filled[1], 0.2)
    np.testing.assert_allclose(filled[4], filled[4][0])
    # Each is nearest to the vertex of 0.5, with the one of 0.2 far off.
    assert np.all((filled[3:] > 0.45) & (filled[3:] <= 0.5))


def test_an_albedo_is_a_share_whatever_the_picture():
    noise = np.random.default_rng(1).uniform(size=(32, 32, 3))
    found = estimate(noise, pose(yaw=0.4))
    assert found.albedo.shape == MODEL.mean.shape and found.albedo.dtype == np.float32
    assert found.albedo.min() >= 0 and found.albedo.max() <= 1 and np.isfinite(found.light).all()


def test_a_face_outside_the_image_is_refused():
    beside = pose()
    beside[0, 3] = 5000
    with pytest.raises(InputError, match="no part of the face lies inside"):
        estimate(np.zeros((32, 32, 3)), beside)
