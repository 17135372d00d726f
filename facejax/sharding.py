"""One path from a CPU to a pod: `jax.jit` over a one-axis mesh, batch split, state on every device.

Gradients and batch statistics come out as on one device: the program is written for the whole
batch, and XLA adds the communication. No pmap, no axis names, no collective is written.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from facejax.errors import InputError

PyTree = Any
AXIS = "data"


def cluster(env: Mapping[str, str]) -> str:
    """Returns which kind of cluster this process was started in; "" for none.

    A single-process job of a scheduler is none: there is nothing to connect.
    """
    if int(env.get("NPROC", "1")) > 1:
        return "named"  # launch/: COORDINATOR, NPROC, PROC_ID
    if "SLURM_PROCID" in env and int(env.get("SLURM_NTASKS", "1")) > 1:
        return "slurm"
    if int(env.get("OMPI_COMM_WORLD_SIZE", "1")) > 1:
        return "mpi"
    if "," in env.get("TPU_WORKER_HOSTNAMES", ""):
        return "tpu"
    return ""


def start(distributed: bool = False, env: Mapping[str, str] | None = None) -> None:
    """Connects this process to the others of its job, when there are any.

    Call it before anything else touches a device.

    Args:
      distributed: connect even where no cluster is recognised (JAX then finds out by itself).
      env: the environment; None reads the process's.

    Raises:
      InputError: asked for, but there is no cluster to connect to.
    """
    env = os.environ if env is None else env
    kind = cluster(env)
    if not kind and not distributed:
        return
    if kind == "named":
        missing = [name for name in ("COORDINATOR", "PROC_ID") if name not in env]
        if missing:
            raise InputError(f"NPROC is set but {missing[0]} is not; launch/local.sh shows how")
        jax.distributed.initialize(env["COORDINATOR"], int(env["NPROC"]), int(env["PROC_ID"]))
        return
    try:
        jax.distributed.initialize()
    except (ValueError, RuntimeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"cannot connect to the job's other processes ({first}); start it with one of launch/, "
            "or drop --distributed"
        ) from error


def make_mesh(devices: Iterable[jax.Device] | None = None) -> Mesh:
    """Returns a mesh with the one axis "data" over `devices` (all of the job by default)."""
    chosen = np.asarray(list(jax.devices() if devices is None else devices))
    # Auto: make_mesh's default, Explicit, would ask every net to state shardings.
    return Mesh(chosen, (AXIS,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of the state: all of it on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of a batch: its first axis cut over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def host_rows(batch: int, mesh: Mesh, accumulate: int = 1) -> slice:
    """Returns the rows of a batch of `batch` that this host makes.

    Raises:
      InputError: the batch does not divide among the devices (and micro-batches).
    """
    count = mesh.size * accumulate
    if batch % count:
        micro = f" in {accumulate} micro-batches" if accumulate > 1 else ""
        raise InputError(
            f"a batch of {batch} does not divide among {mesh.size} devices{micro}; "
            f"set data.batch to a multiple of {count}"
        )
    share = batch // jax.process_count()
    return slice(jax.process_index() * share, (jax.process_index() + 1) * share)


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """Puts a pytree of arrays, the same on every host, on every device."""
    everywhere = replicated(mesh)
    if jax.process_count() == 1:
        return jax.device_put(tree, everywhere)

    def leaf(x: Any) -> jax.Array:  # device_put moves nothing onto devices of other processes
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            impl = jax.random.key_impl(x)
            return jax.random.wrap_key_data(leaf(jax.random.key_data(x)), impl=impl)
        value = np.asarray(x)
        return jax.make_array_from_callback(value.shape, everywhere, lambda index: value[index])

    return jax.tree.map(leaf, tree)


def put_batch(batch: PyTree, mesh: Mesh) -> PyTree:
    """Puts each host's rows (numpy) on its devices, as one global array a leaf."""
    sharding = split(mesh)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), batch)


def prefetch(batches: Iterable[PyTree], mesh: Mesh) -> Iterator[PyTree]:
    """Yields batches on the devices; the next is copied while the last is computed on."""
    following = None
    for batch in batches:
        current, following = following, put_batch(batch, mesh)
        if current is not None:
            yield current
    if following is not None:
        yield following


def compile_step(step: Callable, mesh: Mesh) -> Callable:
    """Compiles (state, frozen, batch, key) -> (state, terms) for the mesh, donating the state."""
    everywhere = replicated(mesh)
    return jax.jit(
        step,
        donate_argnums=0,
        in_shardings=(everywhere, everywhere, split(mesh), everywhere),
        out_shardings=everywhere,
    )
