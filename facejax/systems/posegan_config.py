"""PoseGAN's numbers: one default each, and the presets."""

import dataclasses
from typing import Any

from facejax.errors import InputError
from facejax.nets import facial, unet1d

MOST_NOISE = 16
DISCRIMINATORS = ("sequence", "motion")


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that a run may tune in the nets and losses.

    The supplement gives the layers and neither widths nor losses. Widths are those of FACIAL, by
    the same authors, at twice the length; the weights are those of FACIAL's pose: 1, 10 on motion,
    10 on the first frame, 0.1 adversarial.

    Raises:
      InputError: a value out of its range.
    """

    # Generator.
    encoder_widths: tuple[int, ...] = facial.WIDTHS  # channels of the speech encoder's four layers
    unet: str = "posegan"  # a key of unet1d.UNETS: the supplement's order, or that of others
    unet_widths: tuple[int, ...] = ()  # channels after each halving; (): the variant's own five
    width: int = 256  # channels of the U-net's result and of the decoder
    audio: bool = True  # False: no speech is heard (ablation)
    initial_pose: bool = True  # False: the net does not see it (ablation)
    # What the paper has not: a head may move in many ways to the same speech.
    noise: int = 0  # random numbers that the net is told of each frame
    speakers: int = 0  # 0: it is not told who speaks; else of at most so many speakers, who
    speech_noise: float = 0.0  # deviation of noise on the speech features in training
    # Discriminator, on pose and motion ("sequence", that of FACIAL) or on motion alone.
    discriminator: str = "sequence"
    dis_width: int = 64  # channels of the first layer; doubles from layer to layer
    # Losses. A weight of 0 leaves the term out.
    lambda_pose: float = 1.0
    lambda_pose_motion: float = 10.0  # of first differences in time
    lambda_initial: float = 10.0  # of the first frame, which is the initial pose
    lambda_adversarial: float = 0.1  # 0: no discriminator (ablation)
    lambda_energy: float = 0.0  # of two motions that differ in their noise; not in the paper
    # Computation.
    bfloat16: bool = False  # parameters, statistics, results and losses stay float32

    def __post_init__(self):
        self._check_choices()
        self._check_numbers()
        if not (self.audio or self.initial_pose):
            raise InputError("model.audio and model.initial_pose are False; due: one of them True")
        if self.lambda_energy and not self.noise:
            raise InputError(
                "model.lambda_energy compares motions that differ in their noise, and model.noise "
                "is 0; set it to 1 or more"
            )

    def _check_choices(self):
        widths = self.encoder_widths
        if len(widths) != 4 or min(widths) < 1:
            raise InputError(f"model.encoder_widths is {widths}; due: four numbers, 1 or more each")
        if self.unet not in unet1d.UNETS:
            raise InputError(f"model.unet is {self.unet!r}; due: {', '.join(unet1d.UNETS)}")
        if self.unet_widths and min(self.unet_widths) < 1:
            raise InputError(f"model.unet_widths is {self.unet_widths}; due: 1 or more each")
        if self.discriminator not in DISCRIMINATORS:
            due = " or ".join(DISCRIMINATORS)
            raise InputError(f"model.discriminator is {self.discriminator!r}; due: {due}")

    def _check_numbers(self):
        for name, least in (("width", 1), ("dis_width", 1), ("noise", 0), ("speakers", 0)):
            if getattr(self, name) < least:
                raise InputError(f"model.{name} is {getattr(self, name)}; due: {least} or more")
        if self.noise > MOST_NOISE:
            raise InputError(f"model.noise is {self.noise}; due: 0 to {MOST_NOISE}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name.startswith("lambda_") and not 0 <= value < float("inf"):
                raise InputError(f"model.{field.name} is {value}; due: 0 or more")
        if not 0 <= self.speech_noise < float("inf"):
            raise InputError(f"model.speech_noise is {self.speech_noise}; due: 0 or more")

    @property
    def levels(self) -> int:
        """How often the U-net halves the length."""
        return len(self.unet_widths or unet1d.WIDTHS)


def paper() -> dict[str, Any]:
    """Returns Config's arguments for what the supplement says: the defaults."""
    return {}


def diverse() -> dict[str, Any]:
    """Returns Config's arguments for a net that moves in another way for each seed.

    Squared errors would average all ways that a head may move; the energy score does not.
    """
    return {
        "noise": 8,
        "lambda_pose": 0.0,
        "lambda_pose_motion": 0.0,
        "lambda_energy": 1.0,
    }


PRESETS = {"paper": paper, "diverse": diverse}
