"""Face parsing: which pixels show the person. BiSeNet (Yu et al. 2018, arXiv:1808.00897).

The variant trained on the 19 classes of CelebAMask-HQ (0 = background) whose weights are passed
around as `79999_iter.pth`: a ResNet-18, whose stride-8 features take the place of BiSeNet's spatial
path. Its batch norms are folded into the convolutions when the weights are read. Images are
[B, H, W, C].
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from facejax import images
from facejax.nets import blocks

CLASSES = 19
SIZE = 512  # px, of the images it was trained on
BATCH_NORM_EPS = 1e-5
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, images in [0, 1]


class _Conv(nn.Module):
    """A convolution with (kernel - 1) / 2 zeros on each side; a bias where a batch norm was."""

    features: int
    kernel: int = 3
    stride: int = 1
    bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        pad = (self.kernel - 1) // 2
        return nn.Conv(
            self.features,
            (self.kernel, self.kernel),
            self.stride,
            ((pad, pad), (pad, pad)),
            use_bias=self.bias,
            name="conv",
        )(x)


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; He et al. 2016, arXiv:1512.03385, Fig. 5 left."""

    features: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = nn.relu(_Conv(self.features, 3, self.stride, name="conv1")(x))
        y = _Conv(self.features, name="conv2")(y)
        if self.stride != 1 or x.shape[-1] != self.features:
            x = _Conv(self.features, 1, self.stride, name="downsample")(x)
        return nn.relu(x + y)


def _mean(x: jax.Array) -> jax.Array:
    return jnp.mean(x, axis=(1, 2), keepdims=True)


