"""HeadGAN's numbers: one default each, the paper's; and the presets."""

import dataclasses
from typing import Any

from facejax.errors import InputError

CONDITIONS = ("face", "sketch")


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that a run may tune in the nets and losses. Sizes are those for 256 px.

    Raises:
      InputError: a value out of its range.
    """

    # Generator.
    width: int = 32  # channels at full resolution; x4 a level with pixel shuffle, else x2
    hidden: int = 256  # of SPADE's shared convolution; the paper does not say, the code has 256
    levels: int = 2  # halvings of the image: log2(256 / 64)
    spectral: bool = True  # spectral norm in the generator too, as the code has it
    spade_residual: bool = False  # SPADE blocks add their input; released: True
    mask_head: bool = False  # a mask multiplied into the flow; released: True
    use_flow: bool = True  # False: the reference's features stay where they are
    use_audio: bool = True  # False: no AdaIN blocks
    use_pixel_shuffle: bool = True  # False: nearest up-sampling of narrower layers
    spade_gain: float = 0.02  # of SPADE's initialisers: how much the 3-D faces count at first
    from_warped: bool = False  # R adds to the warped image; not in the paper, quicker to train
    condition: str = "face"  # "sketch": landmarks drawn as lines in the place of the 3-D face
    # Discriminators.
    dis_width: int = 64  # channels of the first layer; doubles three times
    dis_scales: int = 2
    use_mouth_discriminator: bool = True
    mouth_size: int = 64  # px, side of the window
    mouth_landmarks: int = 68  # the window's centre is the median of landmarks 48 up to this one
    dis_mouth_weight: float = 1.0  # of the mouth discriminator's own loss; released: 0.5
    # Losses. A weight of 0 leaves the term out.
    lambda_adversarial: float = 1.0  # 0: no discriminators, so no feature matching either
    lambda_matching: float = 10.0  # feature matching
    lambda_l1: float = 50.0  # on the image and on the warped reference
    lambda_vgg: float = 10.0  # on the image and on the warped reference; needs `vgg`
    lambda_mask: float = 0.0  # released: 10; needs `mask_head`
    masked_l1: bool = False  # L1 only where the 3-D face is; released: True
    vgg: str = ""  # path of torchvision's vgg19 weights
    parsing: str = ""  # path of the face-parsing weights that give the mask loss its target
    # Computation.
    bfloat16: bool = False  # parameters, geometry, flow and losses stay float32

    def __post_init__(self):
        for name in ("width", "hidden", "dis_width", "dis_scales"):
            _due(name, getattr(self, name), getattr(self, name) >= 1, "1 or more")
        _due("levels", self.levels, 1 <= self.levels <= 5, "1 to 5")
        _due("mouth_size", self.mouth_size, self.mouth_size >= 8, "8 px or more")
        _due("mouth_landmarks", self.mouth_landmarks, 49 <= self.mouth_landmarks <= 70, "49 to 70")
        _due("condition", self.condition, self.condition in CONDITIONS, " or ".join(CONDITIONS))
        for field in dataclasses.fields(self):
            if field.type is float or field.type == "float":
                value = getattr(self, field.name)
                _due(field.name, value, 0 <= value < float("inf"), "0 or more")
        if self.lambda_mask and not (self.mask_head and self.use_flow):
            raise InputError(
                f"lambda_mask is {self.lambda_mask} and there is no mask; due: lambda_mask = 0, or "
                "mask_head and use_flow = True"
            )


def _due(name: str, value: Any, holds: bool, due: str) -> None:
    if not holds:
        raise InputError(f"model.{name} is {value!r}; due: {due}")


def paper() -> dict[str, Any]:
    """Returns Config's arguments for what the supplement says: the defaults."""
    return {}


def released() -> dict[str, Any]:
    """Returns Config's arguments for what the published code does, so that its weights fit."""
    return {
        "spade_residual": True,
        "mask_head": True,
        "mouth_landmarks": 70,
        "dis_mouth_weight": 0.5,
        "lambda_mask": 10.0,
        "masked_l1": True,
    }


PRESETS = {"paper": paper, "released": released}
