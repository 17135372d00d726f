"""Other differentiable rasterisers, where they are installed: PyTorch3D.

It is not needed, and facejax does not depend on it. Others cannot run beside facejax: jaxrenderer
does not import with JAX 0.10, nvdiffrast and SoftRas have no CPU path.
"""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from facejax.benchmarks.cases import LARGE_MESH, REFERENCE, Case
from facejax.benchmarks.timing import Contender


def find() -> tuple["PyTorch3D | None", list[str]]:
    """Returns the peer, None where it cannot be imported, and a line that says why not."""
    try:
        return PyTorch3D(), []
    except (ImportError, AttributeError, OSError, RuntimeError) as error:  # as half-built ones do
        return None, [f"PyTorch3D is left out: {error}"]


class PyTorch3D:
    """Its rasteriser by itself, nearest face only, default bins; on CUDA where torch has it."""

    def __init__(self):
        self._torch = importlib.import_module("torch")
        self._meshes = importlib.import_module("pytorch3d.structures").Meshes
        module = importlib.import_module("pytorch3d.renderer.mesh.rasterize_meshes")
        self._rasterize = module.rasterize_meshes
        self._cuda = self._torch.cuda.is_available()

    def can(self, case: Case) -> bool:
        """On a CPU, single frames of the reference size; a dense one takes a minute."""
        alone = case.batch == 1 and case.px <= REFERENCE
        return self._cuda or (alone and (case.coarse or case.mesh == LARGE_MESH))

    def ids(self, screen: np.ndarray, faces: np.ndarray, size: tuple[int, int]) -> Contender:
        """Returns the contender for the nearest triangle at each pixel.

        Args:
          screen: [B, V, 3] float32, pixels.
          faces: [F, 3] int32.
          size: (H, W).
        """
        meshes = self._on_device(screen, faces, size)
        call = lambda: self._rasterize(
            meshes, image_size=size, blur_radius=0.0, faces_per_pixel=1, bin_size=None
        )
        return Contender(self._finished(call), len(screen))

    def silhouette(
        self,
        screen: np.ndarray,
        faces: np.ndarray,
        size: tuple[int, int],
        sigma: float,
        layers: int,
    ) -> Contender:
        """Returns the contender for the soft silhouette and its gradient to the vertices.

        Args:
          screen: [B, V, 3] float32, pixels.
          faces: [F, 3] int32.
          size: (H, W).
          sigma: of the sigmoid of squared distances, px^2.
          layers: nearest faces a pixel.
        """
        torch, unit = self._torch, 2 / min(size)
        meshes = self._on_device(screen, faces, size)
        moved = torch.zeros_like(meshes.verts_packed(), requires_grad=True)

        def call() -> Any:
            found, _, _, squared = self._rasterize(
                meshes.offset_verts(moved),
                image_size=size,
                blur_radius=float(np.log(1 / 1e-4 - 1)) * sigma * unit**2,
                faces_per_pixel=layers,
            )
            outside = torch.sigmoid(squared / (sigma * unit**2))  # squared is negative inside
            alpha = 1 - torch.where(found >= 0, outside, torch.ones_like(outside)).prod(dim=-1)
            return torch.autograd.grad(alpha.sum(), moved)

        return Contender(self._finished(call), len(screen))

    def _on_device(self, screen: np.ndarray, faces: np.ndarray, size: tuple[int, int]) -> Any:
        """Meshes in its frame: x left, y up, the smaller side from -1 to 1, z above 0.

        Well above: it drops triangles whose plane reaches 0 under a pixel beside them.
        """
        height, width = size
        flipped = (np.array([width, height], np.float32) - 2 * screen[..., :2]) / min(size)
        depth = screen[..., 2:] - screen[..., 2:].min() + 10 * max(size)
        torch, device = self._torch, "cuda" if self._cuda else "cpu"
        verts = torch.from_numpy(np.concatenate([flipped, depth], axis=-1)).to(device)
        each = torch.from_numpy(faces.astype(np.int64)).to(device).expand(len(screen), -1, -1)
        return self._meshes(verts=verts, faces=each)

    def _finished(self, call: Callable[[], Any]) -> Callable[[], Any]:
        if not self._cuda:
            return call

        def finished() -> Any:
            result = call()
            self._torch.cuda.synchronize()
            return result

        return finished
