"""What a measurement was made on and with."""

import importlib.metadata
import os
import platform
from pathlib import Path

import jax

PACKAGES = ("facejax", "jax", "jaxlib", "numpy", "scipy", "torch", "pytorch3d")
VARIABLES = ("XLA_FLAGS", "JAX_PLATFORMS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def describe() -> dict:
    """Returns versions, devices and what else changes speed, as plain values."""
    return {
        "versions": {"python": platform.python_version()} | _versions(),
        "devices": [_name(device) for device in jax.devices()],
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "system": platform.platform(terse=True),
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def one_line(machine: dict) -> str:
    """Returns the description in one line, for the head of a table."""
    devices = ", ".join(dict.fromkeys(machine["devices"]))
    versions = machine["versions"]
    return (
        f"facejax {versions.get('facejax', '')}, jax {versions['jax']}, {devices}; "
        f"host {machine['cpu']}, {machine['cores']} cores"
    )


def busy(machine: dict) -> list[str]:
    """Returns a warning where other programs keep the machine busy, else nothing."""
    load, cores = machine["load"], machine["cores"]
    if load < cores / 2:
        return []
    return [f"the machine is busy ({load:.1f} programs running on {cores} cores): expect drift"]


def _name(device: jax.Device) -> str:
    kind = device.device_kind
    return kind if kind == device.platform else f"{device.platform} {kind}"


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    """The processor's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
