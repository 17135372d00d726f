"""Runs without training: one whose pictures tell what went in, and a tiny HeadGAN in a workdir."""

import jax
import numpy as np

from facejax import runs, settings
from facejax.checkpoints import Checkpoints
from facejax.system import System, TrainState

CONFIG = "configs/headgan.py:smoke"


def stub_run(model, size=32, **overrides):
    """A run whose picture shows yaw in red, the first expression in green, sound in blue.

    Its `calls` collects the inputs of every call.
    """
    arguments = [f"--config.{name}={value}" for name, value in overrides.items()]
    config = settings.load_config(CONFIG, [f"--config.data.size={size}", *arguments])
    calls = []

    def generate(inputs):
        calls.append(jax.tree.map(np.asarray, inputs))
        motion = inputs["driving_motion"]
        tell = [
            motion["pose"][:, -1, 1] / np.pi,
            motion["expression"][:, -1, 0] / 3,
            np.asarray(inputs["audio"]).any(axis=1) * 1.0,
        ]
        flat = np.clip(np.stack(tell, axis=-1), -1, 1)[:, None, None]
        image = np.broadcast_to(flat, (len(flat), size, size, 3)).astype(np.float32)
        face = np.zeros_like(image)
        flow = np.zeros((*image.shape[:3], 2), np.float32)
        return {
            "image": image, "warped": image, "flow": flow, "face": face, "reference_face": face[:1]
        }  # fmt: skip

    system = System(None, None, None, None, {"morphable": model})
    return runs.Run(config, system, None, None, 0, generate), calls


def make_workdir(folder, model, *overrides, source=CONFIG, alive=False, **given):
    """Writes the workdir of a smoke-sized HeadGAN, or another system, with random weights.

    `alive`: of sizes with which the units of a net with batch norm and ReLU stay alive.
    """
    folder.mkdir()
    config = settings.load_config(source, [f"--config.{o}" for o in overrides])
    settings.write_config(folder / runs.CONFIG, config)
    given["morphable"] = model
    runs.write_given(folder, given)
    system = runs.make_system(config, given)
    spec = runs.batch_spec(config, given)
    shapes = jax.eval_shape(system.init, jax.random.key(0), system.frozen, spec)
    rng = np.random.default_rng(0)

    def fill(place, leaf):
        values, part = rng.normal(0, 0.1, leaf.shape), getattr(place[-1], "key", "")
        if alive and part == "kernel":
            values *= 10 / np.sqrt(np.prod(leaf.shape[:-1]) / 2)
        elif alive:
            values += {"scale": 1, "var": 1, "bias": 0.3, "mean": 0}[part]
        return values.astype(leaf.dtype)

    params, stats = jax.tree_util.tree_map_with_path(fill, shapes)
    state = TrainState(
        step=jax.numpy.zeros((), jax.numpy.int32), params=params, stats=stats, opt={},
        ema=params["gen"],
    )  # fmt: skip
    store = Checkpoints(folder / runs.CHECKPOINTS)
    store.save(0, state)
    store.close()
    return folder
