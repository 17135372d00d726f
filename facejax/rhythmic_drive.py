"""What moves a head in Rhythmic Head Motion: frontal landmarks and head motion, from any source.

Chen et al., ECCV 2020, section 3.1, and section B.1 for what controls. A `Drive` comes from sound
(`from_sound`: expression by Psi, head motion by Phi) or from a video (`from_performance`); two
are joined by `controlled`, expression from one and head motion from the other; `scaled` holds
either still. It is drawn by the 3D-aware generator, or, as a `Motion`, by any other renderer. The
learners may have been trained with other face models than the person is measured with.

  canonical = performance.canonical_face(model)
  seen = performance.measure(track.landmarks, track.valid, canonical, size=256, times=..., fps=25)
  made = from_sound(psi, phi, reference(seen, canonical, frames=64), waveform.load("speech.wav"))
  made.landmarks  # [T, 68, 3] px

Landmarks are in FAN's frame, px of a crop of 256 px (`performance`).
"""

import logging
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from facejax import (
    landmark_basis,
    performance,
    rhythmic_rollout,
    runs,
    settings,
)
from facejax.audio import chunks as sound
from facejax.audio import waveform
from facejax.data import head_motions, takes
from facejax.errors import InputError
from facejax.face_measures import blink, openness
from facejax.geometry import head_motion
from facejax.geometry.camera import pose_from_camera
from facejax.geometry.fit import Fit, FitOperator, fit_shape, prepare_fit
from facejax.geometry.head_motion import LANDMARKS, RIGID
from facejax.geometry.morphable import MorphableModel
from facejax.landmark_basis import LandmarkBasis
from facejax.motion import Motion
from facejax.performance import SIDE, Performance

FPS = 25.0  # of reference and drive, where no run says otherwise
LEAST_SEEN = 0.5  # share of a reference's frames in which landmarks must have been found
RIDGE = 1.0  # mm^2, of the fit of a face model to landmarks, as in `track`


class Reference(NamedTuple):
    """A person: a short video, or one image (T = 1), at a frame rate."""

    seen: Performance
    key: int  # its most frontal frame
    wave: np.ndarray  # float32 [n] mono at 16 kHz from the first frame on; n = 0: silent
    fps: float
    canonical: np.ndarray  # [68, 3] px, that its head motions refer to


class Drive(NamedTuple):
    """T frames of what a face is to do."""

    fronts: np.ndarray  # [T, 68, 3] px: the face without head motion
    motion: np.ndarray  # [T, 6]: rotation vector in radians, translation in px
    fps: float

    @property
    def rotation(self) -> np.ndarray:
        """Rotation vectors, [T, 3] radians."""
        return self.motion[:, :3]

    @property
    def translation(self) -> np.ndarray:
        """Translations, [T, 3] px."""
        return self.motion[:, 3:]

    @property
    def landmarks(self) -> np.ndarray:
        """R^-1 (p - T): the landmarks in the picture, [T, 68, 3] px."""
        return performance.posed(self.fronts, self.motion)


def reference(
    seen: Performance,
    canonical: np.ndarray,
    *,
    wave: np.ndarray | None = None,
    frames: int = 0,
    fps: float = FPS,
    name: str = "the reference",
) -> Reference:
    """Returns a person from what is seen of them.

    Args:
      seen: of `performance.measure`, at `fps`; of one frame, a photo.
      canonical: [68, 3], of `performance.canonical_face`, as given to it.
      wave: float32 [n] mono at 16 kHz from the first frame on; None: silent.
      frames: that are due, and taken from the start; 0: all. A photo is excused.
      fps: frames a second.
      name: for messages.

    Raises:
      InputError: a video that is too short, landmarks in too few of its frames, none frontal.
    """
    total = len(seen.motion)
    if 1 < total < frames:
        raise InputError(
            f"{name} has {total} frames at {fps:g} a second, and {frames} ({frames / fps:.2f} s) "
            "are due to learn how the head moves; give a longer video, or one image"
        )
    seen = seen.part(0, frames) if frames else seen
    found = float(np.mean(seen.valid))
    if found < LEAST_SEEN:
        raise InputError(
            f"{name}: landmarks were found in {100 * found:.0f} % of its {len(seen.valid)} frames; "
            f"due: {100 * LEAST_SEEN:.0f} % or more; choose a part that shows the face"
        )
    if found < 1:
        logging.warning("%s: landmarks are missing in some frames: interpolated", name)
    key = performance.key_frame(seen, name=name)
    return Reference(seen, key, _sound(wave), fps, canonical)


