"""What the geometry benchmark covers: meshes, image sizes and batches, and their arrays."""

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facejax.benchmarks import meshes
from facejax.benchmarks.c_loop import CLoop
from facejax.geometry.mesh import MeshTopology, mesh_topology

if TYPE_CHECKING:
    from facejax.benchmarks.peers import PyTorch3D

REFERENCE = 256  # px: the image size that the goals are set at
LARGE_MESH, LARGE_BATCHES = "dense-106k", (32, 128)  # what an accelerator is for


class Setting(NamedTuple):
    """What a run covers, and what it has to compare with."""

    meshes: tuple[str, ...]
    sizes: tuple[int, ...]  # px
    batches: tuple[int, ...]
    platform: str  # as jax names it: cpu, gpu, tpu
    quick: bool = False
    c_loop: CLoop | None = None
    pytorch3d: "PyTorch3D | None" = None


class Case(NamedTuple):
    """Frames of one mesh in square images."""

    mesh: str
    px: int
    batch: int

    @property
    def coarse(self) -> bool:
        """Whether triangles cover several pixels at the reference size."""
        return self.mesh.startswith("coarse")


class Scene(NamedTuple):
    """The arrays of a case."""

    faces: np.ndarray  # [F, 3]
    screen: np.ndarray  # [B, V, 3] pixels
    colors: np.ndarray  # [V, 3]
    topology: MeshTopology


def cases(setting: Setting, only_reference: bool = False) -> list[Case]:
    """Returns the run's cases; for an accelerator with a few large batches.

    Args:
      setting: of the run.
      only_reference: one image size only: REFERENCE, or the largest where that is not covered.
    """
    sizes = setting.sizes
    if only_reference:
        sizes = (REFERENCE if REFERENCE in sizes else max(sizes),)
    found = [
        Case(mesh, px, batch)
        for mesh in setting.meshes
        for px in sizes
        for batch in setting.batches
    ]
    if setting.platform != "cpu" and LARGE_MESH in setting.meshes and REFERENCE in sizes:
        found += [Case(LARGE_MESH, REFERENCE, batch) for batch in LARGE_BATCHES]
    return list(dict.fromkeys(found))


def scene(case: Case) -> Scene:
    """Returns the arrays of a case."""
    vertices, faces, topology = _mesh(case.mesh)
    screen = meshes.on_screen(vertices, case.batch, case.px, case.px)
    return Scene(faces, screen, meshes.smooth_colors(vertices), topology)


@functools.lru_cache(maxsize=2)  # rows go mesh by mesh
def _mesh(name: str) -> tuple[np.ndarray, np.ndarray, MeshTopology]:
    vertices, faces = meshes.grid_face(meshes.SIDES[name])
    return vertices, faces, mesh_topology(faces, len(vertices))
