"""Whether a made face is still the person, and whether its mouth is where it should be.

CSIM is the cosine of two images' identity embeddings; LMD (Chen et al., ECCV 2018) the distance of
their mouths' landmarks, each mouth about its own middle. Both nets are one `FaceJudge`, trained
here on the true frames of a data set: figures compare with others of the same judge alone.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from facejax import checks
from facejax.nets.face_judge import FaceJudge, Judged

BATCH, RATE, STEPS = 64, 2e-3, 500
NOISE = 0.05  # deviation of what is added to training images
LANDMARK_GAIN = 300.0  # of the landmarks' squared error, in shares of the side, beside the entropy
CHUNK = 64  # images judged at a time
MOUTH = slice(48, 68)


class Judge(NamedTuple):
    """A trained `FaceJudge`."""

    net: FaceJudge
    params: Any


def train(
    images: np.ndarray,
    landmarks: np.ndarray,
    person: np.ndarray,
    *,
    steps: int = STEPS,
    seed: int = 0,
) -> Judge:
    """Returns a judge of faces.

    Args:
      images: uint8 [F, H, W, 3].
      landmarks: [F, 68, 2] px.
      person: [F] int, 0 to N - 1.
      steps: of Adam.
      seed: of the weights and of the order.
    """
    sizes = checks.shapes(
        images=(images, "F H W 3"), landmarks=(landmarks, "F 68 2"), person=(person, "F")
    )
    net = FaceJudge(int(person.max()) + 1)
    shares = (landmarks / [sizes["W"], sizes["H"]]).astype(np.float32)
    key = jax.random.key(seed, impl="unsafe_rbg")
    params = jax.jit(net.init)(key, jnp.zeros((1, *images.shape[1:])))["params"]
    rate = optax.cosine_decay_schedule(RATE, steps)
    optimiser = optax.adam(rate)
    state = optimiser.init(params)

    @jax.jit
    def step(params: Any, state: Any, batch: tuple, key: jax.Array) -> tuple[Any, Any]:
        image, points, who = batch
        image = image.astype(jnp.float32) / 127.5 - 1
        image = image + NOISE * jax.random.normal(key, image.shape)

        def loss(params: Any) -> jax.Array:
            said: Any = net.apply({"params": params}, image)
            entropy = optax.softmax_cross_entropy_with_integer_labels(said.logits, who)
            return jnp.mean(entropy) + LANDMARK_GAIN * jnp.mean((said.landmarks - points) ** 2)

        update, state = optimiser.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, update), state

    rng = np.random.default_rng(seed)
    for number in range(steps):
        rows = rng.integers(0, len(images), min(BATCH, len(images)))
        batch = images[rows], shares[rows], person[rows].astype(np.int32)
        params, state = step(params, state, batch, jax.random.fold_in(key, number))
    return Judge(net, jax.device_get(params))


def say(judge: Judge, images: np.ndarray) -> Judged:
    """Returns what a judge says of images [F, H, W, 3] in [-1, 1], landmarks in px."""
    sizes = checks.shapes(images=(images, "F H W 3"))
    parts = []
    for first in range(0, len(images), CHUNK):
        chunk = np.asarray(images[first : first + CHUNK], np.float32)
        full = np.pad(chunk, ((0, CHUNK - len(chunk)), (0, 0), (0, 0), (0, 0)), mode="edge")
        said = jax.device_get(_apply(judge.net, judge.params, full))
        parts.append(Judged(*(x[: len(chunk)] for x in said)))
    said = Judged(*(np.concatenate(values) for values in zip(*parts, strict=True)))
    side = np.array([sizes["W"], sizes["H"]], np.float32)
    return said._replace(landmarks=said.landmarks * side)


@functools.partial(jax.jit, static_argnums=0)
def _apply(net: FaceJudge, params: Any, images: jax.Array) -> Any:
    return net.apply({"params": params}, images)


def csim(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Returns the cosine of embeddings [F, D] of length 1, [F]."""
    checks.shapes(one=(one, "F D"), other=(other, "F D"))
    return np.sum(one * other, axis=-1)


def mouth_distance(landmarks: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns LMD, [F] px: the mean over the mouth's points, each mouth about its own middle.

    Args:
      landmarks: [F, 68, 2] px.
      truth: [F, 68, 2] px.
    """
    checks.shapes(landmarks=(landmarks, "F 68 2"), truth=(truth, "F 68 2"))
    mouths = [x[:, MOUTH] - x[:, MOUTH].mean(1, keepdims=True) for x in (landmarks, truth)]
    return np.linalg.norm(mouths[0] - mouths[1], axis=-1).mean(-1)


def told_apart(embedding: np.ndarray, person: np.ndarray) -> float:
    """Returns how often two images of one person are more alike than two of different people.

    The area under the ROC curve over all pairs; half is chance.

    Args:
      embedding: [F, D] of length 1.
      person: [F]; two people or more, one of them more than once.
    """
    checks.shapes(embedding=(embedding, "F D"), person=(person, "F"))
    first, second = np.triu_indices(len(person), 1)
    cosine = np.sum(embedding[first] * embedding[second], -1)
    same = person[first] == person[second]
    order = np.argsort(cosine, kind="stable")
    rank = np.empty(len(order))
    rank[order] = np.arange(1, len(order) + 1)
    inside, outside = same.sum(), (~same).sum()
    return float((rank[same].sum() - inside * (inside + 1) / 2) / (inside * outside))
