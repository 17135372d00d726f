"""What a system made of one frame, as pictures: the columns of HeadGAN's Fig. 2."""

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

FULL_FLOW = 0.1  # of the image's side: this shift has the full colour


def as_bytes(image: np.ndarray) -> np.ndarray:
    """Returns uint8 [..., H, W, 3] of an image in [-1, 1]."""
    return np.clip(np.round((np.asarray(image, np.float32) + 1) * 127.5), 0, 255).astype(np.uint8)


def face_as_bytes(face: np.ndarray) -> np.ndarray:
    """Returns uint8 of a 3-D face image in [0, 1]."""
    return np.clip(np.round(np.asarray(face, np.float32) * 255), 0, 255).astype(np.uint8)


def flow_as_bytes(flow: np.ndarray, full: float | None = None) -> np.ndarray:
    """Returns uint8 [H, W, 3]: white where nothing moves, hue by direction, colour by length.

    Args:
      flow: [H, W, 2] px.
      full: length that has the full colour, px; None takes FULL_FLOW of the width.
    """
    flow = np.asarray(flow, np.float32)
    full = full or FULL_FLOW * flow.shape[1]
    length, angle = cv2.cartToPolar(flow[..., 0], flow[..., 1], angleInDegrees=True)
    saturation = np.clip(length / full, 0, 1)
    hsv = np.stack([angle, saturation, np.ones_like(length)], -1)
    return np.round(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).astype(np.uint8)


def panels(
    reference: np.ndarray, outputs: Mapping[str, Any], row: int, driving: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns {label: uint8 [H, W, 3]} for one frame; what the system does not make is left out.

    Args:
      reference: [H, W, 3] in [-1, 1].
      outputs: of `System.generate`, in numpy. reference_face may have one row for all.
      row: which.
      driving: [H, W, 3] in [-1, 1]: the true frame.
    """

    def pick(name: str) -> np.ndarray:
        value = np.asarray(outputs[name])
        return value[min(row, len(value) - 1)]

    columns: dict[str, tuple[str, Callable]] = {
        "reference 3-D face": ("reference_face", face_as_bytes),
        "driving 3-D face": ("face", face_as_bytes),
        "flow": ("flow", flow_as_bytes),
        "warped": ("warped", as_bytes),
        "generated": ("image", as_bytes),
    }
    made = {label: draw(pick(key)) for label, (key, draw) in columns.items() if key in outputs}
    return {"reference": as_bytes(reference)} | made | {"driving": as_bytes(driving)}
