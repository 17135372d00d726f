"""Every loss term: arrays -> one scalar. Weights belong to the systems; see `weighted_sum`."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

# One weight for each of relu1_1 .. relu5_1 of VGG19, as in the code of SPADE and HeadGAN (the
# HeadGAN paper gives none).
VGG_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
REDUCTIONS = ("mean", "sum")
TINY = 1e-6  # a length of 0 has no gradient


def hinge_discriminator(real: Sequence[jax.Array], fake: Sequence[jax.Array]) -> jax.Array:
    """Mean hinge loss that pushes `real` above 1 and `fake` below -1.

    Lim & Ye 2017, arXiv:1705.02894; the mean over each score map, then over the scales.

    Args:
      real: discriminator scores of real images, one map of any shape for each scale.
      fake: scores of generated images.

    Returns:
      A scalar >= 0.
    """
    terms = [
        jnp.mean(jax.nn.relu(1 - r)) + jnp.mean(jax.nn.relu(1 + f))
        for r, f in zip(real, fake, strict=True)
    ]
    return jnp.mean(jnp.stack(terms))


def hinge_generator(fake: Sequence[jax.Array]) -> jax.Array:
    """Minus the mean score of generated images, over each map, then over the scales.

    Args:
      fake: discriminator scores of generated images, one map of any shape for each scale.
    """
    return -jnp.mean(jnp.stack([jnp.mean(f) for f in fake]))


def hinge_saturating(fake: Sequence[jax.Array]) -> jax.Array:
    """Mean of what generated images' scores lack of 1, over each map, then over the scales.

    The published code of Rhythmic Head Motion and few-shot vid2vid in the place of
    `hinge_generator`; scores above 1 have no gradient.

    Args:
      fake: discriminator scores of generated images, one map of any shape for each scale.
    """
    return jnp.mean(jnp.stack([jnp.mean(jax.nn.relu(1 - f)) for f in fake]))


def least_squares(scores: Sequence[jax.Array], due: float) -> jax.Array:
    """Mean squared distance of scores from `due` over each map, summed over the scales.

    Mao et al. 2017, arXiv:1611.04076; the sum over scales is pix2pixHD's. 1 is due of real images
    and, for the generator, of generated ones; 0 of generated ones for the discriminator.

    Args:
      scores: of a discriminator, one map of any shape for each scale.
      due: the score that has no loss.
    """
    return jnp.sum(jnp.stack([jnp.mean(jnp.square(score - due)) for score in scores]))


def cross_entropy(logits: jax.Array, due: float) -> jax.Array:
    """Mean cross entropy of the probabilities sigmoid(logits) with `due`, 0 (made) to 1 (real).

    Goodfellow et al. 2014, arXiv:1406.2661; with 1 due of what is made, the generator's loss.

    Args:
      logits: of a discriminator, any shape.
      due: the probability that is right.
    """
    return jnp.mean(due * jax.nn.softplus(-logits) + (1 - due) * jax.nn.softplus(logits))


def feature_matching(
    real: Sequence[Sequence[jax.Array]], fake: Sequence[Sequence[jax.Array]]
) -> jax.Array:
    """Distance of the discriminator's features: mean over scales of 4 / (n + 1) sum |fake - real|.

    Wang et al. 2018 (pix2pixHD), arXiv:1711.11585, with the factor of its code. The features of the
    real image are constants.

    Args:
      real: for each scale, the features of n layers, each of any shape.
      fake: the same of the generated image.
    """
    scales = []
    for real_layers, fake_layers in zip(real, fake, strict=True):
        layers = [l1(f, r) for f, r in zip(fake_layers, real_layers, strict=True)]
        scales.append(4 / (len(layers) + 1) * jnp.sum(jnp.stack(layers)))
    return jnp.mean(jnp.stack(scales))


def l1(image: jax.Array, target: jax.Array) -> jax.Array:
    """Mean absolute difference over all elements; the target is a constant. Same shapes.

    Raises:
      ValueError: the shapes differ.
    """
    if image.shape != target.shape:
        raise ValueError(f"image has shape {image.shape}; due: the target's {target.shape}")
    return jnp.mean(jnp.abs(image - jax.lax.stop_gradient(target)).astype(jnp.float32))


def masked_l1(image: jax.Array, target: jax.Array, mask: jax.Array) -> jax.Array:
    """`l1` of both images times the mask: still the mean over all pixels, as HeadGAN's code has it.

    Args:
      image: [B, H, W, C].
      target: [B, H, W, C].
      mask: [B, H, W, 1] in [0, 1].
    """
    return l1(image * mask, target * mask)


def face_region(face: jax.Array) -> jax.Array:
    """1 where a 3-D face image [B, H, W, 3] in [0, 1] shows the face, else 0: [B, H, W, 1].

    HeadGAN's code: the channels sum to more than 0.01.
    """
    return (jnp.sum(face, axis=-1, keepdims=True) > 0.01).astype(face.dtype)


def square(values: jax.Array, target: jax.Array, reduction: str = "mean") -> jax.Array:
    """Squared error of sequences: FACIAL's V. The target is a constant.

    Args:
      values: [B, T, C].
      target: [B, T, C].
      reduction: "mean" over all elements; or "sum", over time and channels, of each sequence, of
        which the mean is taken.

    Raises:
      ValueError: the shapes differ, or no such reduction.
    """
    return _reduced(jnp.square(_difference(values, target)), reduction)


def motion_square(values: jax.Array, target: jax.Array, reduction: str = "mean") -> jax.Array:
    """Squared error of the first differences in time: FACIAL's U. Arguments as in `square`."""
    return _reduced(jnp.square(jnp.diff(_difference(values, target), axis=1)), reduction)


