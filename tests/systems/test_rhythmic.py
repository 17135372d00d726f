import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax import images, losses
from facejax.errors import InputError
from facejax.geometry import rigid_motion
from facejax.systems import rhythmic, rhythmic_inputs
from tests import fake_few_shots, fake_headgan

KEY = jax.random.key(0)
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def config(preset="paper", **options):
    arguments = rhythmic.PRESETS[preset]() | fake_few_shots.SMALL | options
    return rhythmic.Config(**arguments)


def frozen():
    return {"morphable": fake_headgan.model()}


@functools.cache
def start(preset="paper", options=()):
    """The system, and numbers in the shapes of its first parameters and statistics."""
    system = rhythmic.make(config(preset, **dict(options)))
    rng = np.random.default_rng(0)

    def fill(path, leaf):
        noise = 0.3 * rng.normal(size=leaf.shape)
        return (1 + abs(noise) if path[-1].key == "var" else noise).astype(np.float32)

    shapes = jax.eval_shape(system.init, KEY, frozen(), fake_few_shots.batch())
    return system, *jax.tree_util.tree_map_with_path(fill, shapes)


@functools.cache
def differentiated(options=()):
    system, params, stats = start("paper", options)
    run = jit(jax.value_and_grad(system.generator_loss, has_aux=True))
    return run(params["gen"], params["dis"], stats, frozen(), fake_few_shots.batch(), KEY)


MESH = (("flow_target", "mesh"), ("lambda_l1", 5.0))


def test_eq_8_is_the_weighted_sum_of_its_terms_and_reaches_every_parameter():
    (loss, (_, terms)), gradient = differentiated(MESH)
    weights = {"adversarial": 1, "matching": 10, "l1": 5, "l1_raw": 5}
    weights |= dict.fromkeys(terms.keys() - weights.keys(), 10)
    assert set(terms) == {
        "adversarial", "matching", "l1", "l1_raw", "warp_matched", "warp_projection",
        "flow_matched", "flow_projection",
    }  # fmt: skip
    np.testing.assert_allclose(loss, losses.weighted_sum(terms, weights), rtol=1e-5)
    norms = jax.tree.map(lambda x: float(jnp.abs(x).sum()), gradient)
    assert all(np.isfinite(x) for x in jax.tree.leaves(norms))
    still = [
        jax.tree_util.keystr(path)
        for path, norm in jax.tree_util.tree_flatten_with_path(norms)[0]
        if norm == 0
    ]
    assert not still, still


def test_statistics_move_with_their_own_net_alone():
    (_, (stats, _)), _ = differentiated(MESH)
    before = start("paper", MESH)[2]
    same = jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), stats, before)
    assert all(jax.tree.leaves(same["dis"]))
    assert not any(jax.tree.leaves(same["gen"]["batch_stats"]))


def test_the_discriminators_hinge_counts_each_output():
    system, params, stats = start("paper", MESH)
    run = jit(system.discriminator_loss)
    loss, (new, terms) = run(
        params["dis"], params["gen"], stats, frozen(), fake_few_shots.batch(), KEY
    )
    assert set(terms) == {"hinge"}
    assert float(loss) == float(terms["hinge"]) > 0
    assert jax.tree.structure(new) == jax.tree.structure(stats)
    jax.tree.map(np.testing.assert_array_equal, new["gen"], stats["gen"])


