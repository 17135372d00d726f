"""The numbers of Rhythmic Head Motion's generator: one default each, the paper's; and the presets.

Where the paper is silent or only draws a figure, the number is that of the published code.
"""

import dataclasses
from typing import Any

from facejax.errors import InputError

NORMS = ("batch", "instance")
ATTENTIONS = ("hybrid", "plain", "mean")
COMPOSES = ("sum", "mean", "concat", "cascade", "linear")
FLOW_TARGETS = ("none", "mesh")
HINGES = ("plain", "saturating")


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that a run may tune in the nets and losses. Sizes are those for 256 px.

    Raises:
      InputError: a value out of its range, or two that contradict each other.
    """

    # Generator.
    shots: int = 8  # K, as data.references; "hybrid" is for that K, fewer images are repeated
    width: int = 32  # channels at full size; x2 a halving
    most_width: int = 1024
    downs: int = 5  # halvings: 256 px to 8
    spectral: bool = True  # spectral norm in the generator
    norm: str = "batch"  # "instance": one image's own statistics, for small batches
    # "hybrid": eq. 6. "plain": attention without exchange and gates (released). "mean": ablation.
    attention: str = "hybrid"
    gate_layers: int = 2  # of ConvGate; released: 1
    shared_activation: bool = False  # one activation encoder, as eq. 3; the code has two
    adaptive_levels: int = 4  # decoder levels whose weights the references give
    mlp_activation: bool = True  # leaky ReLU in the MLPs that give weights; released: none
    sketch_holes: bool = False  # released: theta_S as transposed 1x1 convolutions
    compose: str = "sum"  # of the SPADEs; released: "cascade"; "linear": matting, the ablation
    compose_levels: int = 6  # levels that see the warped images, at most downs + 1; released: 2
    transposed: bool = True  # transposed convolutions climb; released: repeated pixels
    use_matched: bool = True  # False: no matched reference
    use_projection: bool = True  # False: no 3-D aware branch (ablation)
    use_warp: bool = True  # False: both images stay unwarped (ablation)
    crop_mouth: bool = False  # released: mouths (in use: eyes too) are cut out of what is warped
    # Flow nets.
    flow_width: int = 32
    flow_downs: int = 3
    flow_residuals: int = 6
    flow_gain: float = 20.0  # px that an output of 1 means
    align_corners: bool = True  # False: the published code's slightly shifted sampling
    # Discriminators.
    dis_width: int = 32
    dis_layers: int = 5
    dis_scales: int = 2  # D_1, D_2; released: 1
    # Losses: eq. 8. A weight of 0 leaves the term out.
    lambda_adversarial: float = 1.0  # 0: no discriminators, so no feature matching either
    lambda_matching: float = 10.0  # lambda_FM
    lambda_vgg: float = 10.0  # lambda_PCT; needs `vgg`
    lambda_warp: float = 10.0  # lambda_W, on the warped images and, if it has a target, on the flow
    lambda_l1: float = 0.0  # on the image; not in the paper
    raw_loss: bool = True  # the image drawn from landmarks alone is judged too
    hinge: str = "plain"  # of the generator; released: "saturating" at 1
    flow_target: str = "none"  # "mesh": the true flow of the face's mesh
    vgg: str = ""  # path of torchvision's vgg19 weights
    # Computation.
    bfloat16: bool = False  # parameters, geometry, flow and losses stay float32

    def __post_init__(self):
        self._check_numbers()
        for name, known in (
            ("norm", NORMS),
            ("attention", ATTENTIONS),
            ("compose", COMPOSES),
            ("hinge", HINGES),
            ("flow_target", FLOW_TARGETS),
        ):
            _due(name, getattr(self, name), getattr(self, name) in known, " or ".join(known))
        if self.compose == "concat" and self.raw_loss:
            raise InputError(
                'model.compose is "concat", whose convolutions fit three maps, and model.raw_loss '
                "draws with one; due: raw_loss = False, or another compose"
            )

    def _check_numbers(self) -> None:
        for name in ("shots", "width", "gate_layers", "flow_width", "dis_width", "dis_scales"):
            _due(name, getattr(self, name), getattr(self, name) >= 1, "1 or more")
        _due("downs", self.downs, 2 <= self.downs <= 7, "2 to 7")
        levels = self.downs + 1
        _due("adaptive_levels", self.adaptive_levels, 0 <= self.adaptive_levels < levels,
             f"0 to {self.downs}, the model.downs")  # fmt: skip
        _due("compose_levels", self.compose_levels, 1 <= self.compose_levels <= levels,
             f"1 to {levels}, which is model.downs + 1")  # fmt: skip
        ratio = self.most_width / self.width
        power = ratio >= 1 and (ratio == int(ratio)) and (int(ratio) & (int(ratio) - 1)) == 0
        _due("most_width", self.most_width, power, "model.width times 1, 2, 4, ...")
        _due("flow_downs", self.flow_downs, 0 <= self.flow_downs <= self.downs, "0 to model.downs")
        _due("flow_residuals", self.flow_residuals, self.flow_residuals >= 0, "0 or more")
        _due("dis_layers", self.dis_layers, self.dis_layers >= 2, "2 or more")
        for field in dataclasses.fields(self):
            if field.type in (float, "float"):
                value = getattr(self, field.name)
                _due(field.name, value, 0 <= value < float("inf"), "0 or more")


def _due(name: str, value: Any, holds: bool, due: str) -> None:
    if not holds:
        raise InputError(f"model.{name} is {value!r}; due: {due}")


def paper() -> dict[str, Any]:
    """Returns Config's arguments for what the paper says: the defaults."""
    return {}


def released() -> dict[str, Any]:
    """Returns Config's arguments for the model that the authors evaluated: no exchange, no gates.

    One set of weights serves any K.
    """
    return {
        "attention": "plain",
        "gate_layers": 1,
        "mlp_activation": False,
        "sketch_holes": True,
        "compose": "cascade",
        "compose_levels": 2,
        "transposed": False,
        "crop_mouth": True,
        "dis_scales": 1,
        "hinge": "saturating",
    }


def released_new() -> dict[str, Any]:
    """Returns Config's arguments for the published recipe: with exchange and gates."""
    return released() | {"attention": "hybrid", "compose": "mean"}


PRESETS = {"paper": paper, "released": released, "released_new": released_new}

# Table 3: what each row changes.
ABLATIONS: dict[str, dict[str, Any]] = {
    "full": {},
    "without 3D-aware": {"use_projection": False},
    "without hybrid attention": {"attention": "mean"},
    "without non-linear composition": {"compose": "linear"},
    "without warping": {"use_warp": False},
    "baseline": {"use_projection": False, "use_matched": False, "attention": "mean"},
}
