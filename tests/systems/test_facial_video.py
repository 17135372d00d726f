import functools
import logging
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax import losses, speakers
from facejax.errors import InputError
from facejax.geometry.camera import camera_from_pose, project
from facejax.geometry.face_image import face_colors, face_image
from facejax.geometry.mesh import mesh_topology
from facejax.geometry.morphable import face_shape
from facejax.geometry.rotations import euler_to_matrix
from facejax.nets import vgg
from facejax.systems import facial_video, facial_video_inputs
from tests import fake_headgan, fake_windows
from tests.nets.test_vgg import torch_state

KEY = jax.random.key(0)
PRESETS = ("paper", "released")
WITHOUT = {"lambda_adversarial": 0.0}

# Half the compile time; the results differ by rounding.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def config(preset="paper", **options):
    arguments = fake_windows.SMALL | facial_video.PRESETS[preset]() | options
    return facial_video.Config(**arguments)


def frozen(**options):
    return jax.tree.map(speakers.as_numbers, fake_windows.frozen(**options))


@functools.cache
def start(preset="paper", options=()):
    """The system, and numbers in the shapes of its first parameters and stats."""
    system = facial_video.make(config(preset, **dict(options)))
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(system.init, KEY, frozen(), fake_windows.batch())
    fill = lambda leaf: (0.2 * rng.normal(size=leaf.shape)).astype(leaf.dtype)
    return system, *jax.tree.map(fill, shapes)


@functools.cache
def differentiated(loss):
    """The loss with its gradient: one compilation serves every test of either."""
    return jit(jax.value_and_grad(loss, has_aux=True))


@functools.cache
def compiled(function):
    return jit(function)


def generator_loss():
    system, params, stats = start()
    arguments = params["gen"], params["dis"], stats, frozen(), fake_windows.batch(), KEY
    return differentiated(system.generator_loss)(*arguments)


def discriminator_loss():
    system, params, stats = start()
    arguments = params["dis"], params["gen"], stats, frozen(), fake_windows.batch(), KEY
    return differentiated(system.discriminator_loss)(*arguments)


def generate(inputs):
    system, params, stats = start()
    inputs = {name: inputs[name] for name in ("motion", "speaker")}
    return compiled(system.generate)(params["gen"], stats, frozen(), inputs)


def all_finite(tree):
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


# What is drawn.


def still(*poses, blink=0.0):
    """The motion of two frames without identity and expression."""
    return {
        "identity": np.zeros((2, 2), np.float32),
        "expression": np.zeros((2, 3), np.float32),
        "pose": np.asarray(poses, np.float32),
        "blink": np.full(2, blink, np.float32),
    }


@functools.cache
def drawer(preset):
    return jit(functools.partial(facial_video_inputs.draw, config(preset)))


def draw(motion, given=None, preset="paper", speaker=(0, 0)):
    given = given or frozen(height=24, width=24)
    return drawer(preset)(given, motion, np.asarray(speaker, np.float32))


def test_in_even_white_light_the_face_has_its_albedo_and_lies_on_black():
    given = frozen(height=24, width=24)
    motion = still([0.2, 0.3, 0.1, 5, 0, 720], [0.0, 0.0, 0.0, 0, 0, 900])
    model = given["morphable"]
    colors = np.clip(face_colors(model.mean), 0.1, 0.9)
    given["appearance"]["albedo"][0] = colors
    drawn = draw(motion, given)
    camera = camera_from_pose(jnp.asarray(motion["pose"]), 24, 24)
    vertices = jnp.broadcast_to(model.mean, (2, *model.mean.shape))
    topology = mesh_topology(model.faces, len(model.mean))
    due = face_image(vertices, camera, topology, jnp.asarray(colors), 24, 24)
    inside = np.asarray(due).any(-1)
    assert 0.2 < inside.mean() < 0.9
    np.testing.assert_allclose(drawn.render[inside], 2 * due[inside] - 1, atol=1e-5)
    assert np.all(np.asarray(drawn.render)[~inside] == -1)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_light_stays_in_the_scene_and_in_the_released_code_turns_against_the_head(preset):
    given = frozen(height=24, width=24)
    given["appearance"]["albedo"][:] = 0.5
    light = given["appearance"]["light"]
    light[:] = 0
    light[:, 0], light[:, 3] = 2.0, 1.2  # brighter to the image's right
    model = given["morphable"]._replace(mean=given["morphable"].mean * np.float32([1, 1, 0]))
    given["morphable"] = model  # a flat sheet: one normal
    yaws = (-0.5, 0.5)
    drawn = draw(still(*([0.3, yaw, 0.2, 0, 0, 720] for yaw in yaws)), given, preset)
    for render, yaw in zip(np.asarray(drawn.render), yaws, strict=True):
        turn = np.asarray(euler_to_matrix(jnp.array([0.3, yaw, 0.2])), np.float64)
        x = (turn.T if preset == "released" else turn)[0, 2]  # of the normal
        shading = 2.0 * 0.2820948 + 1.2 * 0.4886025 * x
        np.testing.assert_allclose(render[render > -1], 2 * 0.5 * shading - 1, atol=1e-5)


