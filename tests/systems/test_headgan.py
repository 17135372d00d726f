import functools
import logging
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax import losses
from facejax.errors import InputError
from facejax.nets import vgg
from facejax.systems import SYSTEMS, headgan, headgan_inputs, headgan_nets
from tests import fake_headgan
from tests.nets.test_parsing import parsing_state
from tests.nets.test_vgg import torch_state

ENTRY = SYSTEMS["headgan"]
KEY = jax.random.key(0)
WITHOUT = {"lambda_adversarial": 0.0}


# Half the compile time; the results differ by rounding.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def config(preset="paper", **options):
    return ENTRY.Config(**(fake_headgan.SMALL | ENTRY.presets[preset]() | options))


def start(preset="paper", **options):
    """The system, its frozen arrays, and its first parameters and stats."""
    return _start(preset, tuple(options.items()))


@functools.cache
def _start(preset, options):
    system = ENTRY.make(config(preset, **dict(options)))
    frozen = {**system.frozen, "morphable": fake_headgan.model()}
    batch = fake_headgan.batch()
    if preset == "paper" and not options:
        return system, frozen, *jit(system.init)(KEY, frozen, batch)
    # Numbers that need no compilation; what `init` gives is tested on the paper's preset.
    rng, shapes = np.random.default_rng(0), jax.eval_shape(system.init, KEY, frozen, batch)
    fill = lambda leaf: (0.2 * rng.normal(size=leaf.shape)).astype(leaf.dtype)
    return system, frozen, *jax.tree.map(fill, shapes)


@functools.cache
def differentiated(loss):
    """The loss with its gradient: one compilation serves every test of either."""
    return jit(jax.value_and_grad(loss, has_aux=True))


@functools.cache
def compiled(function):
    return jit(function)


def generator_loss(preset="paper", **options):
    system, frozen, params, stats = start(preset, **options)
    batch = fake_headgan.batch()
    arguments = params["gen"], params["dis"], stats, frozen, batch, KEY
    (loss, (stats, terms)), gradient = differentiated(system.generator_loss)(*arguments)
    return loss, terms, stats, gradient


def discriminator_loss(preset="paper", **options):
    system, frozen, params, stats = start(preset, **options)
    batch = fake_headgan.batch()
    arguments = params["dis"], params["gen"], stats, frozen, batch, KEY
    (loss, (stats, terms)), gradient = differentiated(system.discriminator_loss)(*arguments)
    return loss, terms, stats, gradient


def generate(inputs, preset="paper", **options):
    system, frozen, params, stats = start(preset, **options)
    return compiled(system.generate)(params["gen"], stats, frozen, inputs)


def all_finite(tree):
    return all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(tree))


# Presets and terms.


def test_the_papers_preset_is_the_default_and_has_its_terms():
    assert ENTRY.presets["paper"]() == {}
    _, terms, _, _ = generator_loss()
    assert set(terms) == {
        "l1", "l1_warped",
        "adversarial_image", "adversarial_mouth", "matching_image", "matching_mouth",
    }  # fmt: skip


def test_the_released_preset_adds_the_mask_and_masks_the_l1_terms():
    batch = fake_headgan.batch()
    _, terms, _, gradient = generator_loss("released")
    output = generate(fake_headgan.inputs(batch), "released")
    region = losses.face_region(output["face"])
    assert 0 < float(jnp.mean(region)) < 1
    due = losses.masked_l1(output["image"], batch["target"], region)
    assert float(terms["l1"]) == pytest.approx(float(due), rel=0.02)  # one power iteration apart
    due = np.mean(np.abs(output["mask"] - batch["mask"]))
    assert float(terms["mask"]) == pytest.approx(due, rel=0.02)
    assert all_finite(gradient)


def test_the_loss_is_the_weighted_sum_of_its_terms():
    loss, terms, _, _ = generator_loss()
    weights = {"l1": 50, "l1_warped": 50, "adversarial": 1, "matching": 10}
    due = sum(
        float(term) * weights.get(name, weights.get(name.split("_")[0]))
        for name, term in terms.items()
    )
    assert float(loss) == pytest.approx(due, rel=1e-5)