def _sound(wave: np.ndarray | None) -> np.ndarray:
    return np.zeros(0, np.float32) if wave is None else np.asarray(wave, np.float32)


def check_runs(psi: runs.Run, phi: runs.Run) -> None:
    """Raises an InputError unless the runs are Psi's and Phi's, at one frame rate."""
    check_kind(psi, "rhythmic_expression")
    check_kind(phi, "rhythmic_motion")
    if psi.config.data.fps != phi.config.data.fps:
        raise InputError(
            f"expression is made at {psi.config.data.fps:g} frames a second, head motion at "
            f"{phi.config.data.fps:g}; train both at one rate (data.fps)"
        )


def check_kind(run: runs.Run, due: str) -> None:
    """Raises an InputError unless a run is of the system `due`."""
    if run.config.system != due:
        raise InputError(f"a run of {due} is due; this one is of {run.config.system}")


def from_sound(psi: runs.Run, phi: runs.Run, person: Reference, wave: np.ndarray) -> Drive:
    """Returns how a person says what is heard, one frame each 1 / fps s.

    Args:
      psi: a run of rhythmic_expression (`runs.load`).
      phi: a run of rhythmic_motion, at the same frame rate.
      person: at that rate; of one frame, or of Phi's data.tau.
      wave: float32 [n] mono at 16 kHz.

    Raises:
      InputError: the runs do not fit; the sound is shorter than half a frame.
    """
    check_runs(psi, phi)
    return Drive(spoken_fronts(psi, person, wave), spoken_motion(phi, person, wave), _rate(psi))


def spoken_fronts(psi: runs.Run, person: Reference, wave: np.ndarray) -> np.ndarray:
    """Returns the fronts [T, 68, 3] that Psi makes of a sound; see `from_sound`."""
    data, basis = settings.section(psi.config, "data"), basis_of(psi)
    seen = _seen_by(psi, person)
    rest = landmark_basis.person(basis, seen, data.identity)
    run = rhythmic_rollout.bound(psi.system.generate, (psi.gen, psi.stats, psi.system.frozen))
    made = rhythmic_rollout.expressions(run, _chunks(wave, data), rest.reference)
    fronts = landmark_basis.with_expressions(basis, rest, made)
    return _carried(seen, person, fronts=fronts)[0]


def spoken_motion(phi: runs.Run, person: Reference, wave: np.ndarray) -> np.ndarray:
    """Returns the head motion [T, 6] that Phi makes of a sound; see `from_sound`.

    An image is a person who holds still and says nothing for as long as a reference lasts.
    """
    data = settings.section(phi.config, "data")
    table = jax.device_get(phi.system.frozen["head_motion"])
    seen = _seen_by(phi, person)
    motion = seen.motion
    if len(motion) == 1:
        motion = np.repeat(motion, data.tau, axis=0)
    if len(motion) < data.tau:
        raise InputError(
            f"the reference has {len(motion)} frames; {data.tau} at {data.fps:g} a second are due "
            f"({data.tau / data.fps:.2f} s), or one image"
        )
    motion = motion[: data.tau]
    table = head_motions.own_table(motion, data, table)
    known = {
        "known_motion": head_motions.known_motion(motion, data, table),
        "known_chunks": head_motions.heard_as(data, _chunks(person.wave, data, data.tau)),
    }
    run = rhythmic_rollout.bound(phi.system.generate, (phi.gen, phi.stats, phi.system.frozen))
    made = rhythmic_rollout.head_motions(run, data, known, _chunks(wave, data))
    return _carried(seen, person, motion=head_motions.told_motion(made, table))[1]


