"""What the tests of nets share: sizes without computation, and variables without an init."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

KEY = jax.random.key(0, impl="unsafe_rbg")  # compiles fast


def sizes(net, *inputs, **options):
    """The net's output and every layer's, as shapes, and the number of its parameters."""
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in inputs]

    run = functools.partial(
        net.init_with_output, mutable=True, capture_intermediates=True, **options
    )
    output, variables = jax.eval_shape(run, KEY, *inputs)
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    layers = jax.tree.map(lambda x: x.shape, variables["intermediates"])
    return jax.tree.map(lambda x: x.shape, output), _named(layers), count


def _named(layers, prefix=""):
    """{"a.b": shape of the first call of that layer}."""
    names = {}
    for name, value in layers.items():
        if name == "__call__":
            names[prefix[:-1]] = value[0]
        else:
            names |= _named(value, f"{prefix}{name}.")
    return names


def variables(net, *arrays, seed=0, **options):
    """Random variables of the net that keep the size of what passes through it."""
    made = jax.eval_shape(functools.partial(net.init, **options), KEY, *arrays)
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        noise, part = rng.normal(size=leaf.shape), path[-1].key
        if part == "kernel":
            noise /= np.sqrt(np.prod(leaf.shape[:-1]) / 2)
        else:  # units of a ReLU stay alive
            noise = {"scale": 1, "var": 1, "bias": 0.3, "mean": 0}[part] + 0.1 * noise
        return jnp.asarray(noise, jnp.float32)

    return {"batch_stats": {}} | jax.tree_util.tree_map_with_path(draw, made)


def quick(function):
    """The function, compiled without optimisation: tests compile much and compute little."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def function(net, **options):
    """The net as a compiled function of its variables and its inputs."""
    return quick(functools.partial(net.apply, **options))


def moved(net):
    """The net in training: output and new batch statistics, of its variables and its inputs."""
    return function(net, train=True, mutable="batch_stats")