@pytest.mark.slow
def test_the_released_mouth_discriminator_weighs_half():
    for preset, weight in (("paper", 1.0), ("released", 0.5)):
        loss, terms, _, gradient = discriminator_loss(preset)
        due = terms["hinge_image"] + weight * terms["hinge_mouth"]
        assert float(loss) == pytest.approx(float(due), rel=1e-6)
        assert all_finite(gradient)


def test_without_vgg_weights_the_run_says_so_and_names_the_flag(caplog):
    with caplog.at_level(logging.WARNING):
        ENTRY.make(config())
    assert re.search(r"perceptual loss is off.*--config\.model\.vgg=", caplog.text)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        ENTRY.make(config(lambda_vgg=0.0))
    assert not caplog.text


def test_with_vgg_weights_both_perceptual_terms_are_there(tmp_path, monkeypatch):
    stages = ((2, 2),) * 2 + ((2,) * 4,) * 2 + ((2,),)
    monkeypatch.setattr(vgg, "STAGES", stages)
    np.savez(tmp_path / "vgg19.npz", **torch_state(stages))
    options = {"vgg": str(tmp_path / "vgg19.npz"), "levels": 1} | WITHOUT
    _, terms, _, _ = generator_loss(**options)
    assert set(terms) == {"l1", "l1_warped", "vgg", "vgg_warped"}
    assert terms["vgg"] > 0 and terms["vgg_warped"] > 0


def test_a_missing_or_wrong_vgg_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"no weights file nowhere\.pth"):
        ENTRY.make(config(vgg="nowhere.pth"))
    np.savez(tmp_path / "other.npz", weight=np.zeros(3))
    with pytest.raises(InputError, match=r"other\.npz is not torchvision's vgg19.*features\.0"):
        ENTRY.make(config(vgg=str(tmp_path / "other.npz")))


@pytest.mark.parametrize(("winner", "due"), [(0, 0.0), (3, 1.0)])
def test_with_a_parsing_net_the_mask_follows_the_pictures_not_the_data(tmp_path, winner, due):
    state = parsing_state(width=2)
    state["conv_out.conv_out.weight"][:] = 0
    state["conv_out.conv_out.weight"][winner] = 1  # this class wins everywhere
    np.savez(tmp_path / "parsing.npz", **state)
    released = config("released", parsing=str(tmp_path / "parsing.npz"))
    nets = headgan_nets.build(released)
    frozen = ENTRY.make(released).frozen
    mask = jnp.full((2, 16, 20, 1), 0.3)
    table = headgan._mask_terms(released, nets, frozen, mask, fake_headgan.batch())
    assert float(table["mask"][1]) == pytest.approx(abs(0.3 - due), abs=1e-4)


def test_without_masks_in_the_data_the_mask_loss_is_off_and_the_run_says_so(caplog):
    system, frozen, params, stats = start("released")
    batch = fake_headgan.batch()
    del batch["mask"]
    with caplog.at_level(logging.WARNING):
        _, (_, terms) = jax.eval_shape(
            system.generator_loss, params["gen"], params["dis"], stats, frozen, batch, KEY
        )
    assert "mask" not in terms
    assert re.search(r"mask loss is off.*--config\.model\.parsing=", caplog.text)


def test_without_adversarial_weight_there_is_no_discriminator():
    system, frozen, params, stats = start(**WITHOUT)
    assert params["dis"] == {} and stats["dis"] == {}
    loss, (after, terms) = system.discriminator_loss({}, params["gen"], stats, frozen, {}, KEY)
    assert loss == 0 and terms == {} and after is stats


# Learning.


def twenty_steps(loss, trained, other, stats, frozen):
    """Descends the gradient's signs on one batch; returns the first and the last terms."""
    batch, history = fake_headgan.batch(), []
    for _ in range(20):
        arguments = trained, other, stats, frozen, batch, KEY
        (_, (stats, terms)), gradient = differentiated(loss)(*arguments)
        trained = jax.tree.map(lambda x, g: np.asarray(x) - 4e-3 * np.sign(g), trained, gradient)
        history.append({name: float(term) for name, term in terms.items()})
    return history[0], history[-1]