@functools.cache
def generator(preset, options=()):
    system, params, stats = start(preset, options)
    run = jit(system.generate)
    return lambda inputs: run(params["gen"], stats, frozen(), inputs)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name.startswith("without h") else [])
        for name in rhythmic.ABLATIONS
        if name != "full"
    ],
)
def test_an_ablation_takes_out_its_own_part_alone(name):
    changes = rhythmic.ABLATIONS[name]
    options = (*changes.items(), ("norm", "instance"))
    system = rhythmic.make(config(**dict(options)))
    batch = fake_few_shots.batch()
    params, stats = jax.eval_shape(system.init, KEY, frozen(), batch)
    parts = {
        "without 3D-aware": {"matched", "matched_embedder"},
        "without hybrid attention": {
            "matched", "projection", "matched_embedder", "projection_embedder",
        },
        "without non-linear composition": {"matched", "projection"},
        "without warping": {"matched", "projection", "matched_embedder", "projection_embedder"},
        "baseline": set(),
    }[name]  # fmt: skip
    everywhere = {"embedding", "fusion", "landmark_embedder", "decoder"}
    assert set(params["gen"]) == everywhere | parts
    attends = {"key", "query", "merge"} <= set(params["gen"]["embedding"])
    assert attends == (changes.get("attention") != "mean")
    made = jax.eval_shape(
        system.generate, params["gen"], stats, frozen(), fake_few_shots.inputs(batch)
    )
    assert made["image"].shape == (2, 16, 16, 3)
    assert ("warped" in made, "projection" in made) == ("matched" in parts, "projection" in parts)


def test_one_set_of_references_serves_many_targets():
    batch, run = fake_few_shots.batch(), generator("paper", MESH)
    shared = fake_few_shots.inputs(batch, 1)
    twice = jax.tree.map(lambda x: np.repeat(x, 2, 0), shared)
    twice |= {name: shared[name] for name in ("matched", "landmarks", "head")}
    one, two = run(shared), run(twice)
    assert one["image"].shape == (2, 16, 16, 3)
    for name in ("image", "warped", "projection", "attention"):
        np.testing.assert_allclose(one[name], two[name], atol=2e-4)


@pytest.mark.slow
def test_targets_of_a_clip_see_what_each_would_see_with_its_own_references():
    clips, targets = fake_few_shots.batch(rows=2), fake_few_shots.batch(rows=4, seed=1)
    names = ("references", "reference_landmarks", "key_frame", "reference_motion")
    shared = {name: clips[name] for name in names}
    own = {k: targets[k] for k in ("target", "landmarks", "target_motion", "head", "matched")}
    repeated = jax.tree.map(lambda x: np.repeat(x, 2, 0), shared)
    settings = config("paper", flow_target="mesh")
    seen, due = (
        rhythmic_inputs.draw_inputs(settings, frozen(), given | own) for given in (shared, repeated)
    )
    for name in ("sketch", "matched", "matched_sketch", "projection", "projection_sketch"):
        np.testing.assert_allclose(getattr(seen, name), getattr(due, name), atol=1e-4)
    assert len(seen.references) == 2
    flows = lambda given: rhythmic_inputs.flow_targets(settings, frozen(), given | own)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), flows(shared), flows(repeated)
    )


@pytest.mark.slow
def test_a_projection_that_is_given_counts_as_the_one_that_is_drawn():
    batch, run = fake_few_shots.batch(), generator("paper", MESH)
    inputs = fake_few_shots.inputs(batch)
    drawn = run(inputs)
    face = rhythmic_inputs.key_face(frozen()["morphable"], batch["key_frame"])
    moved = rigid_motion.from_canonical(face.landmarks, batch["head"])
    for name in ("key_frame", "head"):
        del inputs[name]
    inputs |= {"projection": drawn["projection"], "projection_landmarks": moved[..., :2]}
    np.testing.assert_allclose(run(inputs)["image"], drawn["image"], atol=1e-5)


def test_fewer_references_than_the_gates_are_for_are_repeated():
    batch, run = fake_few_shots.batch(), generator("paper", MESH)
    inputs = fake_few_shots.inputs(batch) | {"matched": np.zeros(2, np.float32)}
    one = {name: inputs[name][:, :1] for name in ("references", "reference_landmarks")}
    two = {name: np.repeat(value, 2, 1) for name, value in one.items()}
    np.testing.assert_allclose(run(inputs | one)["image"], run(inputs | two)["image"], atol=1e-5)


