"""Nets with batch norm: how a system initialises them, and runs them in training.

Their running statistics are a collection beside the parameters; training returns the moved ones.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from facejax.system import PyTree

STATS = "batch_stats"


@functools.partial(jax.jit, static_argnums=0)
def init_net(net: Any, key: jax.Array, inputs: tuple) -> tuple[PyTree, PyTree]:
    """Returns a net's parameters and statistics; only the shapes of its inputs matter."""
    # threefry, the usual generator, is a loop to compile for each parameter: slow on a CPU.
    quick = jax.random.wrap_key_data(jax.random.bits(key, (4,), jnp.uint32), impl="unsafe_rbg")
    variables = net.init(quick, *inputs, train=False)
    return variables["params"], variables[STATS]


def apply_net(net: Any, params: PyTree, stats: PyTree, *inputs: Any) -> tuple[Any, PyTree]:
    """Runs a net as in training; returns its output and its new statistics."""
    variables = {"params": params, STATS: stats}
    output, updated = net.apply(variables, *inputs, train=True, mutable=[STATS])
    return output, updated[STATS]
