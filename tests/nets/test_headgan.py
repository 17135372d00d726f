"""HeadGAN's generator at its published size (shapes alone) and in miniature."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import blocks, headgan

KEY = jax.random.key(0, impl="unsafe_rbg")  # compiles fast


def generator(
    width=2, hidden=3, *, levels=2, residual=False, mask=False, flow=True, shuffle=True,
    spectral=True, from_warped=False, dtype=jnp.float32,
):  # fmt: skip
    conv = functools.partial(blocks.SpectralConv if spectral else blocks.PlainConv, dtype=dtype)
    spade = functools.partial(
        blocks.SpadeBlock, hidden=hidden, residual=residual, conv=conv, dtype=dtype
    )
    adain = functools.partial(blocks.AdainBlock, conv=conv, dtype=dtype)
    widths = tuple(width * (4 if shuffle else 2) ** i for i in range(levels + 1))
    decoding = headgan.SHUFFLED if shuffle else headgan.REPEATED
    flow_net = (
        headgan.FlowNet(widths, decoding, spade, conv, mask, dtype)
        if flow
        else headgan.StillNet(widths, conv, dtype)
    )
    renderer = headgan.Renderer(widths, decoding, spade, adain, conv, from_warped, dtype)
    return headgan.Generator(flow_net, renderer)


def inputs(height, width, batch=2, audio=5, seed=1):
    keys = jax.random.split(jax.random.key(seed), 3)
    reference = jax.random.uniform(keys[0], (batch, height, width, 6))
    label = jax.random.uniform(keys[1], (batch, height, width, 9))
    return reference, label, jax.random.normal(keys[2], (batch, audio)) if audio else None


def published(audio=300, **options):
    """Parameter counts and the output's shapes at full size, computed without allocating."""
    net = generator(32, 256, **options)
    args = jax.eval_shape(lambda: inputs(256, 256, batch=1, audio=audio))
    output, variables = jax.eval_shape(
        lambda *args: net.init_with_output(KEY, *args, train=False), *args
    )
    size = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
    params = variables["params"]
    return size(params), size(params["flow_net"]), size(params["renderer"]), output


RELEASED = {"mask": True, "residual": True}


def test_the_released_generator_has_the_published_size():
    *sizes, output = published(**RELEASED)
    assert sizes == [51_750_502, 30_606_179, 21_144_323]
    assert output.image.shape == output.warped.shape == (1, 256, 256, 3)
    assert output.flow.shape == (1, 256, 256, 2)


def test_the_papers_generator_has_the_published_size():
    assert published()[:3] == (51_748_933, 30_604_610, 21_144_323)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"audio": 0}, 45_908_134),
        ({"flow": False}, 21_781_763),
        ({"shuffle": False}, 10_484_646),
    ],
)
def test_each_ablation_has_the_published_size(options, size):
    assert published(**(RELEASED | options))[0] == size


@functools.cache
def small(**options):
    net = generator(**options)
    args = inputs(16, 24)
    return net, jax.jit(functools.partial(net.init, train=False))(KEY, *args), args


def run(net, variables, args):
    return jax.jit(functools.partial(net.apply, train=False))(variables, *args)


def with_flow(variables, dx, dy):
    """The variables of a net whose flow is the same everywhere."""
    params = variables["params"]
    head = jax.tree.map(jnp.zeros_like, params["flow_net"]["flow"])
    head["bias"] = jnp.array([dx, dy])
    return {**variables, "params": {**params, "flow_net": {**params["flow_net"], "flow": head}}}


def test_outputs_have_the_images_size_and_range():
    net, variables, args = small()
    output = run(net, variables, args)
    assert output.image.shape == output.warped.shape == (2, 16, 24, 3)
    assert output.flow.shape == (2, 16, 24, 2)
    assert float(jnp.max(jnp.abs(output.image))) <= 1
    np.testing.assert_array_equal(output.mask, 1)


