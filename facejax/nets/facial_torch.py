"""FACIAL's published weights, as the variables of our nets.

The published checkpoints are state dicts: the attribute generator (`Gen-....mdl`), its
discriminator, and the rendering-to-video nets (`latest_net_G.pth`, `latest_net_D.pth`). They fit
`facial.released()`, `patches.SequenceDiscriminator()`, and `facial_video`'s nets of full width. The
weights are the authors' and are not part of this package.
"""

from collections.abc import Mapping

import numpy as np

from facejax.nets.torch_state import Reader, Tree

LEVELS = 5  # of the U-net
SCALES, LAYERS = 3, 5  # of the rendering-to-video discriminator
PARALLEL = "module."  # before every name of a net that was saved while on several devices


def generator(state: Mapping[str, np.ndarray]) -> tuple[Tree, Tree]:
    """Returns (params, batch_stats) of `facial.released()`.

    Raises:
      ValueError: tensors are missing or left over; the message names one.
    """
    reader = _reader(state)
    for i in range(4):
        ours = f"temporal.encoder.encode_{i}"
        reader.convolution(f"conv{i + 1}1", f"{ours}.conv")
        reader.batch_norm(f"bn{i + 1}1", f"{ours}.norm")
    _unet(reader, "temporal.unet")
    for i, name in enumerate(("42", "52")):
        reader.convolution(f"conv{name}", f"temporal.decode_{i}.conv")
        reader.batch_norm(f"bn{name}", f"temporal.decode_{i}.norm")
    reader.convolution("conv62", "temporal.decode_2")
    for i in range(4):  # an image of one column there, a sequence here
        reader.convolution(f"G1.conv{i + 1}.0", f"local.conv_{i}.conv", drop_axes=(3,))
        reader.batch_norm(f"G1.conv{i + 1}.2", f"local.conv_{i}.norm")
    reader.dense("G1.fc1", "local.dense")
    reader.batch_norm("G1.bn1", "local.norm")
    reader.dense("G1.fc2", "fusion")
    return reader.result()


def discriminator(state: Mapping[str, np.ndarray]) -> tuple[Tree, Tree]:
    """Returns (params, batch_stats) of `patches.SequenceDiscriminator`.

    Raises:
      ValueError: tensors are missing or left over; the message names one.
    """
    reader = _reader(state)
    for i, index in enumerate((0, 2, 5, 8)):
        reader.convolution(f"model.{index}", f"scale_0.conv_{i}")
        if i:
            reader.batch_norm(f"model.{index + 1}", f"scale_0.norm_{i}")
    reader.convolution("model.11", "scale_0.score")
    return reader.result()


def video_generator(state: Mapping[str, np.ndarray]) -> Tree:
    """Returns the parameters of `facial_video.VideoGenerator()`.

    Raises:
      ValueError: tensors are missing or left over; the message names one.
    """
    reader = _reader(state)
    reader.convolution("model.1", "trunk.first")
    for i in range(4):
        reader.convolution(f"model.{4 + 3 * i}", f"trunk.down_{i}")
        _residual(reader, f"model.{16 + i}", f"trunk.block_{i}")
        reader.transposed(f"model.{29 - 3 * i}", f"trunk.up_{i}")
    reader.convolution("model1_1.1", "first")
    reader.convolution("model1_1.4", "down")
    for i in range(3):
        _residual(reader, f"model1_2.{i}", f"block_{i}")
    reader.transposed("model1_2.3", "up")
    reader.convolution("model1_2.7", "image")
    return reader.result()[0]


def video_discriminator(state: Mapping[str, np.ndarray]) -> Tree:
    """Returns the parameters of `facial_video.discriminator()`.

    The file's last scale is the finest, ours the first.

    Raises:
      ValueError: tensors are missing or left over; the message names one.
    """
    reader = _reader(state)
    for scale in range(SCALES):
        for i in range(LAYERS):
            name = f"conv_{i}" if i < LAYERS - 1 else "score"
            theirs = f"scale{SCALES - 1 - scale}_layer{i}.0"
            reader.convolution(theirs, f"scale_{scale}.{name}")
    return reader.result()[0]


def _reader(state: Mapping[str, np.ndarray]) -> Reader:
    return Reader({name.removeprefix(PARALLEL): value for name, value in state.items()})


def _residual(reader: Reader, theirs: str, ours: str) -> None:
    for i, index in enumerate((1, 5)):
        reader.convolution(f"{theirs}.conv_block.{index}", f"{ours}.conv_{i}")


def _unet(reader: Reader, ours: str) -> None:
    """Takes the U-net, whose levels lie in each other: down, the level inside, up."""
    theirs = "model.model"
    for level in range(LEVELS):
        outermost, innermost = level == 0, level == LEVELS - 1
        down, inside, up = (0, 1, 3) if outermost else (1, 3, 3 if innermost else 5)
        reader.convolution(f"{theirs}.{down}", f"{ours}.down_{level}.conv")
        reader.transposed(f"{theirs}.{up}", f"{ours}.up_{level}.conv")
        if not outermost:
            reader.batch_norm(f"{theirs}.{up + 1}", f"{ours}.up_{level}.norm")
        if not (outermost or innermost):
            reader.batch_norm(f"{theirs}.{down + 1}", f"{ours}.down_{level}.norm")
        theirs = f"{theirs}.{inside}.model"
