"""From a batch to what HeadGAN's nets see."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from facejax import images
from facejax.errors import InputError
from facejax.systems.headgan_config import Config


class Inputs(NamedTuple):
    """What the generator is given."""

    reference: jax.Array  # [R, H, W, 6]: 3-D face in [0, 1], image in [-1, 1]; R = B or 1
    label: jax.Array  # [B, H, W, 3 K]: driving 3-D faces in [0, 1], the oldest first
    audio: jax.Array | None  # [B, A]

    @property
    def reference_face(self) -> jax.Array:
        """The reference's 3-D face, [R, H, W, 3]."""
        return self.reference[..., :3]

    @property
    def face(self) -> jax.Array:
        """The target frame's 3-D face, [B, H, W, 3]."""
        return self.label[..., -3:]


def draw_inputs(config: Config, draw: Callable, model, batch: Mapping[str, Any]) -> Inputs:
    """Draws the 3-D faces of reference and driver in one go, and lines them up with the images.

    Args:
      config: whose levels must divide the image's size.
      draw: model, motion, height, width -> [..., H, W, 3].
      model: MorphableModel.
      batch: reference, reference_motion, driving_motion, audio; see `systems.headgan`.
    """
    count, height, width, _ = image_shape(config, batch)
    driving = batch["driving_motion"]
    frames = driving["pose"].shape[1]
    motion = {
        name: jnp.concatenate(
            [batch["reference_motion"][name], driving[name].reshape(-1, driving[name].shape[-1])]
        )
        for name in ("identity", "expression", "pose")
    }
    faces = draw(model, motion, height, width)
    label = faces[count:].reshape(-1, frames, height, width, 3)
    label = jnp.moveaxis(label, 1, 3).reshape(-1, height, width, 3 * frames)
    reference = jnp.concatenate([faces[:count], batch["reference"]], axis=-1)
    return Inputs(reference, label, batch["audio"] if config.use_audio else None)


def image_shape(config: Config, batch: Mapping[str, Any]) -> tuple[int, ...]:
    """Returns the shape of the reference, [R, H, W, 3].

    Raises:
      InputError: the levels do not divide the size, or the mouth's window does not fit.
    """
    shape = batch["reference"].shape
    height, width = shape[1:3]
    step = 2**config.levels
    if height % step or width % step:
        raise InputError(
            f"images are {width}x{height} px; due: multiples of {step} px for model.levels = "
            f"{config.levels}; change data.size or model.levels"
        )
    needs_mouth = config.lambda_adversarial and config.use_mouth_discriminator
    if needs_mouth and config.mouth_size > min(height, width):
        raise InputError(
            f"model.mouth_size is {config.mouth_size} px and images are {width}x{height} px; due: "
            "about a quarter of the image"
        )
    return shape


def mouth_corner(config: Config, landmarks: jax.Array) -> jax.Array:
    """Returns the mouth window's top left pixel (x, y), [B, 2] int32; it may lie off the image.

    Args:
      config: size of the window, and which landmarks have their median at its centre.
      landmarks: [B, 70, 2] px.
    """
    mouth = landmarks[:, 48 : config.mouth_landmarks]
    return jnp.median(mouth, axis=1).astype(jnp.int32) - config.mouth_size // 2


def views(
    config: Config, inputs: Inputs, image: jax.Array, landmarks: jax.Array
) -> dict[str, tuple[jax.Array, jax.Array | None]]:
    """Returns what each discriminator is given of an image: name -> (image, vector or None).

    Args:
      config: which discriminators there are.
      inputs: the generator's.
      image: [B, H, W, 3], real or generated.
      landmarks: [B, 70, 2] px of the real image, used for both.
    """
    if not config.lambda_adversarial:
        return {}
    faces_first = jnp.concatenate([inputs.face, image], axis=-1)
    result: dict[str, tuple[jax.Array, jax.Array | None]] = {"image": (faces_first, None)}
    if config.use_mouth_discriminator:
        size = config.mouth_size
        mouth = images.crop(image, mouth_corner(config, landmarks), size, size)
        result["mouth"] = (mouth, inputs.audio)
    return result