def test_each_row_is_drawn_as_its_speaker():
    given = frozen(height=24, width=24)
    given["appearance"]["albedo"][0], given["appearance"]["albedo"][1] = 0.2, 0.8
    drawn = draw(still(*[[0, 0, 0, 0, 0, 720]] * 2), given, speaker=(1, 0))
    brightest = np.asarray(drawn.render).max((1, 2, 3))
    np.testing.assert_allclose(brightest, [0.6, -0.6], atol=1e-5)


ellipses = jit(lambda *given: facial_video_inputs.eye_ellipses(config(), *given, 64, 64))
POSES = [
    [0.0, 0.0, 0.0, 0, 0, 480],
    [0.2, 0.5, -0.4, 10, -6, 600],
    [-0.3, -0.9, 0.8, 0, 20, 700],
]


@pytest.mark.parametrize("pose", POSES)
def test_the_eyes_ellipses_are_those_of_the_face_plane_seen_by_the_camera(pose):
    model, size = fake_headgan.model(), 64
    identity = np.array([[0.5, -1.0]], np.float32)
    camera = camera_from_pose(jnp.asarray([pose], jnp.float32), size, size)
    found = ellipses(model, jnp.asarray(identity), camera)
    face = np.asarray(face_shape(model, identity, np.zeros((1, 3), np.float32)))[0]
    due = np.zeros((size, size))
    rotation = np.asarray(camera.rotation[0], np.float64)[:2, :2] * float(camera.scale[0])
    for first, end in ((36, 42), (42, 48)):
        centre = face[model.landmarks[first:end]].mean(0)
        place = np.asarray(project(jnp.asarray(centre[None, None]), camera))[0, 0, :2]
        for row in range(size):
            for column in range(size):
                offset = np.linalg.solve(rotation, [column + 0.5 - place[0], row + 0.5 - place[1]])
                inside = (offset[0] / 17.8) ** 2 + (offset[1] / 6.7) ** 2 < 1
                due[row, column] = max(due[row, column], inside)
    assert 20 < due.sum() < 1000
    np.testing.assert_array_equal(np.asarray(found[0, ..., 0]) > 0.5, due > 0)
    assert np.mean((found > 0) & (found < 1)) < 0.1


def test_a_face_that_looks_away_has_no_ellipses():
    turned = lambda yaw: [0.0, yaw, 0.0, 0, 0, 720]
    for yaws in ((1.4, 1.75), (0.1, 3.1)):
        drawn = draw(still(*map(turned, yaws), blink=5))
        assert all_finite(drawn)
        assert np.asarray(drawn.inside > 0).any((1, 2, 3)).tolist() == [True, False]


def test_the_eyes_do_not_move_with_the_expression():
    motion = still(*[[0.1, 0.2, 0.0, 0, 0, 720]] * 2, blink=3)
    motion["expression"][1] = 1
    drawn = draw(motion)
    np.testing.assert_array_equal(drawn.inside[0], drawn.inside[1])
    assert bool(jnp.any(drawn.render[0] != drawn.render[1]))


@functools.cache
def window_drawer(preset):
    return jit(functools.partial(facial_video_inputs.of_windows, config(preset)))


def frames_of(preset, blink):
    """The drawn windows, and their frames [B, H, W, 10, C], of a batch with blinks [10]."""
    inputs = fake_windows.batch()
    inputs["motion"]["blink"][:] = blink
    seen = window_drawer(preset)(frozen(), {k: inputs[k] for k in ("motion", "speaker")})
    return seen, np.asarray(seen.condition).reshape(2, 16, 16, 10, -1)


BLINKS = [-1.0, 0, 1, 2, 3, 4, 5, 6, 2.5, 5]


def test_attention_lies_beside_each_frame_as_a_share_of_the_firmest_blink():
    _, full = frames_of("paper", 5.0)
    seen, frames = frames_of("paper", BLINKS)
    inside = full[..., 3]
    assert inside.max() > 0.5 and inside.min() == 0 and frames.shape[-1] == 4
    due = inside * [0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1, 0.5, 1]
    np.testing.assert_allclose(frames[..., 3], due, atol=1e-6)
    np.testing.assert_array_equal(frames[..., :3], full[..., :3])
    np.testing.assert_array_equal(frames[..., 6, :3], seen.render)
    np.testing.assert_array_equal(frames[..., 6, 3:], seen.attention)


