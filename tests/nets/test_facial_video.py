import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import facial_video, norms, patches
from tests.nets.contracts import KEY, function, sizes, variables

TINY = facial_video.VideoGenerator(4, 1, 1, 1)


@pytest.mark.parametrize(("channels", "count"), [(30, 88_446_755), (40, 88_493_795)])
def test_the_published_generator_has_its_size(channels, count):
    output, layers, found = sizes(facial_video.VideoGenerator(), (1, 512, 512, channels))
    assert (output, found) == ((1, 512, 512, 3), count)
    downs = [layers[f"trunk.down_{i}"][1:] for i in range(4)]
    assert downs == [(128, 128, 128), (64, 64, 256), (32, 32, 512), (16, 16, 1024)]
    assert layers["trunk"] == layers["block_2"] == (1, 256, 256, 64)
    assert layers["first"] == (1, 512, 512, 32)


@pytest.mark.parametrize(("channels", "count"), [(33, 8_386_371), (43, 8_417_091)])
def test_the_published_discriminator_has_its_size(channels, count):
    net = facial_video.discriminator()
    output, _, found = sizes(net, (1, 512, 512, channels), train=False)
    assert found == count
    assert list(output.scores) == [(1, side, side, 1) for side in (67, 35, 19)]
    assert [len(scale) for scale in output.features] == [4, 4, 4]


def test_the_preset_for_64_px_fits_them():
    output, _, count = sizes(facial_video.small(), (2, 64, 64, 40))
    assert output == (2, 64, 64, 3)
    assert count < 1_000_000


def test_the_trunk_sees_half_the_resolution_and_is_added_to_the_enhancer():
    condition = jax.random.normal(jax.random.key(1), (1, 16, 12, 3))
    made = variables(TINY, condition)
    image, state = function(TINY, capture_intermediates=True)(made, condition)
    assert image.shape == (1, 16, 12, 3)
    assert float(jnp.max(jnp.abs(image))) <= 1
    layers = state["intermediates"]
    trunk = facial_video.Trunk(4, 1, 1, jnp.float32)
    due = function(trunk)({"params": made["params"]["trunk"]}, patches.halve(condition))
    assert due.shape == (1, 8, 6, 4)
    np.testing.assert_allclose(layers["trunk"]["__call__"][0], due, atol=1e-5)
    fine = nn.relu(norms.instance_norm(layers["down"]["__call__"][0]))
    block = facial_video.ResidualBlock(jnp.float32)
    sum_of_both = function(block)({"params": made["params"]["block_0"]}, fine + due)
    np.testing.assert_allclose(layers["block_0"]["__call__"][0], sum_of_both, atol=1e-4)


def test_half_precision_still_gives_a_float32_image_and_parameters():
    net = facial_video.small(jnp.bfloat16)
    image, made = jax.eval_shape(
        lambda x: net.init_with_output(KEY, x), jax.ShapeDtypeStruct((1, 64, 64, 30), jnp.float32)
    )
    assert image.dtype == jnp.float32
    assert {x.dtype for x in jax.tree.leaves(made)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("shape", [(1, 12, 10, 3), (1, 8, 4, 3)])
def test_an_image_of_another_size_is_refused(shape):
    with pytest.raises(ValueError, match=r"due: .B H W C. with H and W multiples of 4, 8 or more"):
        sizes(TINY, shape)