def test_twenty_steps_on_one_batch_lower_the_generators_losses():
    system, frozen, params, stats = start()
    first, last = twenty_steps(system.generator_loss, params["gen"], params["dis"], stats, frozen)
    assert last["l1"] < 0.98 * first["l1"]
    assert last["l1_warped"] < 0.995 * first["l1_warped"]
    assert last["adversarial_image"] < first["adversarial_image"]
    assert last["matching_image"] < first["matching_image"]


def test_twenty_steps_on_one_batch_lower_both_discriminators_losses():
    system, frozen, params, stats = start()
    arguments = params["dis"], params["gen"], stats, frozen
    first, last = twenty_steps(system.discriminator_loss, *arguments)
    assert all(last[name] < 0.95 * first[name] for name in ("hinge_image", "hinge_mouth"))


def test_spectral_vectors_move_each_in_their_own_loss():
    stats = start()[3]
    _, _, after_dis, _ = discriminator_loss()
    _, _, after_gen, _ = generator_loss()
    chex.assert_trees_all_equal(after_dis["gen"], stats["gen"])
    chex.assert_trees_all_equal(after_gen["dis"], stats["dis"])
    moved = lambda a, b: any(
        bool(jnp.any(x != y)) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True)
    )
    assert moved(after_dis["dis"], stats["dis"]) and moved(after_gen["gen"], stats["gen"])


def test_spectral_norms_are_near_one_from_the_first_step():
    _, _, params, stats = start()
    kernel = params["gen"]["flow_net"]["deep_0"]["conv_0"]["kernel"]
    u = stats["gen"]["flow_net"]["deep_0"]["conv_0"]["u"]
    matrix = np.asarray(kernel).reshape(-1, kernel.shape[-1])
    assert np.linalg.norm(matrix @ u) > 0.9 * np.linalg.svd(matrix, compute_uv=False)[0]


@pytest.mark.slow
def test_both_losses_in_one_program_share_the_generators_forward_pass():
    options = {"levels": 1, "dis_scales": 1, "use_mouth_discriminator": False}
    system, frozen, params, stats = start(**options)
    batch = fake_headgan.batch()
    rest = stats, frozen, batch, KEY

    def image(gen, dis):
        return system.generate(gen, stats, frozen, fake_headgan.inputs(batch))["image"]

    def of_generator(gen, dis):
        return jax.grad(system.generator_loss, has_aux=True)(gen, dis, *rest)

    def of_discriminator(gen, dis):
        return jax.grad(system.discriminator_loss, has_aux=True)(dis, gen, *rest)

    def both(gen, dis):
        return of_generator(gen, dis), of_discriminator(gen, dis)

    flops = [
        jit(f).lower(params["gen"], params["dis"]).compile().cost_analysis()["flops"]
        for f in (both, of_generator, of_discriminator, image)
    ]
    assert flops[0] < flops[1] + flops[2] - 0.8 * flops[3]


# Ablations and precision.


@pytest.mark.parametrize(
    "options",
    [
        {"use_audio": False},
        {"use_flow": False} | WITHOUT,
        {"use_mouth_discriminator": False, "levels": 1},
        {"use_pixel_shuffle": False, "spade_residual": True} | WITHOUT,
        {"condition": "sketch", "levels": 1} | WITHOUT,
        {"spectral": False, "levels": 1} | WITHOUT,
        {"bfloat16": True} | WITHOUT,
    ],
    ids=lambda options: next(iter(options)),
)
def test_each_variant_builds_runs_and_has_finite_losses(options):
    system, frozen, params, stats = start(**options)
    arguments = params["gen"], params["dis"], stats, frozen, fake_headgan.batch(), KEY
    loss, (_, terms) = compiled(system.generator_loss)(*arguments)
    assert loss.dtype == jnp.float32 and all_finite(terms)
    assert ("l1_warped" in terms) == options.get("use_flow", True)
    has_mouth = options.get("use_mouth_discriminator", True) and "lambda_adversarial" not in options
    assert ("adversarial_mouth" in terms) == has_mouth


def test_half_precision_keeps_parameters_and_results_in_full():
    _, _, params, stats = start(bfloat16=True, **WITHOUT)
    inputs = fake_headgan.inputs(fake_headgan.batch())
    output = generate(inputs, bfloat16=True, **WITHOUT)
    for tree in (params, stats, output):
        assert {leaf.dtype for leaf in jax.tree.leaves(tree)} == {jnp.dtype("float32")}


