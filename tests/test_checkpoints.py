import os
import signal
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from facejax import checkpoints, sharding
from facejax.errors import InputError
from facejax.system import TrainState


def state(width=3, seed=0):
    rng = np.random.default_rng(seed)
    params = {
        "gen": {"conv": {"kernel": jnp.asarray(rng.normal(size=(2, width)), jnp.float32)}},
        "dis": {"w": jnp.asarray(rng.normal(size=5), jnp.bfloat16)},
    }
    tx = optax.adam(1e-3)
    return TrainState(
        step=jnp.int32(7),
        params=params,
        stats={"gen": {"u": jnp.arange(width, dtype=jnp.float32)}, "dis": {}},
        opt={"gen": tx.init(params["gen"]), "dis": tx.init(params["dis"])},
        ema=params["gen"],
    )


def test_a_restored_state_is_bit_equal(tmp_path):
    store = checkpoints.Checkpoints(tmp_path)
    store.save(7, state())
    store.wait()
    found = checkpoints.Checkpoints(tmp_path).restore(jax.eval_shape(state))
    chex.assert_trees_all_equal(found, state())
    chex.assert_trees_all_equal_dtypes(found, state())
    assert jax.tree.structure(found) == jax.tree.structure(state())


def test_the_newest_and_the_best_stay(tmp_path):
    store = checkpoints.Checkpoints(tmp_path, keep=2, best="psnr")
    for step, psnr in enumerate([20.0, 25.0, 22.0, 24.0, 23.0]):
        store.save(step, state(), {"psnr": psnr})
    store.save(5, state())
    store.close()
    assert store.steps() == [1, 4, 5] and store.latest() == 5


def test_a_step_is_saved_once(tmp_path):
    store = checkpoints.Checkpoints(tmp_path)
    store.save(1, state())
    store.save(1, state(seed=1))
    store.close()
    chex.assert_trees_all_equal(checkpoints.Checkpoints(tmp_path).restore(state()), state())


def test_a_state_moves_to_another_number_of_devices(tmp_path):
    store = checkpoints.Checkpoints(tmp_path)
    store.save(7, sharding.replicate(state(), sharding.make_mesh(jax.devices()[:1])))
    store.wait()
    mesh = sharding.make_mesh(jax.devices()[:4])
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding.replicated(mesh)),
        jax.eval_shape(state),
    )
    found = store.restore(target)
    assert len(found.ema["conv"]["kernel"].sharding.device_set) == 4
    chex.assert_trees_all_equal(jax.device_get(found), jax.device_get(state()))


def test_parts_are_restored_alone(tmp_path):
    store = checkpoints.Checkpoints(tmp_path)
    store.save(7, state())
    store.wait()
    parts = {"ema": state(seed=1).ema, "stats.gen": state(seed=1).stats["gen"]}
    found = checkpoints.Checkpoints(tmp_path).restore_part(parts)
    chex.assert_trees_all_equal(found, {"ema": state().ema, "stats.gen": state().stats["gen"]})
    with pytest.raises(
        InputError, match=r"ema.conv.kernel is float32 \[2, 3\], due float32 \[2, 4\]"
    ):
        store.restore_part({"ema": state(4).ema})


def test_a_checkpoint_of_another_model_is_refused_by_name(tmp_path):
    store = checkpoints.Checkpoints(tmp_path)
    store.save(7, state())
    store.wait()
    with pytest.raises(InputError) as caught:
        store.restore(jax.eval_shape(lambda: state(4)))
    message = str(caught.value)
    assert "ema.conv.kernel is float32 [2, 3], due float32 [2, 4]" in message
    assert "and 2 more" in message and "\n" not in message
    other = state()
    other.params["gen"]["extra"] = jnp.zeros(1)
    with pytest.raises(InputError, match=r"params.gen.extra is missing, due float32 \[1\]"):
        store.restore(other)


def test_nothing_saved_and_a_step_not_kept_are_named(tmp_path):
    store = checkpoints.Checkpoints(tmp_path)
    assert store.latest() is None
    with pytest.raises(InputError, match="has no checkpoint"):
        store.restore(state())
    store.save(3, state())
    store.wait()
    with pytest.raises(InputError, match="has no step 4; it has: 3"):
        store.restore(state(), 4)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot make"):
        checkpoints.Checkpoints(tmp_path / "file" / "checkpoints")


FULL_DISK = """
import resource, sys
import jax
from facejax import checkpoints
from facejax.errors import InputError
x = {"w": jax.random.normal(jax.random.key(0), (200, 200))}
store = checkpoints.Checkpoints(sys.argv[1])
store.save(1, x); store.wait()
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    store.save(2, x); store.wait()
except InputError as error:
    sys.stdout.write(str(error))
"""


def test_a_full_disk_is_one_line_and_spares_what_was_saved(tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "File too large" in found.stdout and found.stdout.count("\n") == 0, found
    assert checkpoints.Checkpoints(tmp_path).steps() == [1]


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, checkpoints.PREEMPTED), (signal.SIGINT, checkpoints.INTERRUPTED)],
)
def test_a_signal_is_noted_once_and_the_next_is_not_caught(number, status):
    before = signal.getsignal(number)
    with checkpoints.StopRequest() as stop:
        assert stop.status == 0
        os.kill(os.getpid(), number)
        assert stop.status == status
        assert signal.getsignal(number) is before
    assert signal.getsignal(number) is before