def test_the_released_code_overwrites_the_eyes_with_the_raw_intensity():
    _, full = frames_of("paper", 5.0)
    _, frames = frames_of("released", BLINKS)
    inside = full[..., 3] > 0.5
    assert frames.shape[-1] == 3 and inside.any()
    due = np.broadcast_to(np.float32(BLINKS), inside.shape)
    for channel in range(3):
        np.testing.assert_allclose(frames[..., channel][inside], due[inside], atol=1e-6)
    assert np.abs(frames[~inside]).max() <= 1


def test_a_stretch_is_its_windows_each_frame_drawn_once():
    rng = np.random.default_rng(3)
    stretch = fake_windows.motion(rng, 11)
    inputs = {"motion": stretch, "speaker": np.float32(1)}
    rows = np.arange(2)[:, None] + np.arange(10)
    windows = {name: x[rows] for name, x in stretch.items() if name != "identity"}
    windows["identity"] = np.repeat(stretch["identity"][None], 2, axis=0)
    due = window_drawer("paper")(frozen(), {"motion": windows, "speaker": np.ones(2, np.float32)})
    found = jit(functools.partial(facial_video_inputs.of_stretch, config()))(frozen(), inputs)
    for name, value in due._asdict().items():
        np.testing.assert_allclose(getattr(found, name), value, atol=1e-5)
    system, params, stats = start()
    output = jax.eval_shape(system.generate, params["gen"], stats, frozen(), inputs)
    assert output["image"].shape == (2, 16, 16, 3)


def test_generate_returns_what_a_sheet_shows():
    output = generate(fake_windows.batch())
    sizes = {name: value.shape for name, value in output.items()}
    image = (2, 16, 16, 3)
    assert sizes == {"image": image, "render": image, "attention": (2, 16, 16, 1)}
    assert float(jnp.abs(output["image"]).max()) <= 1


# Losses.


def test_the_loss_is_the_weighted_sum_of_its_terms():
    (loss, (_, terms)), gradient = generator_loss()
    weights = {"l1": 50, "adversarial": 1, "matching": 2}
    assert terms.keys() == weights.keys()
    due = sum(weights[name] * float(term) for name, term in terms.items())
    assert float(loss) == pytest.approx(due, rel=1e-5)
    assert all_finite(gradient)


def test_the_discriminators_loss_is_half_of_both_sides():
    (loss, (_, terms)), gradient = discriminator_loss()
    due = (float(terms["real"]) + float(terms["fake"])) / 2
    assert float(loss) == pytest.approx(due, rel=1e-6)
    assert all_finite(gradient)


def test_features_match_as_in_pix2pixhd():
    rng = np.random.default_rng(0)
    features = lambda: [[rng.normal(size=(1, 4, 4, 2)) for _ in range(4)] for _ in range(3)]
    real, fake = features(), features()
    layers = 3  # as that code counts: those with a stride and a norm
    due = sum(
        4 / (layers + 1) / len(real) * np.abs(f - r).mean()
        for reals, fakes in zip(real, fake, strict=True)
        for r, f in zip(reals, fakes, strict=True)
    )
    to_jax = functools.partial(jax.tree.map, jnp.asarray)
    found = facial_video.MATCHING * losses.feature_matching(to_jax(real), to_jax(fake))
    assert float(found) == pytest.approx(due, rel=1e-5)


def test_without_vgg_weights_the_run_says_so_and_names_the_flag(caplog):
    with caplog.at_level(logging.WARNING):
        facial_video.make(config())
    assert re.search(r"perceptual loss is off.*--config\.model\.vgg=", caplog.text)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        facial_video.make(config(lambda_vgg=0.0))
    assert not caplog.text


def test_with_vgg_weights_the_perceptual_term_is_there(tmp_path, monkeypatch):
    stages = ((2, 2),) * 2 + ((2,) * 4,) * 2 + ((2,),)
    monkeypatch.setattr(vgg, "STAGES", stages)
    np.savez(tmp_path / "vgg19.npz", **torch_state(stages))
    system = facial_video.make(config(vgg=str(tmp_path / "vgg19.npz"), **WITHOUT))
    given, params = frozen() | system.frozen, start()[1]
    arguments = params["gen"], {}, {}, given, fake_windows.batch(), KEY
    _, (_, terms) = jax.eval_shape(system.generator_loss, *arguments)
    assert set(terms) == {"l1", "vgg"}
    without = facial_video.make(config(vgg=str(tmp_path / "vgg19.npz"), lambda_vgg=0.0, **WITHOUT))
    assert not without.frozen