def _seen_by(run: runs.Run, person: Reference) -> Performance:
    """Returns what is seen of a person, in head motions that refer to the run's own face model."""
    canonical = performance.canonical_face(jax.device_get(run.system.frozen["morphable"]))
    return performance.of_landmarks(person.seen.landmarks, canonical, person.seen.valid)


def _carried(
    seen: Performance,
    person: Reference,
    fronts: np.ndarray | None = None,
    motion: np.ndarray | None = None,
) -> tuple[Any, Any]:
    """Returns fronts and motions that refer to another canonical face as the person's own.

    Two canonical faces see the key frame's landmarks as R l + T and R' l + T': p' = Q p + q, with
    Q = R' R^-1 and q = T' - Q T. Other frames follow, as R' = Q R and T' = Q T + q.
    """
    there, here = (Rotation.from_rotvec(one.motion[person.key, :3]) for one in (seen, person.seen))
    turn = here * there.inv()
    places = (one.motion[person.key, 3:] for one in (person.seen, seen))
    shift = next(places) - turn.apply(next(places))
    if fronts is not None:
        turned = turn.apply(fronts.reshape(-1, 3)).reshape(fronts.shape)
        fronts = np.asarray(turned + shift, np.float32)
    if motion is not None:
        rotation = (turn * Rotation.from_rotvec(motion[:, :3])).as_rotvec()
        place = turn.apply(motion[:, 3:]) + shift
        motion = np.concatenate([rotation, place], axis=1).astype(np.float32)
    return fronts, motion


def _rate(run: runs.Run) -> float:
    return float(run.config.data.fps)


def basis_of(psi: runs.Run) -> LandmarkBasis:
    """Returns the basis that a run of rhythmic_expression keeps."""
    table = jax.device_get(psi.system.frozen["landmarks"])
    return LandmarkBasis(*(np.asarray(table[name]) for name in LandmarkBasis._fields))


def _chunks(wave: np.ndarray, data: Any, frames: int = 0) -> np.ndarray:
    """Returns the sound of `frames` frames (0: as many as it has) and around, int16 [T + 6, n]."""
    size = sound.samples_a_frame(data.rate, data.fps)
    heard = waveform.resample(wave, waveform.RATE, data.rate)
    frames = frames or sound.count(len(heard), size)
    if not frames:
        raise InputError(
            f"the sound lasts {len(wave) / waveform.RATE:.3f} s, less than half a frame; give more"
        )
    chunks = sound.padded_chunks(heard, size, frames)
    return takes.as_integers(chunks)


def from_performance(
    person: Reference, driver: Performance, fps: float, *, same: bool = False
) -> Drive:
    """Returns a driver's expressions on the person's face, and the driver's head motion.

    Of another person, expressions are displacements from the driver's most frontal frame, scaled
    with the size of the face; the head moves about the place where the reference holds it.

    Args:
      person: whose face it is.
      driver: what is done, in head motions that refer to the same canonical face.
      fps: of the driver.
      same: the driver is the person, framed alike: all is taken as it is.

    Raises:
      InputError: the driver has no frontal frame.
    """
    if same:
        return Drive(driver.fronts, driver.motion, fps)
    key = performance.key_frame(driver, name="the driver")
    own = person.seen.fronts[person.key]
    ratio = _spread(own) / _spread(driver.fronts[key])
    fronts = own + ratio * (driver.fronts - driver.fronts[key])
    rigid = person.canonical[list(RIGID)].mean(0)
    place = _places(driver.motion, rigid)
    there = _places(person.seen.motion[person.key][None], rigid)
    place = there + ratio * (place - place[key])
    return Drive(fronts, _at(driver.motion, place, rigid), fps)


def _spread(front: np.ndarray) -> float:
    """The root mean square distance of the rigid landmarks from their centre, px."""
    rigid = front[list(RIGID)]
    return float(np.sqrt(np.square(rigid - rigid.mean(0)).sum(-1).mean()))