# Generation.


def test_generate_returns_what_a_sheet_shows():
    batch = fake_headgan.batch()
    output = generate(fake_headgan.inputs(batch))
    sizes = {name: value.shape for name, value in output.items()}
    image = (2, 16, 20, 3)
    assert sizes == {
        "image": image, "warped": image, "face": image, "reference_face": image,
        "flow": (2, 16, 20, 2), "mask": (2, 16, 20, 1),
    }  # fmt: skip


def test_one_reference_serves_a_batch_of_frames():
    batch = fake_headgan.batch()
    one = fake_headgan.inputs(batch, references=1)
    many = dict(one)
    for name in ("reference", "reference_motion"):
        many[name] = jax.tree.map(lambda x: np.repeat(x, 2, axis=0), one[name])
    a, b = generate(one), generate(many)
    assert a["reference_face"].shape[0] == 1
    np.testing.assert_allclose(a["image"], b["image"], atol=1e-5)


def test_the_face_is_that_of_the_newest_frame():
    batch = fake_headgan.batch()
    older = fake_headgan.inputs(batch)
    older["driving_motion"] = {
        name: value.copy() for name, value in batch["driving_motion"].items()
    }
    older["driving_motion"]["pose"][:, :-1, 1] += 0.5
    a, b = generate(fake_headgan.inputs(batch)), generate(older)
    np.testing.assert_array_equal(a["face"], b["face"])
    assert bool(jnp.any(a["image"] != b["image"]))


# The borders.


def test_the_mouth_window_is_centred_on_the_median_landmark_and_stays_inside():
    landmarks = np.zeros((2, 70, 2), np.float32)
    landmarks[:, 48:68] = [13.6, 9.2]
    landmarks[:, 48:55] = [0, 0]
    landmarks[:, 68:] = [500, 500]  # the pupils do not count in the paper's preset
    corner = headgan_inputs.mouth_corner(config(), jnp.asarray(landmarks))
    np.testing.assert_array_equal(corner, [[9, 5]] * 2)
    landmarks[:, 48:59] = [0, 0]  # 11 of 22 low, so the median lies between
    corner = headgan_inputs.mouth_corner(config("released"), jnp.asarray(landmarks))
    np.testing.assert_array_equal(corner, [[6 - 4, 4 - 4]] * 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, r"model\.width is 0; due: 1 or more"),
        ({"hidden": -1}, r"model\.hidden"),
        ({"levels": 9}, r"model\.levels is 9; due: 1 to 5"),
        ({"condition": "photo"}, r"model\.condition is 'photo'; due: face or sketch"),
        ({"lambda_l1": -1.0}, r"model\.lambda_l1"),
        ({"lambda_vgg": float("nan")}, r"model\.lambda_vgg"),
        ({"mouth_landmarks": 48}, r"model\.mouth_landmarks"),
        ({"lambda_mask": 10.0}, "there is no mask"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_is_due(options, message):
    with pytest.raises(InputError, match=message):
        config(**options)


def test_an_image_that_the_levels_do_not_divide_is_refused_in_one_line():
    system, frozen, _, _ = start(**WITHOUT)
    with pytest.raises(InputError, match=r"20x18 px; due: multiples of 4"):
        system.init(KEY, frozen, fake_headgan.batch(height=18))


def test_a_mouth_window_larger_than_the_image_is_refused():
    system = ENTRY.make(config(mouth_size=64))
    with pytest.raises(InputError, match=r"mouth_size is 64 px"):
        system.init(KEY, {}, fake_headgan.batch())


def test_the_full_size_system_initialises_with_the_published_counts_and_no_memory():
    system = ENTRY.make(ENTRY.Config(**headgan.released()))
    batch = jax.eval_shape(lambda: fake_headgan.batch(1, 256, 256, audio=300))
    params, _ = jax.eval_shape(system.init, KEY, {}, batch)
    size = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
    assert size(params["gen"]) == 51_750_502
    assert size(params["dis"]["image"]) == 5_537_410
    assert size(params["dis"]["mouth"]) == 6_145_666
