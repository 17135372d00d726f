"""The trainable systems: one file each, one literal table."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from facejax.systems import (
    facial,
    facial_video,
    headgan,
    rhythmic,
    rhythmic_expression,
    rhythmic_motion,
    unprojection,
)


class Entry(NamedTuple):
    """What the mains need of a system."""

    Config: type  # a frozen dataclass: every number of the model with its default
    make: Callable  # Config -> System
    presets: Mapping[
        str, Callable[[], dict[str, Any]]
    ]  # name -> function giving Config's arguments
    workload: str = "frames"  # what it reads and how it is judged: a key of `workloads.WORKLOADS`


SYSTEMS = {
    "headgan": Entry(headgan.Config, headgan.make, headgan.PRESETS),
    "facial": Entry(facial.Config, facial.make, facial.PRESETS, workload="sequences"),
    "facial_video": Entry(
        facial_video.Config, facial_video.make, facial_video.PRESETS, workload="windows"
    ),
    "rhythmic": Entry(rhythmic.Config, rhythmic.make, rhythmic.PRESETS, workload="few_shot"),
    "unprojection": Entry(
        unprojection.Config, unprojection.make, unprojection.PRESETS, workload="faces"
    ),
    "rhythmic_expression": Entry(
        rhythmic_expression.Config,
        rhythmic_expression.make,
        rhythmic_expression.PRESETS,
        workload="expressions",
    ),
    "rhythmic_motion": Entry(
        rhythmic_motion.Config,
        rhythmic_motion.make,
        rhythmic_motion.PRESETS,
        workload="head_motions",
    ),
}
