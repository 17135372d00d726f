"""FACIAL-GAN's numbers: one default each, the paper's; and the presets."""

import dataclasses
from typing import Any

from facejax.errors import InputError
from facejax.losses import REDUCTIONS
from facejax.nets import facial


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that a run may tune in the nets and losses.

    The weights are those that the main paper names, 2, 1, 5, 10, 10 and 0.1: expression, pose and
    blink, each as value + 10 x motion; the first frame; the adversarial term.

    Raises:
      InputError: a value out of its range.
    """

    # Generator.
    encoder_widths: tuple[int, ...] = facial.WIDTHS  # channels of G_tem's first four convolutions
    width: int = 256  # channels of its convolutions in time
    local_widths: tuple[int, ...] = facial.LOCAL_WIDTHS  # channels of G_loc's four convolutions
    features: int = 32  # numbers a frame of each of the two
    long_padding: bool = False  # two zeros on each side in time, so 65, 33, 34; released: True
    unet: bool = False  # after the resizing in time; released: True
    norm_first: bool = False  # batch norm before the activation in G_tem; released: True
    final_norm: bool = True  # activation and batch norm after G_tem's last too; released: False
    local_norm: bool = False  # batch norm after G_loc's tanh; released: True
    step_norm: bool = False  # G_loc's batch statistics are of each time step; released: True
    # Against learning a small recording by heart; neither is in the paper.
    state_dropout: float = 0.0  # share of sequences trained from no state: how speech begins
    speech_noise: float = 0.0  # deviation of noise on the speech features in training
    # Discriminator.
    dis_width: int = 64  # channels of the first layer; doubles three times
    # Losses. A weight of 0 leaves the term out.
    lambda_expression: float = 2.0  # released: 20
    lambda_expression_motion: float = 20.0  # of first differences in time; released: 200
    lambda_pose: float = 1.0
    lambda_pose_motion: float = 10.0
    lambda_blink: float = 5.0  # released: 0.5
    lambda_blink_motion: float = 50.0  # released: 1
    lambda_state: float = 10.0  # of the first frame, which is the state
    lambda_adversarial: float = 0.1  # 0: no discriminator
    state_blink_twice: bool = False  # the first frame's blink counts as expression, too; released
    reduction: str = "mean"  # of the first seven: over all elements, or "sum" over a sequence
    # Computation.
    bfloat16: bool = False  # parameters, statistics, results and losses stay float32

    def __post_init__(self):
        for name in ("encoder_widths", "local_widths"):
            widths = getattr(self, name)
            if len(widths) != 4 or min(widths) < 1:
                raise InputError(f"model.{name} is {widths}; due: four numbers, 1 or more each")
        for name in ("width", "features", "dis_width"):
            if getattr(self, name) < 1:
                raise InputError(f"model.{name} is {getattr(self, name)}; due: 1 or more")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name.startswith("lambda_") and not 0 <= value < float("inf"):
                raise InputError(f"model.{field.name} is {value}; due: 0 or more")
        if not 0 <= self.speech_noise < float("inf"):
            raise InputError(f"model.speech_noise is {self.speech_noise}; due: 0 or more")
        if not 0 <= self.state_dropout <= 1:
            raise InputError(f"model.state_dropout is {self.state_dropout}; due: 0 to 1")
        if self.reduction not in REDUCTIONS:
            due = " or ".join(REDUCTIONS)
            raise InputError(f"model.reduction is {self.reduction!r}; due: {due}")


def paper() -> dict[str, Any]:
    """Returns Config's arguments for what paper and supplement say: the defaults."""
    return {}


def released() -> dict[str, Any]:
    """Returns Config's arguments for what the published code does, so that its weights fit."""
    return {
        "long_padding": True,
        "unet": True,
        "norm_first": True,
        "final_norm": False,
        "local_norm": True,
        "step_norm": True,
        "lambda_expression": 20.0,
        "lambda_expression_motion": 200.0,
        "lambda_blink": 0.5,
        "lambda_blink_motion": 1.0,
        "state_blink_twice": True,
    }


PRESETS = {"paper": paper, "released": released}
