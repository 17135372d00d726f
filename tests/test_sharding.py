import os
import socket
import subprocess
import sys

import chex
import jax
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from facejax import sharding
from facejax import step as steps
from facejax.errors import InputError
from tests import toy


def train(mesh, count=4, **options):
    system = toy.make(toy.Config())
    gen_tx, dis_tx = optax.adam(1e-2), optax.adam(1e-2)
    batch = jax.tree.map(np.asarray, toy.batch(8))
    init = jax.jit(lambda key: steps.init_state(system, gen_tx, dis_tx, key, batch))
    state = init(jax.random.key(0))
    state = sharding.replicate(state, mesh)
    step = steps.make_step(system, gen_tx, dis_tx, ema_decay=0.9, **options)
    step = sharding.compile_step(step, mesh)
    key = sharding.replicate(jax.random.key(1), mesh)
    for _ in range(count):
        state, terms = step(state, system.frozen, sharding.put_batch(batch, mesh), key)
    return state, terms


@pytest.fixture(scope="module")
def devices():
    if len(jax.devices()) < 4:
        pytest.skip("needs four devices")
    return jax.devices()[:4]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_four_devices_equal_one(devices, accumulate):
    one, one_terms = train(sharding.make_mesh(devices[:1]), accumulate=accumulate)
    four, four_terms = train(sharding.make_mesh(devices), accumulate=accumulate)
    assert four.params["gen"]["in"].sharding.is_fully_replicated
    chex.assert_trees_all_close(jax.device_get(one), jax.device_get(four), rtol=1e-4, atol=1e-6)
    chex.assert_trees_all_close(one_terms, four_terms, rtol=1e-4)


def test_a_batch_lies_on_all_devices_by_rows(devices):
    mesh = sharding.make_mesh(devices)
    x = sharding.put_batch({"x": np.arange(16.0).reshape(8, 2)}, mesh)["x"]
    assert x.sharding.spec == PartitionSpec("data")
    assert [s.data.shape for s in x.addressable_shards] == [(2, 2)] * 4
    np.testing.assert_array_equal(x, np.arange(16.0).reshape(8, 2))


def test_the_state_is_donated(devices):
    mesh = sharding.make_mesh(devices[:1])
    state = sharding.replicate({"w": np.ones((64, 64))}, mesh)
    step = sharding.compile_step(lambda s, f, b, k: (jax.tree.map(lambda x: x + 1, s), {}), mesh)
    step(state, {}, {}, sharding.replicate(jax.random.key(0), mesh))
    assert state["w"].is_deleted()


def test_prefetching_keeps_order_and_loses_nothing(devices):
    mesh = sharding.make_mesh(devices)
    batches = [{"x": np.full((4, 1), k)} for k in range(5)]
    found = [int(b["x"][0, 0]) for b in sharding.prefetch(iter(batches), mesh)]
    assert found == [0, 1, 2, 3, 4]
    assert list(sharding.prefetch(iter([]), mesh)) == []


def test_a_batch_that_does_not_divide_is_refused(devices):
    mesh = sharding.make_mesh(devices)
    assert sharding.host_rows(8, mesh) == slice(0, 8)
    with pytest.raises(InputError, match="batch of 6 does not divide among 4 devices"):
        sharding.host_rows(6, mesh)
    with pytest.raises(InputError, match="multiple of 8"):
        sharding.host_rows(12, mesh, accumulate=2)


@pytest.mark.parametrize(
    ("env", "due"),
    [
        ({}, ""),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, ""),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, "slurm"),
        ({"SLURM_NTASKS": "8"}, ""),  # sbatch's own shell, not a task of srun
        ({"OMPI_COMM_WORLD_SIZE": "2"}, "mpi"),
        ({"TPU_WORKER_HOSTNAMES": "a"}, ""),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, "tpu"),
        ({"NPROC": "2"}, "named"),
    ],
)
def test_a_cluster_is_recognised_by_its_environment(env, due):
    assert sharding.cluster(env) == due


def test_half_an_environment_is_refused():
    with pytest.raises(InputError, match="PROC_ID is not"):
        sharding.start(env={"NPROC": "2", "COORDINATOR": "localhost:1234"})


TWO_PROCESSES = """
import sys, jax, numpy as np
jax.config.update("jax_cpu_collectives_implementation", "gloo")
from facejax import sharding
rank, port = sys.argv[1:]
sharding.start(env={"NPROC": "2", "COORDINATOR": f"localhost:{port}", "PROC_ID": rank})
mesh = sharding.make_mesh()
rows = sharding.host_rows(4, mesh)
batch = sharding.put_batch({"x": np.arange(4.0)[rows]}, mesh)
state = sharding.replicate({"w": np.zeros(())}, mesh)
key = sharding.replicate(jax.random.key(0), mesh)
step = lambda s, f, b, k: ({"w": s["w"] + b["x"].sum()}, {"mean": b["x"].mean()})
state, terms = sharding.compile_step(step, mesh)(state, {}, batch, key)
assert mesh.size == 2 and float(state["w"]) == 6 and float(terms["mean"]) == 1.5
"""


def test_two_processes_work_on_one_batch(tmp_path):
    with socket.socket() as s:
        s.bind(("localhost", 0))
        port = str(s.getsockname()[1])
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
    command = [sys.executable, "-c", TWO_PROCESSES]
    jobs = [
        subprocess.Popen([*command, str(k), port], env=env, stderr=subprocess.PIPE, text=True)
        for k in range(2)
    ]
    for job in jobs:
        _, error = job.communicate(timeout=60)
        assert job.returncode == 0, error
