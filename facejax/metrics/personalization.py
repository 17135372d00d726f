"""Whether a motion can be told to be its person's: FACIAL's personalisation metric.

Zhang et al., ICCV 2021, arXiv:2108.07938, supplement, section 3. A classifier learns to tell N
people by real windows of 128 frames of head pose, and a second one by blinks; what is generated for
the k-th person should be classified as the k-th. Cross-entropy, Adam at 1e-4, the epoch that is
best on validation windows: 90 % (pose) and 75 % (blinks) of them, for the paper's N = 5 people.

Not in that text, and chosen here: a window every 5 frames, batches of 64, and units of the training
set as a whole, since each person's own would take out what tells people apart. Neighbouring windows
share 123 frames, so it is clips that the caller has to divide.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from facejax import checks
from facejax.nets.motion_classifiers import MotionClassifier

FRAMES, STEP = 128, 5
LEAST_VALID = 0.9  # share of a window's frames that must show a face
BATCH = 64
RATE = 1e-4
EPOCHS, LEAST_STEPS = 40, 800
CHUNK = 256  # windows classified at a time
PyTree = Any


class Windows(NamedTuple):
    """Stretches of `frames` frames out of motions that are laid end to end."""

    motion: np.ndarray  # [F, C]
    starts: np.ndarray  # [W] their first frames
    person: np.ndarray  # [W] whose they are, 0 to N - 1
    frames: int


class Classifier(NamedTuple):
    """What tells N people apart."""

    net: MotionClassifier
    variables: PyTree
    mean: np.ndarray  # [C] of all training windows' motions
    std: np.ndarray  # [C]
    epoch: int  # the one that was best, from 1
    validation: float  # its accuracy there


def starts(
    valid: np.ndarray, *, frames: int = FRAMES, step: int = STEP, least_valid: float = LEAST_VALID
) -> np.ndarray:
    """Returns the first frames of a motion's windows, [W]; none if it is shorter than one.

    Args:
      valid: [T] bool, frames that show a face.
      frames: in a window.
      step: frames from the start of one to the next's.
      least_valid: share of a window's frames that must show a face.
    """
    first = np.arange(0, len(valid) - frames + 1, step)
    seen = np.concatenate([[0], np.cumsum(valid)])
    return first[seen[first + frames] - seen[first] >= least_valid * frames]


def cut(
    motions: Sequence[np.ndarray],
    people: Sequence[int],
    *,
    valid: Sequence[np.ndarray] | None = None,
    frames: int = FRAMES,
    step: int = STEP,
) -> Windows:
    """Returns the windows of some motions, in order.

    Args:
      motions: [T, C] each, of any length; at least one.
      people: whose each is.
      valid: [T] bool each, of `starts`; None: every frame shows a face.
      frames: in a window.
      step: of `starts`.
    """
    found, before = [], 0
    for number, motion in enumerate(motions):
        checks.shapes(motion=(motion, "T C"))
        seen = np.ones(len(motion), bool) if valid is None else valid[number]
        found.append(before + starts(seen, frames=frames, step=step))
        before += len(motion)
    return Windows(
        motion=np.concatenate(motions).astype(np.float32),
        starts=np.concatenate(found).astype(np.int32),
        person=np.repeat(people, [len(first) for first in found]).astype(np.int32),
        frames=frames,
    )


def train(
    windows: Windows,
    validation: Windows,
    people: int,
    *,
    epochs: int | None = None,
    batch: int = BATCH,
    learning_rate: float = RATE,
    widths: tuple[int, ...] = MotionClassifier.widths,
    seed: int = 0,
) -> Classifier:
    """Returns the classifier of the epoch with the best accuracy on the validation windows.

    Of epochs that are equal there, the one with the least loss. An epoch is all windows in random
    order; an incomplete last batch is dropped.

    Args:
      windows: to learn from, of clips that are in neither other set.
      validation: to choose by.
      people: N; each must have windows in both.
      epochs: how many, 1 or more; None: EPOCHS, or those that LEAST_STEPS steps take if more.
      batch: windows a step, or all if there are fewer.
      learning_rate: of Adam.
      widths: of the net.
      seed: of the weights and the order.

    Raises:
      ValueError: a person has no window, or no epoch is asked for.
    """
    if epochs is not None and epochs < 1:
        raise ValueError(f"epochs is {epochs}; due: 1 or more")
    _check_people(people, windows=windows, validation=validation)
    mean, std = _units(windows)
    net = MotionClassifier(people, widths)
    motion = jax.device_put((windows.motion - mean) / std)
    key = jax.random.key(seed, impl="unsafe_rbg")
    state = _begin(key, motion[: windows.frames], net, learning_rate)
    rng, total = np.random.default_rng(seed), len(windows.starts)
    batch = min(batch, total)
    if epochs is None:
        epochs = max(EPOCHS, -(-LEAST_STEPS // (total // batch)))
    best, least = None, (np.inf, np.inf)
    for epoch in range(1, epochs + 1):
        order = rng.permutation(total)[: total - total % batch].reshape(-1, batch)
        for rows in order:
            drawn = jax.device_put((windows.starts[rows], windows.person[rows]))
            state = _step(state, motion, *drawn, net, windows.frames, learning_rate)
        now = Classifier(net, state[0], mean, std, epoch, 0.0)
        accuracy, loss = _validate(now, validation)
        if best is None or (-accuracy, loss) < least:
            best, least = now._replace(validation=accuracy), (-accuracy, loss)
    assert best is not None  # of the first epoch
    return best._replace(variables=jax.device_get(best.variables))


def _check_people(people: int, **sets: Windows) -> None:
    for name, found in sets.items():
        there = sorted(set(found.person.tolist()))
        if there != list(range(people)):
            raise ValueError(f"{name} has the people {there}; due: each of 0 to {people - 1}")


def _validate(classifier: Classifier, windows: Windows) -> tuple[float, float]:
    """Returns the accuracy, and the mean cross-entropy."""
    logits = _logits(classifier, windows)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, windows.person)
    return float(share_recognised(_count(logits, windows.person)).mean()), float(losses.mean())


def _units(windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and deviation of the frames; a channel that never moves keeps its unit."""
    inside = np.zeros(len(windows.motion), bool)
    inside[windows.starts[:, None] + np.arange(windows.frames)] = True
    values = windows.motion[inside].astype(np.float64)
    std = values.std(0)
    return values.mean(0).astype(np.float32), np.where(std > 0, std, 1).astype(np.float32)


