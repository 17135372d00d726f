import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import parsing


def parsing_state(width, seed=0):
    """A state dict with the published names; random, of this width."""
    rng, state = np.random.default_rng(seed), {}
    w = width

    def conv(name, size_out, size_in, kernel):
        std = np.sqrt(2 / (size_in * kernel**2))
        state[f"{name}.weight"] = std * rng.normal(size=(size_out, size_in, kernel, kernel))

    def norm(name, size):
        for part in ("weight", "running_var"):
            state[f"{name}.{part}"] = rng.uniform(0.5, 1.5, size)
        for part in ("bias", "running_mean"):
            state[f"{name}.{part}"] = rng.normal(size=size)
        state[f"{name}.num_batches_tracked"] = np.array(1)

    def both(name, *sizes):
        conv(f"{name}.conv", *sizes)
        norm(f"{name}.bn", sizes[0])

    conv("cp.resnet.conv1", w, 3, 7)
    norm("cp.resnet.bn1", w)
    channels = w
    for layer in range(1, 5):
        features = w * 2 ** (layer - 1)
        for block in range(2):
            name = f"cp.resnet.layer{layer}.{block}"
            conv(f"{name}.conv1", features, channels, 3)
            conv(f"{name}.conv2", features, features, 3)
            norm(f"{name}.bn1", features)
            norm(f"{name}.bn2", features)
            if features != channels:
                conv(f"{name}.downsample.0", features, channels, 1)
                norm(f"{name}.downsample.1", features)
            channels = features
    for name, size in (("arm16", 4 * w), ("arm32", 8 * w)):
        both(f"cp.{name}.conv", 2 * w, size, 3)
        conv(f"cp.{name}.conv_atten", 2 * w, 2 * w, 1)
        norm(f"cp.{name}.bn_atten", 2 * w)
    both("cp.conv_head32", 2 * w, 2 * w, 3)
    both("cp.conv_head16", 2 * w, 2 * w, 3)
    both("cp.conv_avg", 2 * w, 8 * w, 1)
    both("ffm.convblk", 4 * w, 4 * w, 1)
    conv("ffm.conv1", w, 4 * w, 1)
    conv("ffm.conv2", 4 * w, w, 1)
    both("conv_out.conv", 4 * w, 4 * w, 3)
    conv("conv_out.conv_out", parsing.CLASSES, 4 * w, 1)
    return {name: np.asarray(value, np.float32) for name, value in state.items()}


@pytest.fixture
def state():
    return parsing_state(2)


def test_every_tensor_of_the_file_finds_its_place_in_the_net(state):
    params = parsing.from_torch(state)
    due = jax.eval_shape(parsing.ParsingNet(2).init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, due["params"])
    convolutions = [name for name, value in state.items() if value.ndim == 4]
    kernels = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 4]
    assert len(kernels) == len(convolutions)
    used = sorted(np.sum(kernel).item() for kernel in map(np.abs, kernels))
    assert len(set(used)) == len(kernels)  # no tensor twice


def test_the_published_net_scores_at_an_eighth_of_the_size():
    scores = jax.eval_shape(
        lambda x: parsing.ParsingNet().init_with_output(jax.random.key(0), x)[0],
        jnp.zeros((1, 64, 96, 3)),
    )
    assert scores.shape == (1, 8, 12, 19)


def test_a_folded_batch_norm_equals_the_two_steps():
    state = parsing_state(2)
    kernel, bias = parsing._folded(state, "cp.conv_avg.conv", "cp.conv_avg.bn", (4, 16, 1, 1))
    x = np.random.default_rng(1).normal(size=16)
    norm = {p: state[f"cp.conv_avg.bn.{p}"] for p in ("weight", "bias")}
    mean, variance = (state[f"cp.conv_avg.bn.running_{p}"] for p in ("mean", "var"))
    due = (state["cp.conv_avg.conv.weight"][:, :, 0, 0] @ x - mean) / np.sqrt(variance + 1e-5)
    due = due * norm["weight"] + norm["bias"]
    np.testing.assert_allclose(kernel[:, :, 0, 0] @ x + bias, due, rtol=1e-5)


def test_corner_resizing_keeps_corners_and_is_linear_between():
    x = jnp.array([[0.0, 3.0], [6.0, 9.0]])[None, :, :, None]
    y = parsing.resize_corners(x, 3, 4)[0, ..., 0]
    np.testing.assert_allclose(y, [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]], atol=1e-5)


@pytest.mark.parametrize(("winner", "due"), [(0, 0.0), (7, 1.0)])
def test_the_person_is_every_class_but_the_background(state, winner, due):
    state["conv_out.conv_out.weight"][:] = 0
    state["conv_out.conv_out.weight"][winner] = 1
    image = jax.random.uniform(jax.random.key(0), (2, 12, 10, 3), minval=-1)
    mask = parsing.person(parsing.from_torch(state), image, size=32)
    assert mask.shape == (2, 12, 10, 1)
    np.testing.assert_array_equal(mask, due)


def test_a_missing_tensor_is_named(state):
    del state["ffm.conv2.weight"]
    with pytest.raises(ValueError, match=r"ffm\.conv2\.weight"):
        parsing.from_torch(state)