class _Refine(nn.Module):
    """Attention refinement: features weighted by a sigmoid of their mean."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(_Conv(self.features, name="conv")(x))
        return x * nn.sigmoid(_Conv(self.features, 1, name="attention")(_mean(x)))


def _repeat(x: jax.Array) -> jax.Array:
    """Nearest up-sampling by two."""
    return x.repeat(2, axis=1).repeat(2, axis=2)


class ParsingNet(nn.Module):
    """Scores of the classes at each pixel.

    Attributes:
      width: channels of the first layer; 64 in the published weights.
    """

    width: int = 64

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        """[B, H, W, 3], ImageNet-normalised, H and W multiples of 32 -> [B, H/8, W/8, CLASSES]."""
        w = self.width
        x = nn.relu(_Conv(w, 7, 2, name="conv1")(image))
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        levels = []
        for i in range(4):
            x = _BasicBlock(w * 2**i, 1 if i == 0 else 2, name=f"layer{i + 1}_0")(x)
            x = _BasicBlock(w * 2**i, 1, name=f"layer{i + 1}_1")(x)
            levels.append(x)
        _, at_8, at_16, at_32 = levels
        mean = nn.relu(_Conv(2 * w, 1, name="conv_avg")(_mean(at_32)))
        x = _Refine(2 * w, name="arm32")(at_32) + mean
        x = nn.relu(_Conv(2 * w, name="conv_head32")(_repeat(x)))
        x = _Refine(2 * w, name="arm16")(at_16) + x
        x = nn.relu(_Conv(2 * w, name="conv_head16")(_repeat(x)))
        x = nn.relu(_Conv(4 * w, 1, name="fuse")(jnp.concatenate([at_8, x], -1)))
        attention = nn.relu(_Conv(w, 1, bias=False, name="fuse_attention1")(_mean(x)))
        attention = nn.sigmoid(_Conv(4 * w, 1, bias=False, name="fuse_attention2")(attention))
        x = nn.relu(_Conv(4 * w, name="head")(x + x * attention))
        return _Conv(CLASSES, 1, bias=False, name="scores")(x)


def resize_corners(x: jax.Array, height: int, width: int) -> jax.Array:
    """[B, h, w, C] -> [B, height, width, C], bilinear, corner pixels on corner pixels."""
    rows = blocks.corner_weights(x.shape[1], height).astype(x.dtype)
    columns = blocks.corner_weights(x.shape[2], width).astype(x.dtype)
    return jnp.einsum("yh,xw,bhwc->byxc", rows, columns, x)


def person(params: Mapping, image: jax.Array, *, size: int = SIZE) -> jax.Array:
    """Returns how much of each pixel is not background, [B, H, W, 1] in [0, 1]; S(.) of HeadGAN.

    Args:
      params: of `ParsingNet`.
      image: [B, H, W, 3] in [-1, 1].
      size: side at which it is parsed, a multiple of 32.
    """
    height, width = image.shape[1:3]
    x = (images.resize(image, size, size, antialias=False) + 1) / 2
    x = (x - jnp.array(MEAN)[None, None, None]) / jnp.array(STD)[None, None, None]
    net = ParsingNet(params["conv1"]["conv"]["kernel"].shape[-1])
    scores = net.apply({"params": params}, x)
    classes = jnp.argmax(resize_corners(jnp.asarray(scores), size, size), axis=-1)
    mask = (classes > 0).astype(jnp.float32)[..., None]
    return images.resize(mask, height, width, antialias=False)


def from_torch(state: Mapping[str, np.ndarray]) -> dict:
    """Returns the parameters of `ParsingNet` from the published state dict.

    Raises:
      ValueError: a tensor is missing or has another shape; the message names it.
    """
    width = len(_tensor(state, "cp.resnet.conv1.weight", None))
    shapes = jax.eval_shape(
        ParsingNet(width).init, jax.random.key(0), jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32)
    )["params"]
    params: dict = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(shapes):
        *modules, part = (entry.key for entry in path)
        if part == "bias":
            continue
        convolution, norm = _torch_names(tuple(modules))
        due = tuple(leaf.shape[i] for i in (3, 2, 0, 1))
        kernel, bias = _folded(state, convolution, norm, due)
        node = params
        for module in modules:
            node = node.setdefault(module, {})
        node["kernel"] = np.transpose(kernel, (2, 3, 1, 0)).astype(np.float32)
        if norm:
            node["bias"] = bias.astype(np.float32)
    return params


# Our module -> the file's convolution and batch norm, where they are not `resnet` ones.
_NAMES = {
    "conv1": ("cp.resnet.conv1", "cp.resnet.bn1"),
    "conv_avg": ("cp.conv_avg.conv", "cp.conv_avg.bn"),
    "conv_head32": ("cp.conv_head32.conv", "cp.conv_head32.bn"),
    "conv_head16": ("cp.conv_head16.conv", "cp.conv_head16.bn"),
    "fuse": ("ffm.convblk.conv", "ffm.convblk.bn"),
    "fuse_attention1": ("ffm.conv1", ""),
    "fuse_attention2": ("ffm.conv2", ""),
    "head": ("conv_out.conv.conv", "conv_out.conv.bn"),
    "scores": ("conv_out.conv_out", ""),
}


def _torch_names(modules: tuple[str, ...]) -> tuple[str, str]:
    """Returns the names of a convolution and of its batch norm ("" for none) in the file."""
    first, second = modules[0], modules[1]
    if first in _NAMES:
        return _NAMES[first]
    if first.startswith("arm"):
        inner = ("conv.conv", "conv.bn") if second == "conv" else ("conv_atten", "bn_atten")
        return f"cp.{first}.{inner[0]}", f"cp.{first}.{inner[1]}"
    block = "cp.resnet." + first.replace("_", ".")
    if second == "downsample":
        return f"{block}.downsample.0", f"{block}.downsample.1"
    return f"{block}.{second}", f"{block}.{second.replace('conv', 'bn')}"


def _folded(state: Mapping[str, np.ndarray], convolution: str, norm: str, due: tuple[int, ...]):
    """Returns the kernel (O, I, k, k) and the bias (O,) of a convolution with its batch norm."""
    kernel = _tensor(state, f"{convolution}.weight", due)
    if not norm:
        return kernel, None
    parts = ("weight", "bias", "running_mean", "running_var")
    scale, bias, mean, variance = (
        _tensor(state, f"{norm}.{part}", due[:1]).astype(np.float64) for part in parts
    )
    scale = scale / np.sqrt(variance + BATCH_NORM_EPS)
    return kernel * scale[:, None, None, None], bias - mean * scale


def _tensor(state: Mapping[str, np.ndarray], name: str, due: tuple[int, ...] | None) -> np.ndarray:
    if name not in state:
        raise ValueError(f"has no tensor {name!r} (it has {len(state)} others)")
    if due is not None and state[name].shape != due:
        raise ValueError(f"tensor {name!r} has shape {state[name].shape}; due: {due}")
    return state[name]