def test_without_adversarial_weight_there_is_no_discriminator():
    system, params, stats = start("paper", tuple(WITHOUT.items()))
    assert params["dis"] == {}
    loss, (after, terms) = system.discriminator_loss({}, params["gen"], stats, {}, {}, KEY)
    assert loss == 0 and terms == {} and after is stats
    arguments = params["gen"], {}, stats, frozen(), fake_windows.batch(), KEY
    _, (_, terms) = jax.eval_shape(system.generator_loss, *arguments)
    assert set(terms) == {"l1"}


def twenty_steps(loss, trained, other, stats):
    """Descends the gradient's signs on one batch; returns the first and the last terms."""
    batch, history = fake_windows.batch(), []
    for _ in range(20):
        arguments = trained, other, stats, frozen(), batch, KEY
        (_, (stats, terms)), gradient = differentiated(loss)(*arguments)
        trained = jax.tree.map(lambda x, g: np.asarray(x) - 4e-3 * np.sign(g), trained, gradient)
        history.append({name: float(term) for name, term in terms.items()})
    return history[0], history[-1]


def test_twenty_steps_on_one_batch_lower_the_generators_losses():
    system, params, stats = start()
    first, last = twenty_steps(system.generator_loss, params["gen"], params["dis"], stats)
    assert last["l1"] < 0.9 * first["l1"]
    assert last["adversarial"] < first["adversarial"] and last["matching"] < first["matching"]


def test_twenty_steps_on_one_batch_lower_the_discriminators_loss():
    system, params, stats = start()
    first, last = twenty_steps(system.discriminator_loss, params["dis"], params["gen"], stats)
    assert last["real"] + last["fake"] < 0.9 * (first["real"] + first["fake"])


# Sizes and borders.


@pytest.mark.parametrize(
    ("preset", "generator", "discriminator"),
    [("paper", 88_493_795, 8_417_091), ("released", 88_446_755, 8_386_371)],
)
def test_the_full_size_has_the_published_counts(preset, generator, discriminator):
    system = facial_video.make(facial_video.Config(**facial_video.PRESETS[preset]()))
    batch = jax.eval_shape(lambda: fake_windows.batch(1, 512, 512))
    params, _ = jax.eval_shape(system.init, KEY, {}, batch)
    size = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
    assert size(params["gen"]) == generator and size(params["dis"]) == discriminator


def test_the_first_parameters_are_drawn_from_the_key():
    init = jit(facial_video.make(config(**WITHOUT)).init)
    one, same, other = (
        init(jax.random.key(k), frozen(), fake_windows.batch())[0]["gen"] for k in (0, 0, 1)
    )
    kernel = lambda tree: np.asarray(tree["first"]["kernel"])
    np.testing.assert_array_equal(kernel(one), kernel(same))
    assert np.any(kernel(one) != kernel(other))
    assert kernel(one).std() == pytest.approx(0.02, rel=0.1)


def test_half_precision_keeps_parameters_and_results_in_full():
    system, params, stats = start("paper", (("bfloat16", True), *WITHOUT.items()))
    program = jax.jit(system.generate).lower(params["gen"], stats, frozen(), fake_windows.batch())
    assert "bf16" in program.as_text()
    for tree in (params, program.out_info):
        assert {leaf.dtype for leaf in jax.tree.leaves(tree)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, r"model\.width is 0; due: 1 or more"),
        ({"width": 3}, r"model\.width is 3; due: an even number"),
        ({"halvings": 0}, r"model\.halvings"),
        ({"residuals": -1}, r"model\.residuals"),
        ({"attention": "beside"}, r"model\.attention is 'beside'; due: concat or overwrite"),
        ({"blink": "half"}, r"model\.blink is 'half'; due: scaled or raw"),
        ({"eye_width": 0.0}, r"model\.eye_width"),
        ({"lambda_l1": -1.0}, r"model\.lambda_l1"),
        ({"lambda_matching": float("nan")}, r"model\.lambda_matching"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_is_due(options, message):
    with pytest.raises(InputError, match=message):
        config(**options)


@pytest.mark.parametrize("size", [4, 18])
def test_an_image_that_the_halvings_do_not_divide_is_refused_in_one_line(size):
    system = facial_video.make(config(**WITHOUT))
    with pytest.raises(InputError, match=rf"{size}x{size} px; due: multiples of 4 px, 8 or more"):
        system.init(KEY, frozen(), fake_windows.batch(height=size, width=size))
