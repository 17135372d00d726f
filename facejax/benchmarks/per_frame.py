"""The usual ways with NumPy and SciPy, one frame a call: what batched fits are measured against."""

import numpy as np
import scipy.linalg


def rasterize(screen: np.ndarray, faces: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns triangle numbers [H, W], -1 = empty: a loop over triangles, arrays over their boxes.

    Args:
      screen: [V, 3] pixels, smaller z is nearer.
      faces: [F, 3].
      size: (H, W).
    """
    height, width = size
    depth, ids = np.full(size, np.inf, np.float32), np.full(size, -1, np.int32)
    corners = screen[faces]
    low = np.maximum(np.ceil(corners[..., :2].min(1) - 0.5).astype(int), 0)
    high = np.floor(corners[..., :2].max(1) - 0.5).astype(int) + 1
    high = np.minimum(high, [width, height])
    for t in np.flatnonzero((low < high).all(1)):
        (a, b, c), (left, top), (right, bottom) = corners[t], low[t], high[t]
        x = np.arange(left, right, dtype=np.float32) + 0.5
        y = (np.arange(top, bottom, dtype=np.float32) + 0.5)[:, None]
        of_b = (x - a[0]) * (c[1] - a[1]) - (y - a[1]) * (c[0] - a[0])
        of_c = (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if area == 0:
            continue
        of_b, of_c = of_b / area, of_c / area
        z = a[2] + of_b * (b[2] - a[2]) + of_c * (c[2] - a[2])
        window = (slice(top, bottom), slice(left, right))
        wins = (of_b >= 0) & (of_c >= 0) & (of_b + of_c <= 1) & (z < depth[window])
        depth[window][wins] = z[wins]
        ids[window][wins] = t
    return ids


def procrustes(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Returns scale, rotation [3, 3] and translation [3] of the best similarity (Umeyama 1991).

    Args:
      source: [N, 3].
      target: [N, 3].
    """
    centre_source, centre_target = source.mean(0), target.mean(0)
    source, target = source - centre_source, target - centre_target
    u, singular, vt = np.linalg.svd(target.T @ source)
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ vt))], singular.dtype)
    rotation = (u * signs) @ vt
    scale = float((singular * signs).sum() / (source**2).sum())
    return scale, rotation, centre_target - scale * rotation @ centre_source


def affine_camera(points: np.ndarray, image_points: np.ndarray) -> np.ndarray:
    """Returns the affine camera [D, 4] of points [N, 3] and image points [N, D]."""
    ones = np.ones((len(points), 1), points.dtype)
    return np.linalg.lstsq(np.hstack([points, ones]), image_points, rcond=None)[0].T


def projected_coefficients(
    basis: np.ndarray, camera: np.ndarray, offset: np.ndarray, ridge: float
) -> np.ndarray:
    """Returns the ridge solution c [K] of offset_n ~ camera @ sum_k c_k basis_kn.

    Builds the frame's own matrix and solves its normal equations by Cholesky.

    Args:
      basis: [K, N, 3].
      camera: [2, 3].
      offset: [N, 2] image points less the projected mean.
      ridge: added to the diagonal.
    """
    matrix = (basis @ camera.T).reshape(len(basis), -1)
    normal = matrix @ matrix.T + ridge * np.eye(len(basis), dtype=basis.dtype)
    return scipy.linalg.cho_solve(scipy.linalg.cho_factor(normal), matrix @ offset.ravel())
