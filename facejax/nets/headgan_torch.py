"""HeadGAN's published weights, as the parameters of our nets.

The released checkpoints are state dicts (`latest_net_G.pth`: 232 tensors; `latest_net_D.pth` and
`latest_net_Dm.pth`: 38 each). Their kernels are (O, I, k, k); gamma and beta of SPADE are layers of
their own there. Spectral vectors u carry over; v is recomputed. The weights are the authors' under
CC BY-NC-SA 4.0 and are not part of this package.
"""

from collections.abc import Mapping

import numpy as np

from facejax.nets import torch_state
from facejax.nets.torch_state import Tree

# The file's module -> ours.
_ENCODERS = {
    "flow_network.enc": "flow_net.encoder",
    "rendering_network.cond_enc": "renderer.encoder",
}
_SPADE_BLOCKS = {
    "flow_network.dec_res.0": "flow_net.deep_0",
    "flow_network.dec_res.1": "flow_net.deep_1",
    "flow_network.dec_main.0": "flow_net.decode_1",
    "flow_network.dec_main.1": "flow_net.decode_0",
    "rendering_network.cond_dec.0": "renderer.spade_2",
    "rendering_network.cond_dec.1": "renderer.spade_1",
    "rendering_network.cond_dec.2": "renderer.spade_0",
    "rendering_network.cond_dec.3": "renderer.spade_image",
}
_ADAIN_BLOCKS = {
    f"rendering_network.cond_dec_audio.{i}": f"renderer.adain_{2 - i}" for i in range(3)
}
_HEADS = {
    "flow_network.dec_flow.1": "flow_net.flow",
    "flow_network.dec_mask.1": "flow_net.mask",
    "rendering_network.conv_img.1": "renderer.image",
}


def generator(state: Mapping[str, np.ndarray]) -> tuple[Tree, Tree]:
    """Returns (params, stats) of the generator of the `released` preset.

    Raises:
      ValueError: tensors are missing or left over; the message names one.
    """
    reader = torch_state.Reader(state)
    for theirs, ours in _ENCODERS.items():
        for level in range(3):
            place = f"{theirs}.{level}.{0 if level else 1}"
            reader.convolution(f"{place}.0", f"{ours}.conv_{level}")
            reader.norm(f"{place}.1", f"{ours}.norm_{level}")
    for theirs, ours in _SPADE_BLOCKS.items():
        for i in range(2):
            reader.convolution(f"{theirs}.conv_{i}", f"{ours}.conv_{i}")
            norm = f"{theirs}.norm_{i}"
            reader.convolution(f"{norm}.mlp_shared.0", f"{ours}.norm_{i}.shared")
            reader.pair(f"{norm}.mlp_gamma", f"{norm}.mlp_beta", f"{ours}.norm_{i}.gamma_beta")
    for theirs, ours in _ADAIN_BLOCKS.items():
        for i in range(2):
            reader.convolution(f"{theirs}.conv{i + 1}", f"{ours}.conv_{i}")
            reader.dense(f"{theirs}.norm{i + 1}.fc", f"{ours}.norm_{i}.gamma_beta")
    for theirs, ours in _HEADS.items():
        reader.convolution(theirs, ours)
    return reader.result()


def discriminator(state: Mapping[str, np.ndarray]) -> tuple[Tree, Tree]:
    """Returns (params, stats) of a `PatchDiscriminator`, image or mouth.

    Raises:
      ValueError: tensors are missing or left over; the message names one.
    """
    reader = torch_state.Reader(state)
    for scale in range(2):
        theirs, ours = f"discriminator_{scale}.model", f"scale_{scale}"
        reader.convolution(f"{theirs}0.0", f"{ours}.conv_0")
        for i in range(1, 4):
            reader.convolution(f"{theirs}{i}.0.0", f"{ours}.conv_{i}")
            reader.norm(f"{theirs}{i}.0.1", f"{ours}.norm_{i}")
        reader.convolution(f"{theirs}4.0", f"{ours}.score")
    return reader.result()
