"""Faces and weak-perspective cameras from 2-D points: of single frames, and of whole clips.

The least squares of image points, with a ridge on the coefficients, in all unknowns together: the
coefficients and every frame's scale, rotation and place. Each step is linear least squares around
the last faces and cameras (Gauss-Newton). To alternate between cameras and coefficients takes ten
times the steps, because a turn of the head and a change of its shape look alike.

A clip has one identity, and an expression a frame. Every frame's expression and camera are
eliminated from its equations before those of all frames are added up, so that the equations of the
identity are I x I however long the clip is. A single frame has no identity shared with others.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from facejax import checks
from facejax.geometry.camera import Camera, camera_from_affine, fit_affine
from facejax.geometry.coefficients import normal_matrix
from facejax.geometry.face_basis import FaceBasis
from facejax.geometry.least_squares import factored, solve
from facejax.geometry.linear_basis import LinearBasis, along_rows, offsets, see
from facejax.geometry.rotations import rotation_vector_to_matrix

# Gauss-Newton steps: with a ridge that belongs to the noise, they end at float32's rounding.
STEPS = 10
# Unknowns of a camera: log scale, turns about x, y and z, place in x and y.
CAMERA = 6


class ClipFit(NamedTuple):
    """A fitted clip."""

    identity: jax.Array  # [I]
    expression: jax.Array  # [T, E]
    camera: Camera  # [T], its depth translation 0
    residual: jax.Array  # [T] RMS distance between image points and fit, pixels


class _Sight(NamedTuple):
    """What was seen, and of what. Their mean face is centred: turning does not displace it."""

    basis: LinearBasis
    image_points: jax.Array  # [T, N, 2]
    weights: jax.Array | None  # [T, N]


class _Fitted(NamedTuple):
    """The unknowns. Principal coefficients are shared @ shared_axes + own @ own_axes."""

    shared: jax.Array  # [I]
    own: jax.Array  # [T, E]
    camera: Camera  # [T] of the centred faces


def fit_morphable_model(
    basis: LinearBasis,
    image_points: jax.Array,
    ridge: jax.Array | float,
    weights: jax.Array | None = None,
    *,
    steps: int = STEPS,
) -> tuple[jax.Array, Camera]:
    """Returns coefficients [..., K] and cameras [...] of faces seen in one frame each.

    They have the least sum_n weight_n |image_point_n - project(point_n)|^2 + ridge |c|^2. The
    depth translation of the cameras is 0. A frame without weight has coefficients and scale 0.

    Args:
      basis: of `linear_basis`, in the model frame.
      image_points: [..., N, 2] image frame, pixels.
      ridge: scalar > 0, in square pixels: the variance of the points' noise.
      weights: [..., N] >= 0; none means 1. A point of weight 0 may hold anything. They make dense
        points dear, as in `fit_coefficients_projected`.
      steps: Gauss-Newton steps.
    """
    checks.shapes(mean=(basis.mean, "N 3"), image_points=(image_points, "... N 2"))
    sight, centre = _look(basis, image_points, weights)
    fitted = _gauss_newton(sight, basis.axes[:0], basis.axes, ridge, steps)
    found = fitted.own, _displaced(fitted.camera, -centre)
    return jax.tree.map(lambda x: jnp.reshape(x, (*image_points.shape[:-2], *x.shape[1:])), found)


def fit_clip(
    basis: FaceBasis,
    image_points: jax.Array,
    ridge: jax.Array | float,
    weights: jax.Array | None = None,
    *,
    steps: int = STEPS,
) -> ClipFit:
    """Returns the identity of a clip, and the expression and camera of each of its frames.

    They have the least sum_tn weight_tn |image_point_tn - project(point_tn)|^2
    + ridge (|identity|^2 + sum_t |expression_t|^2). A frame without weight has expression and
    scale 0. Memory: a few times T (K + 6)^2 numbers. `jax.vmap` fits several clips.

    Args:
      basis: of `face_basis`.
      image_points: [T, N, 2] image frame, pixels.
      ridge: scalar > 0, in square pixels: the variance of the points' noise.
      weights: [T, N] >= 0; none means 1. A point of weight 0 may hold anything.
      steps: Gauss-Newton steps.
    """
    checks.shapes(mean=(basis.linear.mean, "N 3"), image_points=(image_points, "T N 2"))
    sight, centre = _look(basis.linear, image_points, weights)
    axes = basis.identity_axes, basis.expression_axes
    fitted = _gauss_newton(sight, *axes, ridge, steps)
    _, rest = _seen(sight, fitted.camera, _principal(fitted, *axes))
    return ClipFit(
        fitted.shared, fitted.own, _displaced(fitted.camera, -centre), _rms(rest, sight.weights)
    )


def _look(
    basis: LinearBasis, image_points: jax.Array, weights: jax.Array | None
) -> tuple[_Sight, jax.Array]:
    """What was seen in a single batch axis, and the centre [3] of the mean face."""
    if weights is not None:
        checks.shapes(image_points=(image_points, "... N 2"), weights=(weights, "... N"))
        image_points = jnp.where((weights > 0)[..., None], image_points, 0.0)
        weights = jnp.reshape(weights, (-1, weights.shape[-1]))
    centre = jnp.mean(basis.mean, axis=0)
    mean = basis.mean - jnp.broadcast_to(centre, basis.mean.shape)
    points = jnp.reshape(image_points, (-1, *image_points.shape[-2:]))
    return _Sight(basis._replace(mean=mean), points, weights), centre


def _gauss_newton(
    sight: _Sight,
    shared_axes: jax.Array,
    own_axes: jax.Array,
    ridge: jax.Array | float,
    steps: int,
) -> _Fitted:
    """Starts from the mean face and its affine camera; axes are [I, R] and [E, R]."""
    frames, dtype = len(sight.image_points), sight.image_points.dtype
    mean = jnp.broadcast_to(sight.basis.mean, (frames, *sight.basis.mean.shape))
    camera = camera_from_affine(fit_affine(mean, sight.image_points, sight.weights))
    start = jnp.zeros(len(shared_axes), dtype), jnp.zeros((frames, len(own_axes)), dtype)
    # from principal coefficients and camera to the unknowns
    axes = jnp.concatenate([shared_axes, own_axes])
    turn = jax.scipy.linalg.block_diag(axes, jnp.eye(CAMERA, dtype=dtype))

    def step(fitted: _Fitted, _: None) -> tuple[_Fitted, None]:
        principal = _principal(fitted, shared_axes, own_axes)
        normal, slope = _equations(sight, fitted.camera, principal)
        normal = jnp.einsum("kr,trs,ls->tkl", turn, normal, turn, precision="highest")
        slope = jnp.matmul(slope, turn.T, precision="highest")
        shared, own = _change(normal, slope, fitted, ridge)
        own, moved = own[:, : len(own_axes)], _moved(fitted.camera, own[:, len(own_axes) :])
        return _Fitted(fitted.shared + shared, fitted.own + own, moved), None

    return jax.lax.scan(step, _Fitted(*start, camera), length=steps)[0]


def _principal(fitted: _Fitted, shared_axes: jax.Array, own_axes: jax.Array) -> jax.Array:
    """The principal coefficients [T, R]."""
    own = jnp.matmul(fitted.own, own_axes, precision="highest")
    shared = jnp.matmul(fitted.shared, shared_axes, precision="highest")
    return own + jnp.broadcast_to(shared, own.shape)


def _seen(sight: _Sight, camera: Camera, principal: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The turned and scaled faces [T, N, 3], and image points less fit [T, N, 2]."""
    points = offsets(sight.basis, principal)
    points = points + jnp.broadcast_to(sight.basis.mean, points.shape)
    turned = see(camera.scale[:, None, None] * camera.rotation, points)
    return turned, sight.image_points - turned[..., :2] - camera.translation[:, None, :2]


