"""PRNet as published, for those who own its files: a frame -> its mesh, in PRNet's own layout.

Due are the checkpoint (256_256_resfcn256_weight, read without TensorFlow) and, of its folder
uv-data, face_ind.txt (which pixels of a map are the face) and uv_kpt_ind.txt (which are the 68
landmarks). Feng et al. 2018, arXiv:1803.07835; the files are their authors' and no part of this
package.
"""

import os
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from facejax import checkpoint_weights, crops
from facejax.errors import InputError
from facejax.face_measures import landmarks_70
from facejax.geometry.mesh import MeshTopology, mesh_topology
from facejax.geometry.position_map import map_mesh
from facejax.nets.unprojection import Unprojection, from_tensorflow

SIZE = 256  # px of the net's image and of its map
REACH = 1.1  # of the image's side: the net's outputs 0 to 1 are places from 0 to this
MARGIN = 1.6  # side of the crop over the mean side of the landmarks' box


class Published:
    """The net with its weights and its layout. `unproject` serves `projection.project`."""

    def __init__(self, checkpoint: str | os.PathLike, uv_data: str | os.PathLike):
        try:
            params, stats = from_tensorflow(checkpoint_weights.read(checkpoint))
        except ValueError as error:
            raise InputError(f"{checkpoint} is not PRNet's checkpoint: it {error}") from error
        net = Unprojection(params["stem"]["conv"]["kernel"].shape[-1])
        variables = {"params": params, "batch_stats": stats}
        self._run = jax.jit(lambda image: net.apply(variables, image[None], train=False)[0])
        self.pixels, self.landmarks = read_layout(Path(uv_data))
        covered = np.zeros(SIZE * SIZE, bool)
        covered[self.pixels] = True
        self.pixels, faces = map_mesh(covered.reshape(SIZE, SIZE))
        self.topology: MeshTopology = mesh_topology(faces, len(self.pixels))

    def unproject(
        self, image: np.ndarray, points: np.ndarray
    ) -> tuple[jax.Array, jax.Array, MeshTopology]:
        """Returns the mesh [P, 3] px in a frame, its 68 landmarks [68, 3], and its topology.

        Args:
          image: uint8 [H, W, 3].
          points: [468, 3] px: Face Mesh's, which tell the net where to look.
        """
        box = look_box(landmarks_70(points)[:68])
        place = places(self._run, image, box).reshape(-1, 3)
        return place[self.pixels], place[self.landmarks], self.topology


def places(run: Callable[[jax.Array], jax.Array], image: np.ndarray, box: np.ndarray) -> jax.Array:
    """Returns the map of a crop in px of the whole image, z away from the viewer, [S, S, 3].

    Args:
      run: image [S, S, 3] in [0, 1] -> outputs [S, S, 3], z towards the viewer.
      image: uint8 [H, W, 3].
      box: x0, y0, x1, y1 of the square crop.
    """
    crop = jnp.asarray(crops.extract(image, box, SIZE), jnp.float32) / 255
    # Its pixels are counted from their centres, ours from their corners.
    found = run(crop) * (REACH * SIZE) + jnp.asarray([[[0.5, 0.5, 0.0]]])
    found = found * float(box[2] - box[0]) / SIZE
    return found * jnp.asarray([[[1.0, 1.0, -1.0]]]) + jnp.asarray([[[box[0], box[1], 0.0]]])


def look_box(landmarks: np.ndarray) -> np.ndarray:
    """Returns the square that the net looks at, around landmarks [68, 3] px."""
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    half = MARGIN * (high - low).mean() / 2
    middle = (low + high) / 2
    return np.concatenate([middle - half, middle + half]).astype(np.float32)


def read_layout(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers row * 256 + column of the face's pixels [P] and of the landmarks [68].

    Raises:
      InputError: a file is missing or is not of that kind.
    """
    try:
        face = np.loadtxt(folder / "face_ind.txt").astype(np.int64).ravel()
        column, row = np.loadtxt(folder / "uv_kpt_ind.txt").astype(np.int64).reshape(2, 68)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} is not PRNet's uv-data ({error}); due: face_ind.txt and uv_kpt_ind.txt"
        ) from error
    landmarks = row * SIZE + column
    for name, numbers in (("face_ind.txt", face), ("uv_kpt_ind.txt", landmarks)):
        if not len(numbers) or numbers.min() < 0 or numbers.max() >= SIZE * SIZE:
            raise InputError(f"{folder / name} names no pixels of a map of {SIZE} x {SIZE}")
    return face, landmarks