def _places(motion: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Where head motions [T, 6] put the canonical face's centre [3], [T, 3] px."""
    points = np.repeat(centre[None, None], len(motion), axis=0)
    return performance.posed(points, motion)[:, 0]


def _at(motion: np.ndarray, place: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Head motions [T, 6] of the same rotations that put the centre [3] at places [T, 3]."""
    still = np.concatenate([motion[:, :3], np.zeros_like(motion[:, 3:])], axis=1)
    turned = np.asarray(head_motion.front(jnp.asarray(place[:, None]), jnp.asarray(still)))[:, 0]
    return np.concatenate([motion[:, :3], centre - turned], axis=1).astype(np.float32)


def controlled(expression: Drive, motion: Drive) -> Drive:
    """Returns a drive with the expressions of one and the head motion of another.

    The head motion is played forth and back where it is shorter, and cut where it is longer.

    Args:
      expression: T frames; its length counts.
      motion: at least one frame, at the same frame rate.

    Raises:
      InputError: the rates differ.
    """
    if expression.fps != motion.fps:
        raise InputError(
            f"expression has {expression.fps:g} frames a second, head motion {motion.fps:g}; "
            "measure both at one rate"
        )
    number = forth_and_back(len(expression.fronts), len(motion.motion))
    return Drive(expression.fronts, motion.motion[number], expression.fps)


def scaled(drive: Drive, rest: np.ndarray, expression: float = 1.0, motion: float = 1.0) -> Drive:
    """Returns a drive with more or less of its expression and head motion; 0 holds either still.

    Args:
      drive: T frames.
      rest: [68, 3] px, the front that expressions are displacements from.
      expression: times the displacement.
      motion: times the head motion about its mean.
    """
    fronts = rest + np.float32(expression) * (drive.fronts - rest)
    mean = drive.motion.mean(0)
    moved = mean + np.float32(motion) * (drive.motion - mean)
    return Drive(fronts, moved.astype(np.float32), drive.fps)


def forth_and_back(count: int, most: int) -> np.ndarray:
    """Returns `count` frame numbers that run from 0 to most - 1, back, and again."""
    number = np.arange(count) % max(2 * most - 2, 1)
    return np.where(number < most, number, 2 * most - 2 - number)


def at_rest(person: Reference, frames: int) -> Drive:
    """Returns the person's most frontal frame, held: expression and head motion."""
    front, motion = person.seen.fronts[person.key], person.seen.motion[person.key]
    tiled = [np.repeat(value[None], frames, axis=0) for value in (front, motion)]
    return Drive(tiled[0], tiled[1], person.fps)


def to_motion(drive: Drive, model: MorphableModel, person: Reference | None = None) -> Motion:
    """Returns a drive in the terms of a face model: what HeadGAN or the plain 3-D head draws.

    The model is fitted to the landmarks; 68 points leave some of an expression to likelihood.

    Args:
      drive: T frames.
      model: MorphableModel.
      person: whose fit gives the identity; None: the mean of the drive's frames.
    """
    operator = prepare_fit(model._replace(points=jnp.asarray(model.landmarks)[:LANDMARKS]), RIDGE)
    found = _fits(operator, drive.landmarks)
    own = found if person is None else _fits(operator, person.seen.landmarks[person.key][None])
    shut = blink(openness(drive.fronts))
    return Motion(
        identity=jnp.mean(jnp.asarray(own.identity), axis=0),
        expression=jnp.asarray(found.expression),
        pose=pose_from_camera(found.camera, int(SIDE), int(SIDE)),
        blink=jnp.asarray(shut),
        fps=jnp.asarray(drive.fps, jnp.float32),
    )


def _fits(operator: FitOperator, landmarks: np.ndarray) -> Fit:
    """Fits of landmarks [T, 68, 3] px in FAN's frame, a block at a time."""
    size, parts = performance.BLOCK, []
    for first in range(0, len(landmarks), size):
        some = landmarks[first : first + size]
        full = np.concatenate([some, np.repeat(some[-1:], size - len(some), axis=0)])
        fitted = _fit(operator, jnp.asarray(full))
        parts.append(jax.tree.map(lambda x, n=len(some): x[:n], fitted))  # noqa: B008
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


@jax.jit
def _fit(operator: FitOperator, landmarks: jax.Array) -> Fit:
    return fit_shape(operator, head_motion.flip_depth(landmarks), camera_from="fitted")
