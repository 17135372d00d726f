"""glTF 2.0 binaries (.glb): one mesh with morph targets, moved by one animation, and a camera.

Khronos, "glTF 2.0 Specification", registry.khronos.org/glTF/specs/2.0. Lengths are in metres, y is
up, the mesh faces +z; every array lies in the one binary chunk, 4 bytes aligned.
"""

import json
import struct
from typing import Any, NamedTuple

import numpy as np

from facejax.checks import shapes

FLOAT, UINT32 = 5126, 5125  # component types
VERTICES, INDICES = 34962, 34963  # targets of buffer views
_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}


class Scene(NamedTuple):
    """An animated head."""

    vertices: np.ndarray  # [V, 3] m
    normals: np.ndarray  # [V, 3] unit
    colors: np.ndarray  # [V, 3] linear, in [0, 1]
    faces: np.ndarray  # [F, 3]
    targets: np.ndarray  # [E, V, 3] m: displacement for a weight of one
    names: list[str]  # [E] of the targets
    times: np.ndarray  # [T] s, ascending
    weights: np.ndarray  # [T, E]
    rotation: np.ndarray  # [T, 4] quaternions x, y, z, w
    translation: np.ndarray  # [T, 3] m
    field_of_view: float  # rad, of a camera at the origin that looks along -z
    extras: dict[str, Any]  # of the animation: plain values


class _Binary:
    """Collects arrays into one chunk, and says where each lies."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict] = []
        self.accessors: list[dict] = []

    def add(self, array: np.ndarray, *, target: int | None = None, bounds: bool = False) -> int:
        """Returns the accessor's number of an array [N] or [N, C]: float32, or uint32 indices."""
        kind = UINT32 if target == INDICES else FLOAT
        array = np.ascontiguousarray(array, "<u4" if kind == UINT32 else "<f4")
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": array.nbytes}
        self.views.append(view | ({} if target is None else {"target": target}))
        self.data += array.tobytes()  # 4 bytes a number: the next stays aligned
        width = 1 if array.ndim == 1 else array.shape[1]
        accessor = {
            "bufferView": len(self.views) - 1,
            "componentType": kind,
            "count": len(array),
            "type": _TYPES[width],
        }
        if bounds:
            low, high = (np.atleast_1d(f(array, axis=0)).tolist() for f in (np.min, np.max))
            accessor |= {"min": low, "max": high}
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def to_glb(scene: Scene) -> bytes:
    """Returns the bytes of a .glb file.

    Raises:
      ValueError: shapes that do not go together.
    """
    shapes(
        vertices=(scene.vertices, "V 3"),
        normals=(scene.normals, "V 3"),
        colors=(scene.colors, "V 3"),
        faces=(scene.faces, "F 3"),
        targets=(scene.targets, "E V 3"),
        times=(scene.times, "T"),
        weights=(scene.weights, "T E"),
        rotation=(scene.rotation, "T 4"),
        translation=(scene.translation, "T 3"),
    )
    binary = _Binary()
    document = {
        "asset": {"version": "2.0", "generator": "facejax"},
        "scene": 0,
        "scenes": [{"nodes": [0, 1]}],
        "nodes": [
            {
                "name": "head",
                "mesh": 0,
                "rotation": scene.rotation[0].tolist(),
                "translation": scene.translation[0].tolist(),
            },
            {"name": "camera", "camera": 0},
        ],
        "cameras": [_camera(scene)],
        "materials": [
            {
                "name": "skin",
                "doubleSided": True,
                "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.8},
            }
        ],
        "meshes": [_mesh(scene, binary)],
        "animations": [_animation(scene, binary)],
        "bufferViews": binary.views,
        "accessors": binary.accessors,
        "buffers": [{"byteLength": len(binary.data)}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(binary.data), b"BIN\0") + bytes(binary.data)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _camera(scene: Scene) -> dict[str, Any]:
    view = {"yfov": scene.field_of_view, "aspectRatio": 1.0, "znear": 0.01}
    return {"name": "camera", "type": "perspective", "perspective": view}


def _mesh(scene: Scene, binary: _Binary) -> dict[str, Any]:
    corners = {
        "POSITION": binary.add(scene.vertices, target=VERTICES, bounds=True),
        "NORMAL": binary.add(scene.normals, target=VERTICES),
        "COLOR_0": binary.add(scene.colors, target=VERTICES),
    }
    primitive = {
        "attributes": corners,
        "indices": binary.add(scene.faces.reshape(-1), target=INDICES),
        "material": 0,
        "targets": [
            {"POSITION": binary.add(one, target=VERTICES, bounds=True)} for one in scene.targets
        ],
    }
    return {
        "name": "head",
        "primitives": [primitive],
        "weights": scene.weights[0].tolist(),
        "extras": {"targetNames": scene.names},  # where Blender and engines look for names
    }


def _animation(scene: Scene, binary: _Binary) -> dict[str, Any]:
    moved = {
        "weights": scene.weights.reshape(-1),
        "rotation": scene.rotation,
        "translation": scene.translation,
    }
    times = binary.add(scene.times, bounds=True)
    samplers = [
        {"input": times, "output": binary.add(values), "interpolation": "LINEAR"}
        for values in moved.values()
    ]
    channels = [{"sampler": k, "target": {"node": 0, "path": path}} for k, path in enumerate(moved)]
    return {"name": "talk", "samplers": samplers, "channels": channels, "extras": scene.extras}