def test_more_references_than_the_gates_are_for_are_refused():
    batch = fake_few_shots.batch(count=3)
    with pytest.raises(InputError, match=r"3 references and model\.shots is 2"):
        rhythmic_inputs.draw_inputs(config(), frozen(), fake_few_shots.inputs(batch))
    seen = jax.eval_shape(
        functools.partial(rhythmic_inputs.draw_inputs, config("released"), frozen()),
        fake_few_shots.inputs(batch),
    )
    assert seen.references.shape == (2, 3, 16, 16, 3)  # without gates any number goes


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="multiple of 8 px"):
        rhythmic_inputs.draw_inputs(
            config(downs=3), frozen(), fake_few_shots.inputs(fake_few_shots.batch(side=12))
        )
    system = rhythmic.make(config(shots=3))
    with pytest.raises(InputError, match=r"data\.references is 2 and model\.shots is 3"):
        system.init(KEY, frozen(), fake_few_shots.batch())


def test_the_meshs_flow_takes_the_target_back_to_where_the_other_image_has_it():
    batch, side = fake_few_shots.batch(side=32), 32
    model = frozen()["morphable"]
    targets = jit(functools.partial(rhythmic_inputs.flow_targets, config(flow_target="mesh")))(
        frozen(), batch
    )
    own = {"identity": batch["key_frame"]["identity"]} | batch["target_motion"]
    here = np.asarray(rhythmic_inputs.screen_of(model, own, side, side))
    chosen = {k: v[np.arange(2), [0, 1]] for k, v in batch["reference_motion"].items()}
    there = np.asarray(rhythmic_inputs.screen_of(model, own | chosen, side, side))
    flow, weight = targets["matched"]
    for b in range(2):
        for v in range(len(here[0])):
            x, y = here[b, v, :2]
            column, row = int(x), int(y)
            inside = 1 < row < side - 2 and 1 < column < side - 2
            if not inside or not weight[b, row - 1 : row + 2, column - 1 : column + 2].all():
                continue
            at = jnp.broadcast_to(jnp.array([x - 0.5, y - 0.5]), (1, side, side, 2))
            base = jnp.stack(jnp.meshgrid(jnp.arange(side), jnp.arange(side)), -1)[None]
            found = images.warp(flow[b : b + 1], at - base)[0, 0, 0]
            np.testing.assert_allclose(found, (there - here)[b, v, :2], atol=1.5)
    assert float(weight.sum()) > 50


def test_mouths_are_cut_out_of_what_is_warped_and_in_use_eyes_too():
    landmarks = np.full((1, 68, 2), 128.0)
    landmarks[0, 48:68] = [100, 200]
    landmarks[0, 36:48] = [60, 40]
    image = jnp.ones((1, 256, 256, 3))
    mouth = rhythmic_inputs.cut_out(image, jnp.asarray(landmarks), eyes=False)
    both = rhythmic_inputs.cut_out(image, jnp.asarray(landmarks), eyes=True)
    assert float(mouth[0, 200, 100, 0]) == -1
    assert float(mouth[0, 40, 60, 0]) == 1
    assert float(both[0, 40, 60, 0]) == -1
    assert int(jnp.sum(mouth[..., 0] < 0)) == 10 * 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"downs": 1}, "model.downs is 1; due: 2 to 7"),
        ({"most_width": 5}, "model.most_width is 5"),
        ({"adaptive_levels": 3}, "model.adaptive_levels is 3; due: 0 to 2"),
        ({"compose": "product"}, "model.compose is 'product'"),
        ({"compose": "concat"}, "raw_loss = False"),
        ({"lambda_warp": -1.0}, "model.lambda_warp is -1.0"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        config(**options)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["released", "released_new"])
def test_published_presets_make_images(preset):
    made = generator(preset)(fake_few_shots.inputs(fake_few_shots.batch()))
    assert np.isfinite(made["image"]).all()