@functools.partial(jax.jit, static_argnames=("net", "rate"))
def _begin(key: jax.Array, window: jax.Array, net: MotionClassifier, rate: float) -> PyTree:
    """Returns the net's variables and Adam's state."""
    variables = net.init(key, window[None], train=False)
    return variables, optax.adam(rate).init(variables["params"])


# One step a call, and no scan over them: on CPUs, XLA compiles the gradients of convolutions that
# are in a loop to plain code, here 30 times slower (github.com/jax-ml/jax/issues/12868).
@functools.partial(jax.jit, static_argnames=("net", "frames", "rate"))
def _step(
    state: PyTree,
    motion: jax.Array,
    starts: jax.Array,
    person: jax.Array,
    net: MotionClassifier,
    frames: int,
    rate: float,
) -> PyTree:
    """One step of Adam on the windows of `motion` from `starts` [B], of `person` [B]."""
    variables, moments = state
    seen = motion[starts[:, None] + jnp.arange(frames)[None]]

    def loss(params: PyTree) -> Any:
        found = {"params": params, "batch_stats": variables["batch_stats"]}
        logits, moved = net.apply(found, seen, train=True, mutable="batch_stats")
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, person)
        return jnp.mean(losses), moved["batch_stats"]

    grad, stats = jax.grad(loss, has_aux=True)(variables["params"])
    update, moments = optax.adam(rate).update(grad, moments)
    params = optax.apply_updates(variables["params"], update)
    return {"params": params, "batch_stats": stats}, moments


@functools.partial(jax.jit, static_argnames="net")
def _apply(net: MotionClassifier, variables: PyTree, seen: jax.Array) -> Any:
    return net.apply(variables, seen, train=False)


def _logits(classifier: Classifier, windows: Windows) -> np.ndarray:
    """Returns [W, N], CHUNK windows at a time, so that any number is one program."""
    motion = (windows.motion - classifier.mean) / classifier.std
    made = [np.zeros((0, classifier.net.people), np.float32)]
    for first in range(0, len(windows.starts), CHUNK):
        starts = windows.starts[first : first + CHUNK]
        filled = np.pad(starts, (0, CHUNK - len(starts)), mode="edge")
        seen = jax.device_put(motion[filled[:, None] + np.arange(windows.frames)])
        logits = _apply(classifier.net, classifier.variables, seen)
        made.append(np.asarray(logits)[: len(starts)])
    return np.concatenate(made)


def confusion(classifier: Classifier, windows: Windows) -> np.ndarray:
    """Returns how often windows of the person of a row are taken for that of a column, [N, N]."""
    return _count(_logits(classifier, windows), windows.person)


def _count(logits: np.ndarray, person: np.ndarray) -> np.ndarray:
    matrix = np.zeros((logits.shape[1],) * 2, np.int64)
    np.add.at(matrix, (person, logits.argmax(1)), 1)
    return matrix


def share_recognised(matrix: np.ndarray) -> np.ndarray:
    """Returns the share of each person's windows that are taken for that person's, [N].

    Its mean is the accuracy, in which every person counts alike, so that 1/N is chance whoever has
    how much footage. NaN for a person without a window.

    Args:
      matrix: of `confusion`.
    """
    checks.shapes(matrix=(matrix, "N N"))
    total = matrix.sum(1)
    return np.where(total > 0, np.diagonal(matrix) / np.maximum(total, 1), np.nan)