def test_the_flow_moves_the_references_image():
    net, variables, args = small()
    output = run(net, with_flow(variables, 3.0, 1.0), args)
    np.testing.assert_allclose(output.warped[:, :-1, :-3], args[0][:, 1:, 3:, 3:], atol=1e-5)


def test_the_flow_moves_coarser_features_by_as_many_image_pixels():
    image = jax.random.uniform(jax.random.key(0), (1, 16, 24, 3))
    fine = jax.random.uniform(jax.random.key(1), (1, 16, 24, 2))
    coarse = jax.random.uniform(jax.random.key(2), (1, 4, 6, 5))
    middle = jnp.zeros((1, 8, 12, 1))
    flow = jnp.broadcast_to(jnp.array([4.0, 8.0]), (1, 16, 24, 2))
    warped = headgan._warp(image, (fine, middle, coarse), flow, jnp.ones((1, 16, 24, 1)))
    np.testing.assert_allclose(warped.features[0][:, :-8, :-4], fine[:, 8:, 4:], atol=1e-5)
    np.testing.assert_allclose(warped.features[2][:, :-2, :-1], coarse[:, 2:, 1:], atol=1e-5)


@pytest.mark.slow
def test_a_closed_mask_copies_the_reference_in_place():
    net, variables, args = small(mask=True)
    variables = with_flow(variables, 3.0, 1.0)
    flow_net = variables["params"]["flow_net"]
    flow_net["mask"] = {**flow_net["mask"], "bias": jnp.array([-20.0])}
    output = run(net, variables, args)
    np.testing.assert_allclose(output.flow, 0, atol=1e-5)
    np.testing.assert_allclose(output.warped, args[0][..., 3:], atol=1e-5)


def test_one_reference_serves_a_batch():
    net, variables, (reference, label, audio) = small()
    copies = jnp.broadcast_to(reference[:1], reference.shape)
    one, many = (
        run(net, variables, (reference[:1], label, audio)),
        run(net, variables, (copies, label, audio)),
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one, many)


def test_without_flow_the_reference_stays():
    net, variables, args = small(flow=False)
    output = run(net, variables, args)
    np.testing.assert_array_equal(output.warped, args[0][..., 3:])
    np.testing.assert_array_equal(output.flow, 0)


def test_sound_changes_the_image_and_not_the_flow():
    net, variables, (reference, label, audio) = small()
    a = run(net, variables, (reference, label, audio))
    b = run(net, variables, (reference, label, audio + 100))
    assert float(jnp.max(jnp.abs(a.image - b.image))) > 1e-6
    np.testing.assert_array_equal(a.flow, b.flow)


@pytest.mark.slow
def test_a_net_without_spectral_norm_has_no_stats():
    _, variables, _ = small(spectral=False)
    assert set(variables) == {"params"}


def test_half_precision_stays_near_full_with_float32_flow():
    _, variables, args = small()
    half = run(generator(dtype=jnp.bfloat16), with_flow(variables, 0.4, 0.0), args)
    full = run(generator(), with_flow(variables, 0.4, 0.0), args)
    assert half.image.dtype == half.flow.dtype == jnp.float32
    np.testing.assert_allclose(half.image, full.image, atol=0.02)
    np.testing.assert_allclose(half.warped, full.warped, atol=1e-3)


def test_a_reference_of_another_size_is_refused():
    net, variables, (reference, label, audio) = small()
    with pytest.raises(ValueError, match="label"):
        net.apply(variables, reference[:, :8], label, audio, train=False)


@pytest.mark.slow
def test_a_renderer_that_starts_from_the_warped_image_shows_it_when_its_head_is_zero():
    net = generator(from_warped=True)
    args = inputs(16, 24)
    variables = net.init(KEY, *args, train=False)
    head = variables["params"]["renderer"]["image"]
    head.update(jax.tree.map(jnp.zeros_like, head))
    output = net.apply(variables, *args, train=False)
    np.testing.assert_allclose(output.image, jnp.clip(output.warped, -0.998, 0.998), atol=1e-5)