def _equations(sight: _Sight, camera: Camera, principal: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Normal equations [T, R + 6, R + 6] of a change in principal coefficients and camera.

    The right side, [T, R + 6], is what the change has to explain.
    """
    turned, rest = _seen(sight, camera, principal)
    x, y, z = jnp.moveaxis(turned, -1, 0)
    zero, one = jnp.zeros_like(x), jnp.ones_like(x)
    columns = (x, y), (zero, -z), (z, zero), (-y, x), (one, zero), (zero, one)
    jacobian = jnp.stack([jnp.stack(column, axis=-1) for column in columns], axis=1)
    both = jnp.concatenate([jacobian, rest[:, None]], axis=1)
    if sight.weights is not None:
        both = sight.weights[:, None, :, None] * both
    linear = camera.scale[:, None, None] * camera.rotation[:, :2]
    lifted = see(jnp.swapaxes(linear, -1, -2)[:, None], both)
    shape = along_rows(sight.basis, lifted)  # [T, 7, R]
    own = jnp.einsum("tknd,tlnd->tkl", jacobian, both, precision="highest")  # [T, 6, 7]
    cross = shape[:, :CAMERA]
    upper = jnp.concatenate(
        [normal_matrix(sight.basis, linear, sight.weights), jnp.swapaxes(cross, -1, -2)], axis=-1
    )
    lower = jnp.concatenate([cross, own[..., :CAMERA]], axis=-1)
    slope = jnp.concatenate([shape[:, CAMERA], own[..., CAMERA]], axis=-1)
    return jnp.concatenate([upper, lower], axis=1), slope


def _change(
    normal: jax.Array, slope: jax.Array, fitted: _Fitted, ridge: jax.Array | float
) -> tuple[jax.Array, jax.Array]:
    """What to add to the shared coefficients, [I], and to own ones and camera, [T, E + 6].

    Own unknowns are eliminated: own = own^-1 (slope - cross @ shared) in the sum over frames.
    """
    count = len(fitted.shared)
    ridges = jnp.pad(jnp.full(fitted.own.shape[-1], ridge, slope.dtype), (0, CAMERA))
    own = normal[:, count:, count:] + jnp.diag(ridges)[None]
    held = jnp.pad(ridge * fitted.own, ((0, 0), (0, CAMERA)))
    cross = normal[:, count:, :count]
    right = jnp.concatenate([cross, (slope[:, count:] - held)[..., None]], axis=-1)
    solved = solve(factored(own), right)
    taken = jnp.einsum("tei,tej->ij", cross, solved, precision="highest")
    summed = jnp.sum(normal[:, :count, :count], axis=0) - taken[:, :count]
    summed = summed + ridge * jnp.eye(count, dtype=slope.dtype)
    total = jnp.sum(slope[:, :count], axis=0) - taken[:, count] - ridge * fitted.shared
    shared = solve(factored(summed), total[:, None])[:, 0]
    return shared, solved[..., count] - jnp.matmul(solved[..., :count], shared, precision="highest")


def _moved(camera: Camera, change: jax.Array) -> Camera:
    """The camera after a change [T, 6] of its unknowns."""
    scale = camera.scale * jnp.exp(change[:, 0])
    turn = rotation_vector_to_matrix(change[:, 1:4])
    rotation = jnp.matmul(turn, camera.rotation, precision="highest")
    place = jnp.pad(change[:, 4:], ((0, 0), (0, 1)))
    return Camera(scale, rotation, camera.translation + place)


def _displaced(camera: Camera, shift: jax.Array) -> Camera:
    """The camera of points that lie at a shift [3] from those that the given one sees."""
    moved = see(camera.scale[:, None, None] * camera.rotation, shift[None, None])[:, 0]
    return camera._replace(translation=camera.translation + moved * jnp.asarray([[1.0, 1.0, 0.0]]))


def _rms(rest: jax.Array, weights: jax.Array | None) -> jax.Array:
    """The root of the weighted mean square [T] of distances [T, N, 2], with gradient 0 at 0."""
    square = jnp.sum(rest**2, axis=-1)
    if weights is None:
        square = jnp.mean(square, axis=-1)
    else:
        total = jnp.sum(weights, axis=-1)
        square = jnp.sum(weights * square, axis=-1) / jnp.where(total > 0, total, 1.0)
    exact = square == 0
    return jnp.where(exact, 0.0, jnp.sqrt(jnp.where(exact, 1.0, square)))
