"""The unprojection net's numbers: one default each, PRNet's; and the preset."""

import dataclasses
from typing import Any

from facejax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that a run may tune in the net, its loss and its augmentation.

    Raises:
      InputError: a value out of its range.
    """

    width: int = 16  # channels of the first layer; x32 at the smallest size
    weighted: bool = True  # errors weigh 16 : 4 : 3 : 0 as PRNet's; False: 1 on the mesh, 0 beside
    lambda_l2: float = 2e-4  # half the sum of the squared kernels
    # Augmentation, drawn anew for every image; of PRNet's paper, section 3.
    rotation: float = 45.0  # degrees, largest either way
    shift: float = 0.1  # of the image's side, largest either way
    least_scale: float = 0.9
    most_scale: float = 1.2
    least_gain: float = 0.6  # of a colour channel
    most_gain: float = 1.4
    occlusion: float = 0.5  # probability of a patch of noise
    occlusion_size: float = 0.4  # of the image's side, its largest side
    initial: str = ""  # file of published weights to begin with: a TensorFlow checkpoint or npz
    # Computation.
    bfloat16: bool = False  # parameters, geometry and losses stay float32

    def __post_init__(self):
        _due("width", self.width, self.width >= 1, "1 or more")
        for name in ("lambda_l2", "least_gain", "most_gain"):
            value = getattr(self, name)
            _due(name, value, 0 <= value < float("inf"), "0 or more")
        for name in ("occlusion", "occlusion_size", "shift"):
            _due(name, getattr(self, name), 0 <= getattr(self, name) <= 1, "0 to 1")
        _due("rotation", self.rotation, 0 <= self.rotation <= 180, "0 to 180 degrees")
        _due("least_scale", self.least_scale, self.least_scale > 0, "more than 0")
        for name in ("scale", "gain"):
            most, least = getattr(self, f"most_{name}"), getattr(self, f"least_{name}")
            _due(f"most_{name}", most, most >= least, f"least_{name} ({least}) or more")


def _due(name: str, value: Any, holds: bool, due: str) -> None:
    if not holds:
        raise InputError(f"model.{name} is {value!r}; due: {due}")


def paper() -> dict[str, Any]:
    """Returns Config's arguments for the paper, which takes PRNet as it is: the defaults."""
    return {}


PRESETS = {"paper": paper}
