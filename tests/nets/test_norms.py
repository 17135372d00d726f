import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import norms


@pytest.fixture
def x():
    return 3 + 2 * jax.random.normal(jax.random.key(0), (2, 4, 6, 5))


@pytest.fixture
def label():
    return jax.random.normal(jax.random.key(1), (2, 8, 12, 3))


def zeros_like(tree):
    return jax.tree.map(jnp.zeros_like, tree)


def by_hand(x):
    x = np.asarray(x, np.float64)
    mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5)


def test_instance_norm_is_its_formula(x):
    np.testing.assert_allclose(norms.instance_norm(x), by_hand(x), atol=1e-5)


def test_instance_norm_of_a_constant_is_zero_with_a_finite_gradient():
    x = jnp.full((1, 3, 4, 2), 7.0)
    np.testing.assert_array_equal(norms.instance_norm(x), 0)
    gradient = jax.grad(lambda x: jnp.sum(norms.instance_norm(x) ** 2))(x)
    assert bool(jnp.all(jnp.isfinite(gradient)))


def test_instance_norm_takes_its_statistics_in_full_precision():
    x = (100 + jax.random.normal(jax.random.key(0), (1, 64, 64, 1))).astype(jnp.bfloat16)
    y = norms.instance_norm(x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), by_hand(x), atol=0.02)


def test_affine_instance_norm_starts_as_instance_norm_and_scales_each_channel(x):
    net = norms.InstanceNorm()
    variables = net.init(jax.random.key(0), x)
    np.testing.assert_allclose(net.apply(variables, x), by_hand(x), atol=1e-5)
    scale, bias = jnp.arange(5.0), jnp.arange(5.0) - 2
    y = net.apply({"params": {"scale": scale, "bias": bias}}, x)
    np.testing.assert_allclose(y, by_hand(x) * np.arange(5) + np.arange(5) - 2, atol=1e-4)


def test_spade_with_zero_modulation_is_instance_norm(x, label):
    net = norms.Spade(hidden=7)
    variables = zeros_like(net.init(jax.random.key(0), x, label))
    np.testing.assert_allclose(net.apply(variables, x, label), by_hand(x), atol=1e-5)


def test_spade_sees_the_top_left_pixel_of_each_block_only(x, label):
    net = norms.Spade(hidden=7)
    variables = net.init(jax.random.key(0), x, label)
    y = net.apply(variables, x, label)
    noise = jnp.ones_like(label).at[:, ::2, ::2].set(0)  # between the pixels that count
    np.testing.assert_array_equal(net.apply(variables, x, label + noise), y)
    assert bool(jnp.any(net.apply(variables, x, label + 1 - noise) != y))


def test_spade_gamma_comes_first_and_is_offset_by_one(x, label):
    net = norms.Spade(hidden=7)
    variables = zeros_like(net.init(jax.random.key(0), x, label))
    gamma, beta = jnp.arange(5.0), 10 + jnp.arange(5.0)
    variables["params"]["gamma_beta"]["bias"] = jnp.concatenate([gamma, beta])
    due = by_hand(x) * (1 + np.arange(5)) + 10 + np.arange(5)
    np.testing.assert_allclose(net.apply(variables, x, label), due, atol=1e-4)


def test_spade_of_one_image_takes_a_batch_of_labels(x, label):
    net = norms.Spade(hidden=7)
    variables = net.init(jax.random.key(0), x[:1], label)
    y = net.apply(variables, x[:1], label)
    copies = jnp.broadcast_to(x[:1], x.shape)
    np.testing.assert_allclose(y, net.apply(variables, copies, label), atol=1e-6)


def test_both_halves_of_spades_joint_kernel_are_initialised_as_layers_of_their_own():
    shape = (3, 3, 40, 2 * 60)
    kernel = norms._xavier_pair(0.02)(jax.random.key(0), shape)
    due = 0.02 * np.sqrt(2 / (9 * 40 + 9 * 60))
    assert float(jnp.std(kernel[..., :60])) == pytest.approx(due, rel=0.05)
    assert float(jnp.std(kernel[..., 60:])) == pytest.approx(due, rel=0.05)


def test_adain_sets_mean_and_deviation_of_each_channel(x):
    net = norms.AdaptiveInstance()
    style = jax.random.normal(jax.random.key(2), (2, 9))
    variables = net.init(jax.random.key(0), x, style)
    variables["params"]["gamma_beta"]["kernel"] *= 50
    y = net.apply(variables, x, style)
    dense = np.asarray(style @ variables["params"]["gamma_beta"]["kernel"])
    np.testing.assert_allclose(y.mean((1, 2)), dense[:, 5:], atol=1e-4)
    np.testing.assert_allclose(y.std((1, 2)), np.abs(1 + dense[:, :5]), atol=1e-3)


