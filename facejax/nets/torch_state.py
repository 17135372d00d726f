"""Moves tensors from a torch state dict into the trees of our nets."""

from collections.abc import Mapping
from typing import Any

import numpy as np

Tree = dict[str, Any]  # module names, then arrays


class Reader:
    """Takes the tensors of one layer after another, and notes which are left.

    Names have dots; `theirs` is the file's module, `ours` the place in our tree. Each method raises
    ValueError where a tensor is missing; the message names it.
    """

    def __init__(self, state: Mapping[str, np.ndarray]):
        self.left = dict(state)
        self.params: Tree = {}
        self.stats: Tree = {}  # spectral vectors, running means and variances

    def convolution(self, theirs: str, ours: str, *, drop_axes: tuple[int, ...] = ()) -> None:
        """Takes a convolution, with its spectral vector and its bias where it has them.

        Args:
          theirs: of a kernel [O, I, k, ...].
          ours: of one [k, ..., I, O].
          drop_axes: axes of their kernel, of size 1, that ours has not.
        """
        spectral = f"{theirs}.weight_orig" in self.left
        kernel = self._take(f"{theirs}.{'weight_orig' if spectral else 'weight'}")
        kernel = np.squeeze(kernel, drop_axes)
        self._put(theirs, ours, np.moveaxis(kernel, (0, 1), (-1, -2)))
        if spectral:
            _put(self.stats, ours, {"u": self._take(f"{theirs}.weight_u")})
            self._take(f"{theirs}.weight_v")

    def transposed(self, theirs: str, ours: str) -> None:
        """Takes a transposed convolution, whose kernel [I, O, k, ...] torch turns around."""
        kernel = self._take(f"{theirs}.weight")
        kernel = np.flip(kernel, tuple(range(2, kernel.ndim)))
        self._put(theirs, ours, np.moveaxis(kernel, (0, 1), (-2, -1)))

    def pair(self, first: str, second: str, ours: str) -> None:
        """Takes two convolutions of one input as one, side by side."""
        kernels = [self._take(f"{name}.weight") for name in (first, second)]
        biases = [self._take(f"{name}.bias") for name in (first, second)]
        kernel = np.moveaxis(np.concatenate(kernels), (0, 1), (-1, -2))
        _put(self.params, ours, {"kernel": kernel, "bias": np.concatenate(biases)})

    def dense(self, theirs: str, ours: str) -> None:
        """Takes a linear layer."""
        self._put(theirs, ours, np.transpose(self._take(f"{theirs}.weight")))

    def norm(self, theirs: str, ours: str) -> None:
        """Takes the scale and bias of a norm."""
        scale, bias = (self._take(f"{theirs}.{part}") for part in ("weight", "bias"))
        _put(self.params, ours, {"scale": scale, "bias": bias})

    def batch_norm(self, theirs: str, ours: str) -> None:
        """Takes a norm and its running statistics; how often they moved does not matter."""
        self.norm(theirs, ours)
        mean, variance = (self._take(f"{theirs}.running_{part}") for part in ("mean", "var"))
        _put(self.stats, ours, {"mean": mean, "var": variance})
        self.left.pop(f"{theirs}.num_batches_tracked", None)

    def result(self) -> tuple[Tree, Tree]:
        """Returns (params, stats).

        Raises:
          ValueError: a tensor has not been taken; the message names one.
        """
        if self.left:
            raise ValueError(f"has {len(self.left)} tensors too many, such as {min(self.left)!r}")
        return self.params, self.stats

    def _put(self, theirs: str, ours: str, kernel: np.ndarray) -> None:
        leaves = {"kernel": kernel}
        if f"{theirs}.bias" in self.left:
            leaves["bias"] = self._take(f"{theirs}.bias")
        _put(self.params, ours, leaves)

    def _take(self, name: str) -> np.ndarray:
        if name not in self.left:
            raise ValueError(f"has no tensor {name!r}")
        return np.asarray(self.left.pop(name), np.float32)


def _put(tree: Tree, path: str, leaves: Tree) -> None:
    for name in path.split("."):
        tree = tree.setdefault(name, {})
    tree.update(leaves)
