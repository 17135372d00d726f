"""A motion as an animated mesh: glTF for Blender and game engines, or an OBJ file a frame.

Frame t stands at t / fps s from the sound's beginning. Coordinates are the viewer's: x right, y up,
z towards the viewer, who is at the origin and looks along -z; the head stands at the distance of
its pose. glTF is in metres, with the expression basis as morph targets; OBJ is in millimetres.
"""

import math
import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from facejax import gltf
from facejax.errors import InputError
from facejax.files import atomic_path, check_parent
from facejax.geometry import rotations
from facejax.geometry.camera import FOCAL, NEAREST
from facejax.geometry.mesh import mesh_topology
from facejax.geometry.morphable import MorphableModel
from facejax.geometry.shade import vertex_normals
from facejax.motion import Motion

GLTF = ".glb"
OBJ = ".obj"
TIMES = "frames.csv"
METRE = 1000.0  # mm


def check_path(path: str | os.PathLike) -> Path:
    """Returns `path` after checking that a mesh can be written there.

    Raises:
      InputError: the suffix is of no mesh, the folder is missing, or the place is taken.
    """
    path = Path(path)
    if path.suffix not in (GLTF, OBJ, ""):
        raise InputError(
            f"--mesh is {path}; due: a name ending in {GLTF}, or one ending in {OBJ} or without "
            "an ending for a folder with an OBJ file a frame"
        )
    target = path if path.suffix == GLTF else path.with_suffix("")
    if target.is_dir():
        raise InputError(f"cannot write {target}: it is a folder; give another name, or remove it")
    return check_parent(target)


def write_mesh(
    path: str | os.PathLike,
    motion: Motion,
    model: MorphableModel,
    colors: np.ndarray,
    sound: str = "",
) -> Path:
    """Writes a motion as an animated mesh, whole or not at all; returns what was written.

    Args:
      path: NAME.glb; or NAME.obj or NAME, which make a folder NAME.
      motion: one clip of T frames.
      model: that it refers to.
      colors: [V, 3] sRGB in [0, 1].
      sound: name of the sound file that goes with it, noted in the glTF's animation.

    Raises:
      InputError: the place cannot be written.
    """
    target = check_path(path)
    with atomic_path(target) as partial:
        if target.suffix == GLTF:
            partial.write_bytes(gltf.to_glb(scene(motion, model, colors, sound)))
        else:
            partial.mkdir()
            _write_objs(partial, motion, model, colors)
    return target


def scene(motion: Motion, model: MorphableModel, colors: np.ndarray, sound: str = "") -> gltf.Scene:
    """Returns what a .glb of a motion holds; arguments as in `write_mesh`."""
    neutral = _neutral(motion, model)
    faces, fps = np.asarray(model.faces), float(motion.fps)
    topology = mesh_topology(faces, len(neutral))
    expression, pose = np.asarray(motion.expression), np.asarray(motion.pose, np.float64)
    return gltf.Scene(
        vertices=neutral / METRE,
        normals=np.asarray(vertex_normals(jnp.asarray(neutral), topology)),
        colors=linear(colors),
        faces=faces,
        targets=np.asarray(model.expression_basis) / METRE,
        names=[f"expression_{k}" for k in range(expression.shape[1])],
        times=np.arange(len(pose)) / fps,
        weights=expression,
        rotation=quaternions(pose[:, :3]),
        translation=places(pose) / METRE,
        field_of_view=2 * math.atan(1 / (2 * FOCAL)),
        extras={"fps": fps, "sound": sound},
    )


def posed(motion: Motion, model: MorphableModel, frame: int) -> np.ndarray:
    """Returns the vertices of a frame as the viewer sees them, [V, 3] mm."""
    moved = np.einsum("e,evc->vc", motion.expression[frame], model.expression_basis)
    pose = np.asarray(motion.pose)[frame]
    turn = np.asarray(rotations.euler_to_matrix(jnp.asarray(pose[:3])))
    return (_neutral(motion, model) + moved) @ turn.T + places(pose)


def _neutral(motion: Motion, model: MorphableModel) -> np.ndarray:
    return np.asarray(model.mean) + np.einsum("i,ivc->vc", motion.identity, model.identity_basis)


def places(pose: np.ndarray) -> np.ndarray:
    """Returns where the head stands, [..., 3] mm, of poses [..., 6]."""
    distance = np.maximum(pose[..., 5], NEAREST)
    return np.stack([pose[..., 3], pose[..., 4], -distance], -1)


def quaternions(angles: np.ndarray) -> np.ndarray:
    """Returns Rz(roll) Ry(yaw) Rx(pitch) of angles [T, 3] as quaternions x, y, z, w, [T, 4].

    A quaternion and its negative are one rotation: neighbours have the same sign, so that what is
    interpolated between them is near both.
    """
    (sx, sy, sz), (cx, cy, cz) = np.sin(angles / 2).T, np.cos(angles / 2).T
    found = np.stack(
        [
            sx * cy * cz - cx * sy * sz,
            cx * sy * cz + sx * cy * sz,
            cx * cy * sz - sx * sy * cz,
            cx * cy * cz + sx * sy * sz,
        ],
        -1,
    )
    same = np.sign(np.sum(found[1:] * found[:-1], -1))
    return found * np.cumprod(np.append(1, np.where(same < 0, -1, 1)))[:, None]


def linear(colors: np.ndarray) -> np.ndarray:
    """Returns linear light of sRGB colours in [0, 1] (IEC 61966-2-1): glTF's vertex colours."""
    colors = np.clip(np.asarray(colors, np.float64), 0, 1)
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)


def _write_objs(folder: Path, motion: Motion, model: MorphableModel, colors: np.ndarray) -> None:
    """Writes 000000.obj and so on, whose vertices have colours, and the frames' times."""
    faces = "".join("f {} {} {}\n".format(*row) for row in np.asarray(model.faces) + 1)
    colors = np.clip(np.asarray(colors), 0, 1)
    rows = ["file,seconds\n"]
    for frame in range(len(motion.pose)):
        name = f"{frame:06d}{OBJ}"
        corners = np.concatenate([posed(motion, model, frame), colors], 1)
        text = "".join("v {:.4f} {:.4f} {:.4f} {:.4f} {:.4f} {:.4f}\n".format(*c) for c in corners)
        (folder / name).write_text(text + faces)
        rows.append(f"{name},{frame / float(motion.fps):.6f}\n")
    (folder / TIMES).write_text("".join(rows))
