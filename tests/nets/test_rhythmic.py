"""The generator of Rhythmic Head Motion at its published size: shapes alone."""

import functools

import jax
import jax.numpy as jnp
import pytest

from facejax.nets.rhythmic import Inputs
from facejax.systems import rhythmic_nets
from facejax.systems.rhythmic_config import PRESETS, Config
from tests.nets.contracts import KEY, sizes


def inputs(count, side=256, rows=1):
    def leaf(*shape):
        return jax.ShapeDtypeStruct((rows, *shape, side, side), jnp.float32)

    def image(channels, *shape):
        inner = leaf(*shape).shape
        return jax.ShapeDtypeStruct((*inner, channels), jnp.float32)

    return Inputs(
        image(3, count), image(1, count), image(1), image(3), image(1), image(3), image(1)
    )


@functools.cache
def published(preset, count):
    """Output shapes and parameters by part, without computation."""
    net = rhythmic_nets.build(Config(**PRESETS[preset]())).generator
    run = functools.partial(net.init_with_output, train=False, raw=True)
    output, variables = jax.eval_shape(run, KEY, inputs(count))
    total = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
    return output, {name: total(part) for name, part in variables["params"].items()}


def test_the_released_generator_has_the_published_size():
    output, parts = published("released", 8)
    assert output.image.shape == output.raw.shape == (1, 256, 256, 3)
    assert output.attention.shape == (1, 8, 64, 64)
    millions = {name: round(count / 1e6, 2) for name, count in parts.items()}
    assert millions["embedding"] == round(12.5839 + 0.1862, 2)  # encoders and E_A
    assert millions["landmark_embedder"] == round(11.0067, 2)
    assert millions["matched"] == millions["projection"] == 7.86


@pytest.mark.parametrize("count", [1, 32])
def test_the_released_generator_is_the_same_for_any_number_of_references(count):
    parts, due = published("released", count)[1], published("released", 8)[1]
    if count == 1:  # one reference needs no attention
        due = due | {"embedding": due["embedding"] - 186_240}
    assert parts == due


def test_the_papers_generator_composes_at_all_levels():
    output, parts = published("paper", 8)
    assert round(parts["matched_embedder"] * 2 / 1e6, 2) == 12.58
    assert parts["matched_embedder"] > published("released", 8)[1]["matched_embedder"]
    assert output.projection.image.shape == (1, 256, 256, 3)


def test_the_discriminator_has_the_published_sizes():
    net = rhythmic_nets.build(Config()).discriminator
    scores, _, count = sizes(net, (1, 256, 256, 8), train=False)
    due = [(129, 65, 33, 17, 18, 19), (65, 33, 17, 9, 10, 11)]
    for features, score, side in zip(scores.features, scores.scores, due, strict=True):
        assert (*(x[1] for x in features), score[1]) == side
    assert round(count / 2 / 1e6, 2) == 2.80
