"""The rotation nearest to a 3 x 3 matrix, by SVD (Umeyama 1991) or as a quaternion (Horn 1987).

Umeyama, IEEE TPAMI 13-4; Horn, Journal of the Optical Society of America A 4-4. The derivative is
our own, by implicit differentiation, because the SVD's is NaN whenever two singular values are
equal.
"""

import functools

import jax
import jax.numpy as jnp

from facejax import checks
from facejax.geometry import rotations

# A matrix whose second singular value is below this share of its Frobenius norm has rank 1.
COLLINEAR = 1e-5
# Directions in which the rotation is determined this weakly (share of the Frobenius norm) get a
# damped derivative; those in which it is free get a zero one.
DAMPING = 1e-4
# Squarings of Horn's matrix: they tell apart eigenvalues 1e-6 of the largest apart.
SQUARINGS = 24


def nearest_rotation(matrix: jax.Array, method: str = "svd") -> jax.Array:
    """Returns the proper rotation R, [..., 3, 3], with the largest trace(R^T matrix).

    It is the rotation nearest to any positive multiple of `matrix`. Zero gives the identity, a
    matrix of rank 1 the smallest of the best rotations. Where several are best otherwise
    (a reflection with two equal smallest singular values), it is one of them, and the two methods
    may choose differently.

    Args:
      matrix: [..., 3, 3].
      method: "svd"; or "horn", products and sums of 4 x 4 matrices alone, for accelerators, where
        batched SVDs are slow. Both have the same derivative.
    """
    checks.shapes(matrix=(matrix, "... 3 3"))
    if method not in _METHODS:
        raise ValueError(f"method is {method!r}; due: {' or '.join(map(repr, _METHODS))}")
    square = jnp.sum(matrix**2, axis=(-2, -1), keepdims=True)
    null = square == 0
    norm = jnp.sqrt(jnp.where(null, 1.0, square))  # sqrt(0) has an infinite gradient
    return _polar(matrix / norm, method)


def _by_svd(matrix: jax.Array) -> jax.Array:
    """R = u1 v1^T + u2 v2^T + (u1 x u2) (v1 x v2)^T: proper whatever the SVD's signs."""
    u, singular, vt = jnp.linalg.svd(matrix)
    u1, u2, v1, v2 = u[..., :, 0], u[..., :, 1], vt[..., 0, :], vt[..., 1, :]
    pairs = (u1, v1), (u2, v2), (jnp.cross(u1, u2), jnp.cross(v1, v2))
    first, second, third = (a[..., :, None] * b[..., None, :] for a, b in pairs)
    line = _smallest_rotation(v1, u1)
    return jnp.where((singular[..., 1] < COLLINEAR)[..., None, None], line, first + second + third)


def _by_quaternion(matrix: jax.Array) -> jax.Array:
    """Horn's way: the best quaternion is the eigenvector of the largest eigenvalue of a 4 x 4 form.

    Repeated squaring turns the form, shifted to be positive, into the projection onto that
    eigenvector; any of its columns is a multiple of it, the largest has the most digits.
    """
    m, trace = matrix, jnp.trace(matrix, axis1=-2, axis2=-1)
    spin = jnp.stack(
        [m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]], -1
    )
    eye = jnp.broadcast_to(jnp.eye(3, dtype=m.dtype), m.shape)
    inner = m + jnp.swapaxes(m, -1, -2) - trace[..., None, None] * eye
    top = jnp.concatenate([trace[..., None], spin], axis=-1)[..., None, :]
    form = jnp.concatenate([top, jnp.concatenate([spin[..., None], inner], axis=-1)], axis=-2)
    # eigenvalues are at most sqrt(3) times the Frobenius norm, which is 1
    form = form + 2 * jnp.broadcast_to(jnp.eye(4, dtype=m.dtype), form.shape)

    def squared(_: int, power: jax.Array) -> jax.Array:
        power = jnp.sum(power[..., :, :, None] * power[..., None, :, :], axis=-2)
        return power / jnp.trace(power, axis1=-2, axis2=-1)[..., None, None]

    power = jax.lax.fori_loop(0, SQUARINGS, squared, form)
    largest = jnp.argmax(jnp.diagonal(power, axis1=-2, axis2=-1), axis=-1)
    quaternion = jnp.take_along_axis(power, largest[..., None, None], axis=-1)[..., 0]
    quaternion = quaternion / jnp.linalg.norm(quaternion, axis=-1, keepdims=True)
    w, v = quaternion[..., :1, None], quaternion[..., 1:]
    turn = (w**2 - jnp.sum(v**2, axis=-1)[..., None, None]) * eye
    general = turn + 2 * (v[..., :, None] * v[..., None, :] + w * rotations.cross_matrix(v))
    return jnp.where(_on_a_line(m), _line_by_products(m), general)


