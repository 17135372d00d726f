"""Identity and expression bases from a population of face shapes, and how well they hold.

A basis is [K, N, 3] in millimetres, scaled so that its coefficients have unit variance.

Identity and expression are hard to tell apart in Face Mesh points: what varies within a clip and
what varies between people span nearly the same space (principal angles of 1 to 2 degrees), because
the net's depth and proportions drift with the pose of the head. A joint fit of two such bases would
be ill-conditioned. So the expression basis keeps only expression (what is linear in the pose, and
what stretches the whole face, is taken out), and the identity basis is made perpendicular to it.
"""

from collections.abc import Callable, Sequence

import numpy as np

from facejax.face_shapes import EYE_DISTANCE, Population, procrustes, reflect, register
from facejax.face_topology import LEFT_EYE_OUTER, RIGHT_EYE_OUTER

ENOUGH_PEOPLE = 30  # from here on identities are learnt from people rather than assumed smooth
# RMS distance of a face from the mean of others, in outer-eye distances: of 31 people, 0.029.
IDENTITY_RMS = 0.029
# Length of the Gaussian process's kernel in RMS radii of the face, for up to so many modes.
GP_LENGTHS = ((20, 0.5), (40, 0.35), (468, 0.25))


def expression_basis(population: Population, count: int) -> np.ndarray:
    """Returns the [count, N, 3] main directions in which faces differ from their person's mean.

    PCA of frames and their mirror images, people weighing the same, of what is neither linear in
    the head's pose nor a stretch of the whole face. A person of one frame adds nothing.

    Raises:
      ValueError: fewer independent frames than directions.
    """
    stretches = _stretches(population.mean)
    samples = []
    for frames, turns in zip(population.frames, population.poses, strict=True):
        moves = _flat(frames - frames.mean(axis=0))
        poses = np.linalg.svd(turns - turns.mean(axis=0), full_matrices=False)[0]
        if len(moves) > poses.shape[1] + 1:
            moves = _without(moves - poses @ (poses.T @ moves), stretches)
            both = np.concatenate([moves, _flat(reflect(_unflat(moves)))])
            samples.append(both / np.sqrt(len(both)))
    rank = sum(len(both) // 2 - 4 for both in samples)  # less the mean and three pose terms
    if rank < count:
        raise ValueError(f"{rank} independent frames came; due: at least {count}")
    return _principal(np.concatenate(samples) / np.sqrt(len(samples)), count)


def identity_basis(people: np.ndarray, mean: np.ndarray, count: int) -> np.ndarray:
    """Returns the [count, N, 3] main directions in which people differ from the mean face.

    PCA of people and their mirror images from ENOUGH_PEOPLE on, else a Gaussian process's modes.

    Args:
      people: [P, N, 3] registered to the mean.
      mean: [N, 3].
      count: of directions; with PCA at most 2 P - 1.
    """
    if len(people) < ENOUGH_PEOPLE:
        return smooth_basis(mean, count)
    both = _flat(np.concatenate([people, reflect(people)]) - mean)
    return _principal(both / np.sqrt(len(both)), count)


def smooth_basis(mean: np.ndarray, count: int) -> np.ndarray:
    """Returns [count, N, 3] smooth deformations of the mean: modes of a Gaussian process.

    Squared-exponential kernel on the mean face, the same modes for each coordinate (Luethi et al.
    2018, arxiv.org/abs/1603.07254); the total variance is that of people.

    Args:
      mean: [N, 3].
      count: of deformations: x, y and z of each mode in turn.
    """
    modes = -(-count // 3)
    length = next(length for most, length in GP_LENGTHS if modes <= most)
    radius = np.sqrt(np.mean(np.sum((mean - mean.mean(axis=0)) ** 2, axis=-1)))
    square = np.sum((mean[:, None] - mean[None]) ** 2, axis=-1)
    values, vectors = np.linalg.eigh(np.exp(-square / (2 * (length * radius) ** 2)))
    scaled = (np.sqrt(np.maximum(values, 0)) * vectors)[:, ::-1][:, :modes]
    basis = np.einsum("nm,cd->mcnd", scaled, np.eye(3)).reshape(3 * modes, len(mean), 3)[:count]
    rms = np.sqrt(np.sum(basis**2) / len(mean))
    return basis * (IDENTITY_RMS * EYE_DISTANCE / rms)


def perpendicular(basis: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Returns basis [K, N, 3] without its part in the span of other, principal directions first."""
    return _principal(_without(_flat(basis), _span(other)), len(basis))


def residual(shapes: np.ndarray, mean: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Returns what mean + basis leaves of each shape [P, N, 3]: [P] RMS over outer-eye distance."""
    rest = _without(_flat(register(shapes, mean)[0] - mean), _span(basis))
    eyes = np.linalg.norm(mean[LEFT_EYE_OUTER] - mean[RIGHT_EYE_OUTER])
    return np.sqrt(3 * np.mean(rest**2, axis=-1)) / eyes


def leave_one_out(
    people: Sequence[np.ndarray], make: Callable[[Population], np.ndarray]
) -> np.ndarray:
    """Returns the residual [P] of each person's mean shape under a basis made of all the others.

    Args:
      people: of each person [T, 468, 3], as for `procrustes`.
      make: population -> basis [K, N, 3].
    """
    rests = []
    for k, person in enumerate(people):
        others = procrustes([*people[:k], *people[k + 1 :]])
        shape = register(person, others.mean)[0].mean(axis=0)
        rests.append(residual(shape[None], others.mean, make(others))[0])
    return np.array(rests)


def explained(frames: np.ndarray, basis: np.ndarray) -> float:
    """Returns the share of the frame-to-frame variance of [T, N, 3] that a basis's span holds."""
    moves = _flat(frames - frames.mean(axis=0))
    rest = _without(moves, _span(basis))
    return float(1 - np.sum(rest**2) / np.sum(moves**2))


def _stretches(mean: np.ndarray) -> np.ndarray:
    """Orthonormal rows [12, 3N]: the affine motions of the mean, flattened."""
    homogeneous = np.concatenate([mean, np.ones((len(mean), 1))], axis=1)
    return _span(np.einsum("ni,cd->icnd", homogeneous, np.eye(3)).reshape(12, -1, 3))


def _span(basis: np.ndarray) -> np.ndarray:
    """Orthonormal rows that span a basis [K, N, 3]."""
    return np.linalg.svd(_flat(basis), full_matrices=False)[2]


def _without(moves: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Moves [S, D] less their part in the span of orthonormal rows [K, D]."""
    return moves - (moves @ rows.T) @ rows


def _principal(samples: np.ndarray, count: int) -> np.ndarray:
    """Main directions of samples [S, D] / sqrt(S), times standard deviations, [count, N, 3]."""
    _, deviations, rows = np.linalg.svd(samples, full_matrices=False)
    return _unflat(deviations[:count, None] * rows[:count])


def _flat(shapes: np.ndarray) -> np.ndarray:
    return shapes.reshape(len(shapes), int(np.prod(shapes.shape[1:])))


def _unflat(rows: np.ndarray) -> np.ndarray:
    return rows.reshape(len(rows), -1, 3)
