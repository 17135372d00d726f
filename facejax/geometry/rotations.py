"""Rotations as Euler angles, rotation vectors and matrices.

Every rotation is active and right-handed: R @ x turns the column vector x counter-clockwise about
the axis that points at the viewer. Euler angles are (pitch, yaw, roll) in radians, in this order,
about the fixed axes x, y, z: R = Rz(roll) @ Ry(yaw) @ Rx(pitch), so pitch is applied first.
All functions take any leading batch axes `...` and have finite gradients everywhere on rotations.
"""

import jax
import jax.numpy as jnp

from facejax import checks

# Below this cosine of yaw, pitch and roll turn about one axis: roll is set to 0.
GIMBAL = 1e-6
# Below this squared angle the series are exact in float32, and closed forms would divide by zero.
SMALL = 1e-3


def _matrix(rows: list[list[jax.Array]]) -> jax.Array:
    """[..., 3, 3] from nine arrays [...]."""
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def euler_to_matrix(angles: jax.Array) -> jax.Array:
    """Returns Rz(roll) @ Ry(yaw) @ Rx(pitch), [..., 3, 3].

    Args:
      angles: [..., 3] pitch, yaw, roll in radians.
    """
    checks.shapes(angles=(angles, "... 3"))
    (sp, sy, sr), (cp, cy, cr) = (jnp.moveaxis(f(angles), -1, 0) for f in (jnp.sin, jnp.cos))
    return _matrix(
        [
            [cy * cr, sp * sy * cr - cp * sr, cp * sy * cr + sp * sr],
            [cy * sr, sp * sy * sr + cp * cr, cp * sy * sr - sp * cr],
            [-sy, sp * cy, cp * cy],
        ]
    )


def matrix_to_euler(rotation: jax.Array) -> jax.Array:
    """Returns (pitch, yaw, roll) in radians, [..., 3]; yaw lies in [-pi/2, pi/2].

    On a rotation, pitch = atan2(R21, R22), yaw = atan2(-R20, hypot(R00, R10)) and
    roll = atan2(R10, R00). Pitch is read from Rz(-roll) @ R instead, so that pitch and roll still
    describe the same matrix near yaw = +-pi/2, where each alone is ill determined. There
    (gimbal lock, cos(yaw) < GIMBAL) roll is 0 by definition.

    Args:
      rotation: [..., 3, 3] rotation matrices.
    """
    checks.shapes(rotation=(rotation, "... 3 3"))
    r00, r10, r20 = (rotation[..., i, 0] for i in range(3))
    square = r00**2 + r10**2
    locked = square < GIMBAL**2
    cos_yaw = jnp.sqrt(jnp.where(locked, 1.0, square))  # sqrt(0) has an infinite gradient
    cos_roll = jnp.where(locked, 1.0, r00 / cos_yaw)
    sin_roll = jnp.where(locked, 0.0, r10 / cos_yaw)
    pitch = jnp.arctan2(
        sin_roll * rotation[..., 0, 2] - cos_roll * rotation[..., 1, 2],
        cos_roll * rotation[..., 1, 1] - sin_roll * rotation[..., 0, 1],
    )
    yaw = jnp.arctan2(-r20, jnp.where(locked, 0.0, cos_yaw))
    # atan2(0, 0) has a NaN gradient, and `where` alone would multiply it by zero
    roll = jnp.arctan2(jnp.where(locked, 0.0, r10), jnp.where(locked, 1.0, r00))
    return jnp.stack([pitch, yaw, roll], axis=-1)


def cross_matrix(vector: jax.Array) -> jax.Array:
    """Returns K, [..., 3, 3], with K @ x = vector x x.

    Args:
      vector: [..., 3].
    """
    x, y, z = jnp.moveaxis(vector, -1, 0)
    zero = jnp.zeros_like(x)
    return _matrix([[zero, -z, y], [z, zero, -x], [-y, x, zero]])


def rotation_vector_to_matrix(vector: jax.Array) -> jax.Array:
    """Returns the rotation by |vector| radians about vector (Rodrigues), [..., 3, 3].

    Args:
      vector: [..., 3] axis times angle in radians; zero gives the identity.
    """
    checks.shapes(vector=(vector, "... 3"))
    square = jnp.sum(vector**2, axis=-1)
    small = square < SMALL
    angle = jnp.sqrt(jnp.where(small, 1.0, square))  # sqrt(0) has an infinite gradient
    series = 1.0 - square / 6.0 + square**2 / 120.0
    half_series = 1.0 - square / 24.0 + square**2 / 1920.0
    sinc = jnp.where(small, series, jnp.sin(angle) / angle)
    half = jnp.where(small, half_series, jnp.sin(angle / 2) / (angle / 2))
    k = cross_matrix(vector)
    # K @ K = v v^T - |v|^2 I, written out so that no matmul rounds it
    outer = vector[..., :, None] * vector[..., None, :]
    eye = jnp.broadcast_to(jnp.eye(3, dtype=vector.dtype), k.shape)
    square = square[..., None, None]
    versine = 0.5 * half[..., None, None] ** 2  # (1 - cos a) / a^2 without cancellation
    return eye + sinc[..., None, None] * k + versine * (outer - square * eye)


def _quaternion(rotation: jax.Array) -> jax.Array:
    """Unit quaternion (w, x, y, z) with w >= 0, [..., 4], of rotation [..., 3, 3].

    The rows of 4 q q^T are sums of matrix entries and all proportional to q; the row of the
    largest component is never zero, so its gradient is finite for every rotation.
    """
    r = rotation
    xx, yy, zz = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    wx, wy, wz = (
        r[..., 2, 1] - r[..., 1, 2],
        r[..., 0, 2] - r[..., 2, 0],
        r[..., 1, 0] - r[..., 0, 1],
    )
    xy, xz, yz = (
        r[..., 0, 1] + r[..., 1, 0],
        r[..., 0, 2] + r[..., 2, 0],
        r[..., 1, 2] + r[..., 2, 1],
    )
    table = _matrix(
        [
            [1 + xx + yy + zz, wx, wy, wz],
            [wx, 1 + xx - yy - zz, xy, xz],
            [wy, xy, 1 - xx + yy - zz, yz],
            [wz, xz, yz, 1 - xx - yy + zz],
        ]
    )
    best = jnp.argmax(jnp.diagonal(table, axis1=-2, axis2=-1), axis=-1)
    row = jnp.take_along_axis(table, best[..., None, None], axis=-2)[..., 0, :]
    unit = row / jnp.linalg.norm(row, axis=-1, keepdims=True)
    return jnp.where(unit[..., :1] < 0, -unit, unit)


def matrix_to_rotation_vector(rotation: jax.Array) -> jax.Array:
    """Returns axis times angle, [..., 3], with the angle in [0, pi] radians.

    At exactly pi, where the axis has two signs, its largest component is positive.

    Args:
      rotation: [..., 3, 3] rotation matrices.
    """
    checks.shapes(rotation=(rotation, "... 3 3"))
    quaternion = _quaternion(rotation)
    w, axis = quaternion[..., 0], quaternion[..., 1:]
    square = jnp.sum(axis**2, axis=-1)
    small = square < SMALL
    sine = jnp.sqrt(jnp.where(small, 1.0, square))  # sin(angle / 2)
    # asin(s) / s as a series in s^2; the closed form is 0 / 0 at the identity
    series = 1 + square / 6 + 3 * square**2 / 40 + 15 * square**3 / 336
    ratio = jnp.where(small, series, jnp.arctan2(sine, w) / sine)
    return 2 * ratio[..., None] * axis