@pytest.mark.parametrize(
    "net", [norms.Spade(7, jnp.bfloat16), norms.AdaptiveInstance(jnp.bfloat16)]
)
def test_half_precision_keeps_float32_parameters(net, x, label):
    condition = label if isinstance(net, norms.Spade) else label[:, 0, 0]
    x, condition = x.astype(jnp.bfloat16), condition.astype(jnp.bfloat16)
    variables = net.init(jax.random.key(0), x, condition)
    assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert net.apply(variables, x, condition).dtype == jnp.bfloat16


def batch_norm(x, train, step_axis=None):
    """Output and running statistics of a net whose statistics have moved before."""
    net = norms.BatchNorm(step_axis)
    scale, bias = jnp.arange(1.0, 6.0), jnp.arange(5.0) - 2
    running = {"mean": jnp.arange(5.0), "var": 1 + jnp.arange(5.0)}
    variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": running}
    y, state = net.apply(variables, x, train=train, mutable=["batch_stats"])
    return y, state["batch_stats"]


def test_batch_norm_in_training_takes_the_statistics_of_all_but_the_channels(x):
    y, running = batch_norm(x, True)
    rows = np.asarray(x, np.float64).reshape(-1, 5)
    due = (rows - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5) * np.arange(1, 6) + np.arange(5) - 2
    np.testing.assert_allclose(y.reshape(-1, 5), due, atol=1e-5)
    mean, variance = 0.1 * rows.mean(0), 0.1 * rows.var(0, ddof=1)
    np.testing.assert_allclose(running["mean"], 0.9 * np.arange(5) + mean, atol=1e-5)
    np.testing.assert_allclose(running["var"], 0.9 * (1 + np.arange(5)) + variance, atol=1e-5)


def test_batch_norm_in_use_takes_the_running_statistics_and_leaves_them(x):
    y, running = batch_norm(x, False)
    due = (np.asarray(x) - np.arange(5)) / np.sqrt(1 + np.arange(5) + 1e-5)
    due = due * np.arange(1, 6) + np.arange(5) - 2
    np.testing.assert_allclose(y, due, atol=1e-5)
    np.testing.assert_array_equal(running["mean"], np.arange(5))
    np.testing.assert_array_equal(running["var"], 1 + np.arange(5))


def test_batch_norm_can_take_each_step_of_an_axis_apart(x):
    y, running = batch_norm(x, True, step_axis=2)
    mean, variance = np.arange(5.0), 1 + np.arange(5.0)
    for step in range(6):
        part = np.asarray(x, np.float64)[:, :, step].reshape(-1, 5)
        due = (part - part.mean(0)) / np.sqrt(part.var(0) + 1e-5) * np.arange(1, 6)
        np.testing.assert_allclose(y[:, :, step].reshape(-1, 5), due + np.arange(5) - 2, atol=1e-4)
        mean = 0.9 * mean + 0.1 * part.mean(0)
        variance = 0.9 * variance + 0.1 * part.var(0, ddof=1)
    np.testing.assert_allclose(running["mean"], mean, atol=1e-5)
    np.testing.assert_allclose(running["var"], variance, atol=1e-5)


def test_batch_norm_starts_at_zero_and_one_whatever_it_is_started_with(x):
    variables = norms.BatchNorm().init(jax.random.key(0), x, train=True)
    np.testing.assert_array_equal(variables["batch_stats"]["mean"], 0)
    np.testing.assert_array_equal(variables["batch_stats"]["var"], 1)


def test_batch_norm_keeps_its_statistics_in_full_precision():
    x = (100 + jax.random.normal(jax.random.key(0), (512, 5))).astype(jnp.bfloat16)
    y, running = batch_norm(x, True)
    assert (y.dtype, running["mean"].dtype) == (jnp.bfloat16, jnp.float32)
    due = 0.9 * np.arange(5) + 0.1 * np.asarray(x, np.float64).mean(0)
    np.testing.assert_allclose(running["mean"], due, rtol=1e-5)


def test_a_batch_of_one_value_has_finite_running_statistics():
    _, running = batch_norm(jnp.ones((1, 5)), True)
    np.testing.assert_allclose(running["var"], 0.9 * (1 + np.arange(5)), rtol=1e-6)


def test_instance_norm_without_parameters_is_the_function(x):
    net = norms.InstanceNorm(affine=False)
    assert net.init(jax.random.key(0), x) == {}
    np.testing.assert_array_equal(net.apply({}, x, train=True), norms.instance_norm(x))


def test_batch_norm_without_parameters_keeps_running_statistics_alone(x):
    bare, whole = norms.BatchNorm(affine=False), norms.BatchNorm()
    variables = whole.init(jax.random.key(0), x, train=True)
    own = {"batch_stats": variables["batch_stats"]}
    assert set(bare.init(jax.random.key(0), x, train=True)) == {"batch_stats"}
    for net_and_variables in ((bare, own), (whole, variables)):
        net, given = net_and_variables
        y, moved = net.apply(given, x, train=True, mutable="batch_stats")
        np.testing.assert_allclose(y, whole.apply(variables, x, train=True, mutable=True)[0])
        assert jax.tree.structure(moved) == jax.tree.structure(own)
