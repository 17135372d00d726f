"""The numbers of FACIAL's rendering to video: one default each, the paper's; and the presets."""

import dataclasses
from typing import Any

from facejax.errors import InputError

ATTENTIONS = ("concat", "overwrite")
BLINKS = ("scaled", "raw")


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that a run may tune in the nets and losses. Sizes are those for 512 px.

    Raises:
      InputError: a value out of its range.
    """

    # Generator.
    width: int = 64  # channels of the trunk at half the resolution
    halvings: int = 4  # of the trunk
    trunk_residuals: int = 4  # the published code's comments say 9, it has 4
    residuals: int = 3  # of the enhancer around it
    # What it is shown.
    attention: str = "concat"  # of the eyes, beside the drawn face; "overwrite" (released): in it
    blink: str = "scaled"  # 0 to 5 as 0 to 1; "raw" (released): as it comes
    eye_width: float = 17.8  # mm, half axes of the ellipse around an eye
    eye_height: float = 6.7  # mm
    inverse_light: bool = False  # released: True, normals turn against the head
    # Discriminator.
    dis_width: int = 64  # channels of the first layer; doubles three times
    dis_scales: int = 3
    # Losses. A weight of 0 leaves the term out.
    lambda_adversarial: float = 1.0  # 0: no discriminator, so no feature matching either
    lambda_matching: float = 2.0  # feature matching
    lambda_vgg: float = 10.0  # needs `vgg`
    lambda_l1: float = 50.0
    vgg: str = ""  # path of torchvision's vgg19 weights
    # Computation.
    bfloat16: bool = False  # parameters, geometry and losses stay float32

    def __post_init__(self):
        for name in ("width", "halvings", "dis_width", "dis_scales"):
            _due(name, getattr(self, name), getattr(self, name) >= 1, "1 or more")
        for name in ("trunk_residuals", "residuals"):
            _due(name, getattr(self, name), getattr(self, name) >= 0, "0 or more")
        _due("width", self.width, self.width % 2 == 0, "an even number")
        for name, known in (("attention", ATTENTIONS), ("blink", BLINKS)):
            _due(name, getattr(self, name), getattr(self, name) in known, " or ".join(known))
        for name in ("eye_width", "eye_height"):
            _due(name, getattr(self, name), 0 < getattr(self, name) < 100, "0 to 100 mm")
        for name in ("lambda_adversarial", "lambda_matching", "lambda_vgg", "lambda_l1"):
            value = getattr(self, name)
            _due(name, value, 0 <= value < float("inf"), "0 or more")

    @property
    def channels(self) -> int:
        """Of one frame of the condition."""
        return 4 if self.attention == "concat" else 3


def _due(name: str, value: Any, holds: bool, due: str) -> None:
    if not holds:
        raise InputError(f"model.{name} is {value!r}; due: {due}")


def paper() -> dict[str, Any]:
    """Returns Config's arguments for the paper, the code's faults mended: the defaults."""
    return {}


def released() -> dict[str, Any]:
    """Returns Config's arguments for what the published code does, so that its weights fit."""
    return {"attention": "overwrite", "blink": "raw", "inverse_light": True}


PRESETS = {"paper": paper, "released": released}
