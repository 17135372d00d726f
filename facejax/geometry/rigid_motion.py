"""Points moved by head motions: Rhythmic Head Motion's Eq. 1 (Chen et al. 2020, arXiv:2007.08547).

A head motion h, a rotation vector in radians and a translation in px, takes what is seen at one
time to canonical space, where the head does not move: p = R l + T. Here whole meshes go that way
and back, with batch axes that broadcast.
Points and motions must be of one frame. What is drawn is in facejax's image frame (README), z away
from the viewer; `flip_depth` turns motions of the paper's landmarks, whose z is nearer where it is
larger, into those of that frame.
"""

import jax
import jax.numpy as jnp

from facejax import checks
from facejax.geometry.camera import fit_affine
from facejax.geometry.rotations import rotation_vector_to_matrix


def to_canonical(points: jax.Array, motion: jax.Array) -> jax.Array:
    """Returns R points + T, [..., N, 3] px: the points without the head motion.

    Args:
      points: [..., N, 3] px as seen.
      motion: [..., 6]; batch axes broadcast, so that one frame's points [N, 3] meet a clip's
        motions [T, 6].
    """
    points, rotation, translation = _broadcast(points, motion)
    turned = jnp.matmul(points, jnp.swapaxes(rotation, -1, -2), precision="highest")
    return turned + translation


def from_canonical(points: jax.Array, motion: jax.Array) -> jax.Array:
    """Returns R^-1 (points - T), [..., N, 3] px: the points with the head motion, as seen.

    Eq. 1 from canonical space, V_t = R_t^-1 (V_c - T_t).

    Args:
      points: [..., N, 3] px in canonical space.
      motion: [..., 6]; batch axes broadcast.
    """
    points, rotation, translation = _broadcast(points, motion)
    return jnp.matmul(points - translation, rotation, precision="highest")


def move(points: jax.Array, source: jax.Array, target: jax.Array) -> jax.Array:
    """Returns points seen at one head motion as they are seen at another, [..., N, 3] px.

    Eq. 1: V_t = R_t^-1 (R_M V_M + T_M - T_t).

    Args:
      points: [..., N, 3] px, seen at the motion `source`.
      source: [..., 6].
      target: [..., 6]; batch axes broadcast.
    """
    return from_canonical(to_canonical(points, source), target)


def align(
    points: jax.Array, landmarks: jax.Array, canonical_landmarks: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns points [..., V, 3], and their own landmarks, in canonical space by an affine map.

    The published code's alignment (preset `released`), in the place of R_M V_M + T_M: the affine
    map of least squares that takes the mesh's own 68 landmarks to the frontal landmarks of the key
    frame, so that meshes and landmarks from different sources may disagree, even mirrored.

    Args:
      points: [..., V, 3] the mesh, any frame and unit.
      landmarks: [..., N, 3] the mesh's own landmarks, in the same.
      canonical_landmarks: [..., N, 3] px, of the key frame with its head motion removed.
    """
    affine = fit_affine(landmarks, canonical_landmarks)

    def moved(points: jax.Array) -> jax.Array:
        turned = jnp.matmul(points, jnp.swapaxes(affine[..., :3], -1, -2), precision="highest")
        return turned + affine[..., None, :, 3]

    return moved(points), moved(landmarks)


def flip_depth(motion: jax.Array) -> jax.Array:
    """Returns the motion [..., 6] of the same head in the frame whose z has the other sign.

    Mirrored in z, a turn about x or y changes its sense, and one about z does not.
    """
    checks.shapes(motion=(motion, "... 6"))
    signs = jnp.asarray([-1.0, -1.0, 1.0, 1.0, 1.0, -1.0], motion.dtype)
    return motion * jnp.broadcast_to(signs, motion.shape)


def resized(motion: jax.Array, ratio: float) -> jax.Array:
    """Returns the motion [..., 6] of points whose px are `ratio` times as many."""
    checks.shapes(motion=(motion, "... 6"))
    gains = jnp.asarray([1.0, 1.0, 1.0, ratio, ratio, ratio], motion.dtype)
    return motion * jnp.broadcast_to(gains, motion.shape)


def _broadcast(points: jax.Array, motion: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns points [..., N, 3], rotations [..., 3, 3], translations [..., 1, 3] of one batch."""
    checks.shapes(points=(points, "... N 3"), motion=(motion, "... 6"))
    batch = jnp.broadcast_shapes(points.shape[:-2], motion.shape[:-1])
    points = jnp.broadcast_to(points, (*batch, *points.shape[-2:]))
    motion = jnp.broadcast_to(motion, (*batch, 6))
    return points, rotation_vector_to_matrix(motion[..., :3]), motion[..., None, 3:]
