"""Weak-perspective cameras.

Frames (README, "Coordinate frames"): the model frame is right-handed, in millimetres, x to the
image's right, y up, z out of the face towards the viewer. The image frame is in pixels, x right, y
down, z away from the viewer (smaller is nearer); the centre of pixel (row i, column j) is
(x, y) = (j + 0.5, i + 0.5). Points are row vectors in arrays; matrices act on column vectors.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from facejax import checks
from facejax.geometry import rotations, similarity

# The nominal focal length that turns a weak-perspective scale into a distance, in image widths.
FOCAL = 4.0
# Poses nearer than this count as this near, so that no scale is infinite; millimetres.
NEAREST = 1.0
# Vectors shorter than this have no direction.
TINY = 1e-12
# Added to the normal equations of an affine camera, as a share of the cloud's squared extent.
RIDGE = 1e-5
# Window of the published smoothing of adapted cameras, in frames.
WINDOW = 15

_FLIP = (1.0, -1.0, -1.0)  # diagonal of the rotation of a frontal face


class Camera(NamedTuple):
    """image = scale * rotation @ model + translation.

    A frontal, upright face has rotation diag(1, -1, -1): y and z change sign between the frames.
    """

    scale: jax.Array  # [...] pixels per millimetre
    rotation: jax.Array  # [..., 3, 3]
    translation: jax.Array  # [..., 3] pixels


def project(vertices: jax.Array, camera: Camera) -> jax.Array:
    """Returns image points [..., V, 3]: x, y in pixels, z in pixels away from the viewer.

    Args:
      vertices: [..., V, 3] model frame, millimetres.
      camera: of the same batch axes.
    """
    checks.shapes(
        vertices=(vertices, "... V 3"),
        rotation=(camera.rotation, "... 3 3"),
        translation=(camera.translation, "... 3"),
    )
    matrix = camera.scale[..., None, None] * camera.rotation
    turned = jnp.matmul(vertices, jnp.swapaxes(matrix, -1, -2), precision="highest")
    return turned + camera.translation[..., None, :]


def fit_affine(
    points: jax.Array, image_points: jax.Array, weights: jax.Array | None = None
) -> jax.Array:
    """Returns the affine camera P, [..., D, 4], with image ~ P @ (x, y, z, 1), by least squares.

    HeadGAN, Algorithm 1, line 6. Normal equations of the centred points, refined once on their
    own residual: in float32, 53,000 points reproject within 2e-4 px. In a direction in which the
    points do not extend (a plane, a line, one point) P is 0: the least of the best cameras.
    Weights that are all 0 give P = 0.

    Args:
      points: [..., N, 3] model frame.
      image_points: [..., N, D] image frame, pixels, of the same batch axes; D is 2 without depth,
        or 3.
      weights: [..., N] >= 0; none means equal weights. A point of weight 0 may hold anything.
    """
    checks.shapes(points=(points, "... N 3"), image_points=(image_points, "... N D"))
    weights = similarity.normalized_weights(weights, points)
    base, points = similarity.rows(points, weights)
    image_base, image_points = similarity.rows(image_points, weights)
    gram = similarity.covariance(points, points, weights)
    correlation = similarity.covariance(points, image_points, weights)
    extent = jnp.trace(gram, axis1=-2, axis2=-1)[..., None, None]
    extent = jnp.where(extent > 0, extent, 1.0)
    system = gram / extent + RIDGE * jnp.broadcast_to(jnp.eye(3, dtype=gram.dtype), gram.shape)
    linear = jnp.linalg.solve(system, correlation / extent)  # transposed: points @ linear ~ image
    seen = sum(linear[..., i, :, None] * points[..., i : i + 1, :] for i in range(3))
    correlation = similarity.covariance(image_points - seen, points, weights)
    correction = jnp.linalg.solve(system, jnp.swapaxes(correlation, -1, -2) / extent)
    linear = jnp.swapaxes(linear + correction, -1, -2)
    centre = base + similarity.mean(points, weights)
    shift = image_base + similarity.mean(image_points, weights)
    shift = shift - jnp.sum(linear * centre[..., None, :], axis=-1)
    return jnp.concatenate([linear, shift[..., None]], axis=-1)


def _direction(vector: jax.Array, fallback: jax.Array) -> jax.Array:
    """Unit vector [..., 3], or `fallback` where `vector` has no direction."""
    square = jnp.sum(vector**2, axis=-1, keepdims=True)
    null = square < TINY**2
    length = jnp.sqrt(jnp.where(null, 1.0, square))  # sqrt(0) has an infinite gradient
    return jnp.where(null, fallback, vector / length)


def _row_norm(row: jax.Array) -> jax.Array:
    """Length [...] of row [..., 3], with gradient 0 at 0."""
    square = jnp.sum(row**2, axis=-1)
    null = square < TINY**2
    return jnp.where(null, 0.0, jnp.sqrt(jnp.where(null, 1.0, square)))


def _perpendicular(vector: jax.Array) -> jax.Array:
    """A unit vector [..., 3] perpendicular to the unit vector [..., 3]."""
    axis = jax.nn.one_hot(jnp.argmin(jnp.abs(vector), axis=-1), 3, dtype=vector.dtype)
    return _direction(jnp.cross(vector, axis), axis)


def camera_from_affine(affine: jax.Array, *, orthogonal: bool = True) -> Camera:
    """Returns the weak-perspective camera of an affine one.

    scale is the mean length of the first two rows, r1 and r2 are their directions, r3 = r1 x r2,
    translation is the last column; the third row's direction is not used. The published
    decomposition (HeadGAN's code) stops there, so its matrix is a rotation only if the rows
    happen to be perpendicular. Here r1 and r2 are turned by equal and opposite angles until they
    are, which is the rotation nearest to the pair.

    A zero row takes its direction from the frontal camera; of parallel rows, the second is turned
    into some perpendicular of the first.

    Args:
      affine: [..., 3, 4], image = affine @ (x, y, z, 1); or [..., 2, 4] without depth, which
        gives a depth translation of 0.
      orthogonal: False returns the published decomposition.
    """
    checks.shapes(affine=(affine, "... D 4"))
    if affine.shape[-2] == 2:
        affine = jnp.concatenate([affine, jnp.zeros_like(affine[..., :1, :])], axis=-2)
    row1, row2 = affine[..., 0, :3], affine[..., 1, :3]
    scale = (_row_norm(row1) + _row_norm(row2)) / 2
    front = jnp.diag(jnp.asarray(_FLIP, affine.dtype))
    r1 = _direction(row1, jnp.broadcast_to(front[0], row1.shape))
    r2 = _direction(row2, jnp.broadcast_to(front[1], row2.shape))
    if orthogonal:
        sum_, difference = r1 + r2, r1 - r2  # perpendicular, since r1 and r2 are unit vectors
        along = _direction(sum_, _perpendicular(_direction(difference, r1)))
        across = _direction(difference, _perpendicular(along))
        r1, r2 = (along + across) / jnp.sqrt(2.0), (along - across) / jnp.sqrt(2.0)
    rotation = jnp.stack([r1, r2, jnp.cross(r1, r2)], axis=-2)
    return Camera(scale, rotation, affine[..., :, 3])


def camera_from_pose(pose: jax.Array, height: int, width: int) -> Camera:
    """Returns the camera of a head pose in an image of a given size.

    rotation = diag(1, -1, -1) @ euler_to_matrix(pitch, yaw, roll); scale = FOCAL * width / z;
    translation = (width / 2 + scale * x, height / 2 - scale * y, 0). A pose is thus independent
    of the resolution: x right, y up, z the distance of the head, all in millimetres.

    Args:
      pose: [..., 6] pitch, yaw, roll in radians; x, y, z in millimetres. z below NEAREST counts
        as NEAREST.
      height: of the image in pixels.
      width: of the image in pixels.
    """
    checks.shapes(pose=(pose, "... 6"))
    turn = rotations.euler_to_matrix(pose[..., :3])
    rotation = turn * jnp.broadcast_to(jnp.asarray(_FLIP, pose.dtype)[:, None], turn.shape)
    scale = FOCAL * width / jnp.maximum(pose[..., 5], NEAREST)
    across = width / 2 + scale * pose[..., 3]
    down = height / 2 - scale * pose[..., 4]
    return Camera(scale, rotation, jnp.stack([across, down, jnp.zeros_like(down)], axis=-1))


def pose_from_camera(camera: Camera, height: int, width: int) -> jax.Array:
    """Returns the head pose [..., 6] of a camera: the inverse of `camera_from_pose`.

    The depth translation in pixels has no counterpart in a pose and is dropped; no image depends
    on it. A scale of 0 counts as the smallest that keeps the pose finite.

    Args:
      camera: with proper rotations (`camera_from_affine` with orthogonal=True).
      height: of the image in pixels.
      width: of the image in pixels.
    """
    checks.shapes(rotation=(camera.rotation, "... 3 3"), translation=(camera.translation, "... 3"))
    flip = jnp.asarray(_FLIP, camera.rotation.dtype)[:, None]
    turn = camera.rotation * jnp.broadcast_to(flip, camera.rotation.shape)
    scale = jnp.maximum(camera.scale, TINY)
    across = (camera.translation[..., 0] - width / 2) / scale
    up = (height / 2 - camera.translation[..., 1]) / scale
    place = jnp.stack([across, up, FOCAL * width / scale], axis=-1)
    return jnp.concatenate([rotations.matrix_to_euler(turn), place], axis=-1)


def moving_average(values: jax.Array, window: int) -> jax.Array:
    """Returns the centred moving average over the first axis, its ends replicated.

    Args:
      values: [T, ...].
      window: frames, at least 1; an even one reaches one frame further back than ahead.
    """
    if window < 1:
        raise ValueError(f"window is {window}; due: at least 1")
    back, ahead = window // 2, window - 1 - window // 2
    padded = jnp.pad(values, [(back, ahead)] + [(0, 0)] * (values.ndim - 1), mode="edge")
    frames = values.shape[0]
    return jnp.mean(jnp.stack([padded[i : i + frames] for i in range(window)]), axis=0)


def adapt_cameras(
    driving: Camera,
    reference: Camera,
    *,
    window: int = WINDOW,
    adapt_scale: bool = True,
    adapt_translation: bool = True,
) -> Camera:
    """Returns the driving cameras moved to where the reference face stands in its image.

    HeadGAN's published reenactment code: scale s' = s mean(s_ref) / mean(s), then a moving
    average; offset o = t / s (in model units), o' = o - mean(o) + mean(o_ref), then the same
    moving average; t' = s' o'. The rotation is kept. With neither flag the cameras are returned
    as they are (self-reenactment). With the scale kept, offsets are adapted in pixels instead
    (not in that code): in model units the face would leave the image.

    Args:
      driving: of a clip, [T] cameras; scales above 0.
      reference: [R] cameras of the reference frames, often one.
      window: of the moving average, frames.
      adapt_scale: False keeps the driver's scale.
      adapt_translation: False keeps the driver's offset.
    """
    checks.shapes(driving=(driving.scale, "T"), reference=(reference.scale, "R"))
    scale, unit, unit_reference = driving.scale, driving.scale, reference.scale
    if adapt_scale:
        scale = scale * (jnp.mean(reference.scale) / jnp.mean(scale))
        scale = moving_average(scale, window)
    else:
        unit, unit_reference = jnp.ones_like(unit), jnp.ones_like(unit_reference)
    offset = driving.translation / unit[:, None]
    if adapt_translation:
        aim = jnp.mean(reference.translation / unit_reference[:, None], axis=0, keepdims=True)
        offset = offset - jnp.mean(offset, axis=0, keepdims=True) + aim
        offset = moving_average(offset, window)
    unit = scale if adapt_scale else unit
    return Camera(scale, driving.rotation, unit[:, None] * offset)
