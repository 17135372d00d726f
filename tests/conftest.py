"""Settings of every test: four virtual CPU devices, no silent rank promotion."""

import os
import pathlib

# Before anything imports JAX: a test of sharding needs more than one device.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
_flags = os.environ.get("XLA_FLAGS", "")
if "device_count" not in _flags:
    os.environ["XLA_FLAGS"] = f"{_flags} --xla_force_host_platform_device_count=4".strip()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """The folder of real recordings, from the variable FACEJAX_DATA; skips where it is unset."""
    folder = os.environ.get("FACEJAX_DATA")
    if not folder:
        pytest.skip("FACEJAX_DATA is unset: it names the folder of real recordings")
    path = pathlib.Path(folder)
    if not path.is_dir():
        pytest.fail(f"FACEJAX_DATA is {folder}, which is no folder")
    return path
