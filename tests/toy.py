"""A toy System with the batch of the real ones, for tests of what knows no system by name."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from facejax.system import System
from facejax.systems import SYSTEMS, Entry


@dataclasses.dataclass(frozen=True)
class Config:
    """As a system's Config: one default per number."""

    width: int = 4
    noise: float = 0.0  # of the generator's loss, to see whether keys repeat
    poison: int = -1  # the count of the generator's losses at which one is not finite
    bfloat16: bool = False


def make(config):
    """A 1x1 conv on the reference, moved by the pose; a discriminator that is one more."""

    def image(gen, inputs):
        pose = jnp.tanh(inputs["driving_motion"]["pose"][:, -1] @ gen["pose"])
        hidden = jnp.tanh(inputs["reference"] @ gen["in"] + pose[:, None, None])
        return jnp.tanh(hidden @ gen["out"])

    def score(dis, picture):
        return jnp.tanh(picture @ dis["in"]).mean((1, 2)) @ dis["out"]

    def init(key, frozen, batch):
        keys = jax.random.split(key, 5)
        shapes = [(3, config.width), (6, config.width), (config.width, 3)]
        names = ["in", "pose", "out"]
        gen = {
            name: 0.3 * jax.random.normal(k, shape)
            for name, k, shape in zip(names, keys[:3], shapes, strict=True)
        }
        dis = {
            "in": jax.random.normal(keys[3], (3, config.width)),
            "out": jax.random.normal(keys[4], (config.width,)),
        }
        return {"gen": gen, "dis": dis}, {"gen": {"calls": jnp.zeros(())}, "dis": {}}

    def discriminator_loss(dis, gen, stats, frozen, batch, key):
        real = score(dis, batch["target"])
        fake = score(dis, image(gen, batch))
        loss = jnp.mean(jax.nn.relu(1 - real)) + jnp.mean(jax.nn.relu(1 + fake))
        return loss, (stats, {"hinge": loss})

    def generator_loss(gen, dis, stats, frozen, batch, key):
        made = image(gen, batch)
        calls = stats["gen"]["calls"]
        l1 = jnp.mean(jnp.abs(made - batch["target"]))
        l1 = l1 + config.noise * jax.random.normal(key) * jnp.sum(gen["in"])
        l1 = l1 / jnp.where(calls == config.poison, 0.0, 1.0)
        adversarial = -jnp.mean(score(dis, made))
        terms = {"l1": l1, "adversarial": adversarial}
        return 10 * l1 + 0.1 * adversarial, (stats | {"gen": {"calls": calls + 1}}, terms)

    def generate(gen, stats, frozen, inputs):
        made = image(gen, inputs)
        still = jnp.broadcast_to(inputs["reference"], made.shape)
        flow = jnp.zeros((*made.shape[:3], 2))
        face = (still + 1) / 2
        return {"image": made, "warped": still, "flow": flow, "face": face, "reference_face": face}

    return System(init, discriminator_loss, generator_loss, generate, frozen={})


def register():
    """Puts the toy among the systems, as "toy"."""
    SYSTEMS["toy"] = Entry(Config, make, {"paper": dict})


@functools.cache
def batch(rows=4, size=6, seed=0):
    """A batch of the contract's shapes from a seed."""
    rng = np.random.default_rng(seed)
    image = lambda: rng.uniform(-1, 1, (rows, size, size, 3)).astype(np.float32)
    pose = rng.normal(size=(rows, 3, 6)).astype(np.float32)
    return {"reference": image(), "target": image(), "driving_motion": {"pose": pose}}