def _on_a_line(matrix: jax.Array) -> jax.Array:
    """Whether matrices of Frobenius norm 1 have rank 1, [..., 1, 1]: their 2 x 2 minors vanish."""
    rows = jnp.roll(matrix, 1, axis=-2), jnp.roll(matrix, 2, axis=-2)
    square = jnp.sum(jnp.cross(*rows) ** 2, axis=(-2, -1), keepdims=True)
    return square < COLLINEAR**2


def _line_by_products(matrix: jax.Array) -> jax.Array:
    """The smallest rotation of the one direction that a matrix of rank 1 knows to its image."""
    squares = jnp.sum(matrix**2, axis=-1)
    longest = jnp.argmax(squares, axis=-1)[..., None, None]
    start = jnp.take_along_axis(matrix, longest, axis=-2)[..., 0, :]
    end = jnp.sum(matrix * start[..., None, :], axis=-1)
    return _smallest_rotation(_unit(start), _unit(end))


def _unit(vector: jax.Array) -> jax.Array:
    """The direction of a vector [..., 3], or the vector if it is 0."""
    square = jnp.sum(vector**2, axis=-1, keepdims=True)
    return vector * jax.lax.rsqrt(jnp.where(square == 0, 1.0, square))


def _smallest_rotation(start: jax.Array, end: jax.Array) -> jax.Array:
    """The rotation of least angle from one unit vector to another, [..., 3, 3]."""
    cosine = jnp.sum(start * end, axis=-1)[..., None, None]
    opposite = cosine < -0.999999
    k = rotations.cross_matrix(jnp.cross(start, end))
    eye = jnp.broadcast_to(jnp.eye(3, dtype=start.dtype), k.shape)
    turn = eye + k + jnp.matmul(k, k, precision="highest") / jnp.where(opposite, 1.0, 1 + cosine)
    side = jax.nn.one_hot(jnp.argmin(jnp.abs(start), axis=-1), 3, dtype=start.dtype)
    axis = jnp.cross(start, side)
    axis = axis / jnp.linalg.norm(axis, axis=-1, keepdims=True)
    half_turn = 2 * axis[..., :, None] * axis[..., None, :] - eye
    return jnp.where(opposite, half_turn, turn)


_METHODS = {"svd": _by_svd, "horn": _by_quaternion}


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _polar(matrix: jax.Array, method: str) -> jax.Array:
    """The rotation of `nearest_rotation` for matrices of Frobenius norm 1 (or 0)."""
    null = jnp.sum(matrix**2, axis=(-2, -1), keepdims=True) < 0.5
    eye = jnp.broadcast_to(jnp.eye(3, dtype=matrix.dtype), matrix.shape)
    return jnp.where(null, eye, _METHODS[method](matrix))


@_polar.defjvp
def _polar_jvp(method, primals, tangents):
    """Implicit derivative: dR = R [w]x, (trace(S) I - S) w = vee(R^T dM - dM^T R), S = R^T M.

    S is symmetric, and the matrix left of w has the eigenvalues s_i + s_j, zero where the rotation
    is free. So w is the real part of the solution for trace(S) I - S + i DAMPING I, as a real
    6 x 6 system: for an eigenvalue e well above DAMPING that is 1 / e, and 0 where e is 0.
    """
    (matrix,), (tangent,) = primals, tangents
    rotation = _polar(matrix, method)
    transpose = jnp.swapaxes(rotation, -1, -2)
    stretch = jnp.matmul(transpose, matrix, precision="highest")
    stretch = (stretch + jnp.swapaxes(stretch, -1, -2)) / 2
    eye = jnp.broadcast_to(jnp.eye(3, dtype=matrix.dtype), matrix.shape)
    left = jnp.trace(stretch, axis1=-2, axis2=-1)[..., None, None] * eye - stretch
    damping = DAMPING * eye
    system = jnp.block([[left, -damping], [damping, left]])
    turn = jnp.matmul(transpose, tangent, precision="highest")
    turn = turn - jnp.swapaxes(turn, -1, -2)
    right = jnp.stack([turn[..., 2, 1], turn[..., 0, 2], turn[..., 1, 0]], axis=-1)
    right = jnp.concatenate([right, jnp.zeros_like(right)], axis=-1)
    spin = jnp.linalg.solve(system, right[..., None])[..., :3, 0]
    return rotation, jnp.matmul(rotation, rotations.cross_matrix(spin), precision="highest")
