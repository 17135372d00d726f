"""What a trainable system is: pure functions over pytrees, and the state they act on."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax

PyTree = Any


class System(NamedTuple):
    """One talking-head model. `params` and `stats` are {"gen": tree, "dis": tree}.

    `frozen` holds arrays that never train (morphable model, VGG weights); it is passed back to
    every function as an argument, so that it is not baked into the compiled program.
    """

    init: Callable  # (key, frozen, batch) -> params, stats
    discriminator_loss: Callable  # (dis, gen, stats, frozen, batch, key) -> loss, (stats, terms)
    generator_loss: Callable  # (gen, dis, stats, frozen, batch, key) -> loss, (stats, terms)
    generate: Callable  # (gen, stats, frozen, inputs) -> {"image": [B, H, W, 3], ...}
    frozen: PyTree


@flax.struct.dataclass
class TrainState:
    """Everything a run needs to go on: arrays only, so a checkpoint is the state and no more."""

    step: jax.Array  # [] int32
    params: PyTree  # {"gen": tree, "dis": tree}
    stats: PyTree  # {"gen": tree, "dis": tree}: spectral vectors, running norms
    opt: PyTree  # {"gen": tree, "dis": tree}
    ema: PyTree  # the generator's moving average, used by `generate`