def first_frame(values: jax.Array, target: jax.Array, reduction: str = "mean") -> jax.Array:
    """Absolute error of the first frame: FACIAL's L_s. Arguments as in `square`."""
    return _reduced(jnp.abs(_difference(values, target)[:, :1]), reduction)


def energy_score(one: jax.Array, other: jax.Array, target: jax.Array) -> jax.Array:
    """Mean of (|one - y| + |other - y| - |one - other|) / 2 over all vectors: a proper score.

    Gneiting & Raftery 2007, doi 10.1198/016214506000001437, estimated with two samples: least in
    expectation when both are drawn as the target y is, where the squared error is least at its
    mean. The target is a constant.

    Args:
      one: [..., C] a sample.
      other: [..., C] a sample that is independent of it.
      target: [..., C].

    Raises:
      ValueError: the shapes differ.
    """
    apart = jnp.linalg.norm(_difference(one, target) + TINY, axis=-1)
    apart = apart + jnp.linalg.norm(_difference(other, target) + TINY, axis=-1)
    between = jnp.linalg.norm((one - other).astype(jnp.float32) + TINY, axis=-1)
    return jnp.mean(apart - between) / 2


def _difference(values: jax.Array, target: jax.Array) -> jax.Array:
    if values.shape != target.shape:
        raise ValueError(f"values has shape {values.shape}; due: the target's {target.shape}")
    return (values - jax.lax.stop_gradient(target)).astype(jnp.float32)


def _reduced(errors: jax.Array, reduction: str) -> jax.Array:
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; due: {' or '.join(REDUCTIONS)}")
    return jnp.mean(errors) if reduction == "mean" else jnp.sum(errors) / errors.shape[0]


def perceptual(image: Sequence[jax.Array], target: Sequence[jax.Array]) -> jax.Array:
    """Weighted distance of two images' VGG19 features: sum over layers of w mean |f - f'|.

    Johnson et al. 2016, arXiv:1603.08155, with the weights `VGG_WEIGHTS`.

    Args:
      image: the features of an image, one array of any shape for each weight.
      target: the same of the image to come near to; constants.
    """
    pairs = zip(VGG_WEIGHTS, image, target, strict=True)
    return jnp.sum(jnp.stack([weight * l1(f, t) for weight, f, t in pairs]))


def weighted_sum(terms: Mapping[str, jax.Array], weights: Mapping[str, float]) -> jax.Array:
    """Sum of weight x term.

    Raises:
      ValueError: the two do not have the same keys.
    """
    if terms.keys() != weights.keys():
        raise ValueError(
            f"terms are {sorted(terms)}; due: one for each weight, {sorted(weights)}; "
            f"they differ in {sorted(terms.keys() ^ weights.keys())}"
        )
    return sum((weights[name] * term for name, term in terms.items()), jnp.zeros(()))
