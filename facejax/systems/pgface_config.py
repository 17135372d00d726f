"""PGFace's numbers: one default each, and the presets."""

import dataclasses
from typing import Any

from facejax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that a run may tune in the net and losses.

    The supplement gives the layers and neither widths nor losses. Widths are those of VOCA, whose
    windows these are; identity counts 1, expression 2 and 10 on motion.

    Raises:
      InputError: a value out of its range.
    """

    widths: tuple[int, ...] = (32, 32, 64, 64)  # channels of the convolutions
    hidden: tuple[int, ...] = (128, 50)  # of the two dense layers before the last
    pose: bool = True  # False: the net does not see the head's pose (ablation)
    speakers: int = (
        0  # 0: it is not told who speaks; else of at most so many, who; not in the paper
    )
    speech_noise: float = 0.0  # deviation of noise on the speech features in training
    # Losses. A weight of 0 leaves the term out.
    lambda_identity: float = 1.0
    lambda_expression: float = 2.0
    lambda_expression_motion: float = 10.0  # of first differences in time
    lambda_vertices: float = 0.0  # of the mean squared distance of vertices, mm^2
    # Computation.
    bfloat16: bool = False  # parameters, statistics, results and losses stay float32

    def __post_init__(self):
        for name, count in (("widths", 4), ("hidden", 2)):
            sizes = getattr(self, name)
            if len(sizes) != count or min(sizes) < 1:
                raise InputError(f"model.{name} is {sizes}; due: {count} numbers, 1 or more each")
        if self.speakers < 0:
            raise InputError(f"model.speakers is {self.speakers}; due: 0 or more")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name.startswith("lambda_") and not 0 <= value < float("inf"):
                raise InputError(f"model.{field.name} is {value}; due: 0 or more")
        if not 0 <= self.speech_noise < float("inf"):
            raise InputError(f"model.speech_noise is {self.speech_noise}; due: 0 or more")


def paper() -> dict[str, Any]:
    """Returns Config's arguments for what the supplement says: the defaults."""
    return {}


PRESETS = {"paper": paper}
