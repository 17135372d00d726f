"""The workloads, by the name that a system's entry gives."""

from facejax import (
    expression_judge,
    few_shot_judge,
    head_motion_judge,
    reenactment,
    sequences_judge,
    unprojection_judge,
    windows_judge,
)
from facejax.errors import InputError
from facejax.systems import SYSTEMS
from facejax.workload import Workload

WORKLOADS = {
    "frames": reenactment.WORKLOAD,
    "windows": windows_judge.WORKLOAD,
    "sequences": sequences_judge.WORKLOAD,
    "few_shot": few_shot_judge.WORKLOAD,
    "faces": unprojection_judge.WORKLOAD,
    "expressions": expression_judge.WORKLOAD,
    "head_motions": head_motion_judge.WORKLOAD,
}


def workload_of(system: str) -> Workload:
    """Returns the workload of a system's name.

    Raises:
      InputError: no such system.
    """
    if system not in SYSTEMS:
        raise InputError(f"no system {system!r}; there are: {', '.join(SYSTEMS)}")
    return WORKLOADS[SYSTEMS[system].workload]
