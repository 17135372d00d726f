"""Head motion apart from expression: the rigid motion between landmarks and a canonical face.

Chen et al., "Talking-head Generation with Rhythmic Head Motion", ECCV 2020, section 3.3: for the
landmarks l_t of frame t, the front p_t = R_t l_t + T_t lies on the canonical face and carries
expression alone, and h_t = (R_t as a rotation vector in radians, T_t in pixels) carries the rest.
R_t and T_t are fitted to 27 landmarks that hardly move with expression (Kabsch, without scale).

Landmarks here are those of the paper, FAN's: the 68 of iBUG, x right and y down in pixels, and a
larger z is nearer. In facejax's image frame (README) a smaller z is nearer: `flip_depth` goes from
either to the other, and is called where landmarks come in and where they go out.
"""

import jax
import jax.numpy as jnp

from facejax import checks
from facejax.geometry.camera import camera_from_pose, project
from facejax.geometry.morphable import MorphableModel
from facejax.geometry.rotations import matrix_to_rotation_vector, rotation_vector_to_matrix
from facejax.geometry.similarity import fit_similarity

LANDMARKS = 68
NUMBERS = 6  # of a head motion
DISTANCE = 1200.0  # mm at which a mean face stands: of a canonical face only its place counts
# Jaw without chin and temples, ends of the brows, nose, corners of the eyes: the 27 red points of
# Fig. 3, as the published code numbers them.
RIGID = (*range(1, 6), *range(11, 16), 17, 21, 22, 26, *range(27, 36), 36, 39, 42, 45)


def flip_depth(points: jax.Array) -> jax.Array:
    """Returns points [..., N, 3] with z counted the other way: FAN's frame to ours, and back."""
    checks.shapes(points=(points, "... N 3"))
    points = jnp.asarray(points)
    return jnp.concatenate([points[..., :2], -points[..., 2:]], axis=-1)


def frontal_landmarks(model: MorphableModel, size: int) -> jax.Array:
    """Returns the landmarks [68, 3] of a model's mean face, straight ahead in mid-picture.

    They are a canonical face, in facejax's image frame: `flip_depth` takes them to FAN's.

    Args:
      model: the morphable model.
      size: side of the picture, px.
    """
    points = jnp.asarray(model.mean)[jnp.asarray(model.landmarks)[:LANDMARKS]]
    pose = jnp.asarray([0, 0, 0, 0, 0, DISTANCE], jnp.float32)
    return project(points, camera_from_pose(pose, size, size))


def head_motion(landmarks: jax.Array, canonical: jax.Array) -> jax.Array:
    """Returns the head motions h of landmarks, [..., 6].

    Args:
      landmarks: [..., 68, 3] px.
      canonical: [68, 3] px, the face without motion, of any expression and size: of its size
        nothing depends, of its place only the translation.
    """
    checks.shapes(landmarks=(landmarks, "... 68 3"), canonical=(canonical, "68 3"))
    rigid = jnp.asarray(RIGID)
    target = jnp.broadcast_to(canonical[rigid], (*landmarks.shape[:-2], len(RIGID), 3))
    moved = fit_similarity(landmarks[..., rigid, :], target, with_scale=False)
    vector = matrix_to_rotation_vector(moved.rotation)
    return jnp.concatenate([vector, moved.translation], axis=-1)


def front(landmarks: jax.Array, motion: jax.Array) -> jax.Array:
    """Returns R l + T of points l, [..., N, 3]: their head motion taken away.

    Args:
      landmarks: [..., N, 3] px.
      motion: [..., 6], of the same batch axes.
    """
    checks.shapes(landmarks=(landmarks, "... N 3"), motion=(motion, "... 6"))
    rotation = rotation_vector_to_matrix(motion[..., :3])
    turned = jnp.matmul(landmarks, jnp.swapaxes(rotation, -1, -2), precision="highest")
    return turned + motion[..., None, 3:]


def posed(fronts: jax.Array, motion: jax.Array) -> jax.Array:
    """Returns R^-1 (p - T) of points p, [..., N, 3]: the inverse of `front`.

    Args:
      fronts: [..., N, 3] px.
      motion: [..., 6], of the same batch axes.
    """
    checks.shapes(fronts=(fronts, "... N 3"), motion=(motion, "... 6"))
    rotation = rotation_vector_to_matrix(motion[..., :3])
    return jnp.matmul(fronts - motion[..., None, 3:], rotation, precision="highest")


def key_frame(motion: jax.Array) -> jax.Array:
    """Returns the number of the most frontal frame: the least sum of absolute rotations, [...].

    Section 4.1's "minimum rotation"; the published code measures it by the L1 norm of the
    rotation vector.

    Args:
      motion: [..., T, 6].
    """
    checks.shapes(motion=(motion, "... T 6"))
    return jnp.argmin(jnp.sum(jnp.abs(motion[..., :3]), axis=-1), axis=-1)
