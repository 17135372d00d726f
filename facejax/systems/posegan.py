"""PoseGAN: speech and an initial pose -> how the head moves.

Zhang et al., "3D Talking Face with Personalized Pose Dynamics", TVCG 2021, and its supplement; what
they leave open is said in `nets.posegan` and `posegan_config`.

A batch is that of `data.sequences`; of it count speech [B, T, 16, C], whose row 8 is the frame's
own, the first six attributes [B, T, 6], poses normalised with their speaker's statistics, and the
speaker [B]. T is 256 in the paper, a multiple of 32.

A net may be told more of each frame than the paper's (`told`): noise, so that it need not average
the ways in which a head may move, and who speaks, so that one net holds the dynamics of several
people.

`stats` holds batch norm's running statistics; see `facial`.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from facejax import losses
from facejax.errors import InputError
from facejax.nets import patches, posegan, unet1d
from facejax.system import PyTree, System
from facejax.systems.normed_nets import STATS, apply_net, init_net
from facejax.systems.posegan_config import MOST_NOISE, PRESETS, Config, diverse, paper

__all__ = ["PRESETS", "Config", "diverse", "make", "paper", "told"]

POSE = posegan.POSE
TOLD = 1 + MOST_NOISE  # numbers a frame beside speech where poses are made: see `_generate`
OWN = 8  # the frame's own row in its window
LAGS = (0, 1, 4, 16, 64)  # frames: poses, and how they change in so many frames


def make(config: Config) -> System:
    """Returns the system. Its data freezes "speakers", which the losses do not need."""
    return System(
        init=functools.partial(_init, config),
        discriminator_loss=functools.partial(_discriminator_loss, config),
        generator_loss=functools.partial(_generator_loss, config),
        generate=functools.partial(_generate, config),
        frozen={},
    )


def generator(config: Config) -> posegan.Generator:
    """Returns the generator that a config chooses."""
    unet = unet1d.UNETS[config.unet]
    if config.unet_widths:
        unet = functools.partial(unet, widths=config.unet_widths)
    return posegan.Generator(
        config.encoder_widths,  # type: ignore[arg-type]  # four, as the config has checked
        unet,
        config.width,
        use_audio=config.audio,
        use_initial_pose=config.initial_pose,
        dtype=_dtype(config),
    )


def discriminator(config: Config) -> Any:
    """Returns the discriminator, which sees no speech."""
    if config.discriminator == "motion":
        return posegan.MotionDiscriminator(config.dis_width, _dtype(config))
    return patches.SequenceDiscriminator(config.dis_width, _dtype(config))


def _dtype(config: Config) -> Any:
    return jnp.bfloat16 if config.bfloat16 else jnp.float32


def told(config: Config, noise: jax.Array, speaker: jax.Array) -> jax.Array | None:
    """Returns what the net is told of each frame beside speech: noise, then who speaks.

    Args:
      config: of the system.
      noise: [B, T, noise] unit normal.
      speaker: [B] row of the speakers' table.

    Returns:
      [B, T, noise + speakers]; None where that is nothing.
    """
    parts = [noise]
    if config.speakers:
        who = jax.nn.one_hot(speaker.astype(jnp.int32), config.speakers)
        parts.append(jnp.broadcast_to(who[:, None], (*noise.shape[:2], config.speakers)))
    more = jnp.concatenate(parts, axis=-1)
    return more if more.shape[-1] else None


def _init(config: Config, key: jax.Array, frozen: PyTree, batch: PyTree):
    """Returns (params, stats), each {"gen": tree, "dis": tree}. Only the batch's shapes matter."""
    _, frames, _, channels = batch["speech"].shape
    if frames % 2**config.levels:
        raise InputError(
            f"data.frames is {frames}; with a U-net of {config.levels} levels due: a multiple of "
            f"{2**config.levels}, as 256"
        )
    if config.speakers and "speakers" in frozen:
        known = frozen["speakers"]["pose_mean"].shape[0]
        if known > config.speakers:
            raise InputError(
                f"model.speakers is {config.speakers}, and the data has {known}; set it to {known}"
            )
    speech, pose = jnp.zeros((1, frames, channels)), jnp.zeros((1, frames, POSE))
    more = told(config, jnp.zeros((1, frames, config.noise)), jnp.zeros(1))
    key_gen, key_dis = jax.random.split(key)
    gen = init_net(generator(config), key_gen, (speech, pose[:, 0], more))
    dis: tuple[PyTree, PyTree] = ({}, {})
    if config.lambda_adversarial:
        dis = init_net(discriminator(config), key_dis, (pose,))
    return {"gen": gen[0], "dis": dis[0]}, {"gen": gen[1], "dis": dis[1]}


def _moved(config: Config, gen, stats, batch, key, times: int = 1):
    """The generator in training: `times` motions of each row [times B, T, 6], and new statistics.

    The motions of one row differ in their noise alone.
    """
    pose = batch["attributes"][..., :POSE]
    speech, initial = batch["speech"][:, :, OWN], pose[:, 0]
    key_speech, key_noise = jax.random.split(key)
    if config.speech_noise:
        speech = speech + config.speech_noise * jax.random.normal(key_speech, speech.shape)
    again = lambda rows: jnp.concatenate([rows] * times)
    shape = (times * len(pose), pose.shape[1], config.noise)
    more = told(config, jax.random.normal(key_noise, shape), again(batch["speaker"]))
    return apply_net(generator(config), gen, stats["gen"], again(speech), again(initial), more)


def _discriminator_loss(config: Config, dis, gen, stats, frozen, batch, key):
    """Least-squares loss, real + generated; 0 and no terms without a discriminator.

    The generator's new statistics are dropped: they move when the generator does.
    """
    del frozen
    if not config.lambda_adversarial:
        return jnp.zeros(()), (stats, {})
    made, _ = _moved(config, gen, stats, batch, key)
    net, terms = discriminator(config), {}
    # In two calls: the statistics of batch norm are those of the real, then of the generated.
    scores, after = apply_net(net, dis, stats["dis"], batch["attributes"][..., :POSE])
    terms["real"] = losses.least_squares(scores.scores, 1.0)
    scores, after = apply_net(net, dis, after, jax.lax.stop_gradient(made))
    terms["generated"] = losses.least_squares(scores.scores, 0.0)
    loss = losses.weighted_sum(terms, {"real": 1.0, "generated": 1.0})
    return loss, ({"gen": stats["gen"], "dis": after}, terms)


def _generator_loss(config: Config, gen, dis, stats, frozen, batch, key):
    """The weighted sum of the terms; the discriminator's statistics stay."""
    del frozen
    target = batch["attributes"][..., :POSE]
    times = 2 if config.lambda_energy else 1
    both, gen_stats = _moved(config, gen, stats, batch, key, times)
    made = both[: len(target)]
    table = _pose_terms(config, made, target)
    if config.lambda_energy:
        table["energy"] = (config.lambda_energy, _energy(made, both[len(target) :], target))
    if config.lambda_adversarial:
        scores, _ = apply_net(discriminator(config), dis, stats["dis"], made)
        due = losses.least_squares(scores.scores, 1.0)
        table["adversarial"] = (config.lambda_adversarial, due)
    weights = {name: weight for name, (weight, _) in table.items() if weight}
    terms = {name: table[name][1] for name in weights}
    return losses.weighted_sum(terms, weights), ({"gen": gen_stats, "dis": stats["dis"]}, terms)


def _pose_terms(config: Config, made: jax.Array, target: jax.Array) -> dict[str, tuple]:
    """Returns name -> (weight, term)."""
    table: dict[str, tuple] = {
        "pose": (config.lambda_pose, losses.square(made, target)),
        "pose_motion": (config.lambda_pose_motion, losses.motion_square(made, target)),
    }
    if config.initial_pose:
        table["initial"] = (config.lambda_initial, losses.first_frame(made, target))
    return table


def _energy(made: jax.Array, other: jax.Array, target: jax.Array) -> jax.Array:
    """Energy scores of poses, and of how they change in LAGS frames, each in the truth's units."""
    terms = []
    for lag in LAGS:
        if lag >= target.shape[1]:
            continue
        one, two, due = (_change(x, lag) for x in (made, other, jax.lax.stop_gradient(target)))
        usual = jnp.mean(jnp.linalg.norm(due, axis=-1))
        terms.append(losses.energy_score(one, two, due) / jnp.maximum(usual, 1e-3))
    return jnp.mean(jnp.stack(terms))


def _change(pose: jax.Array, lag: int) -> jax.Array:
    """How poses [B, T, 6] change in so many frames, [B, T - lag, 6]; of 0 frames the poses."""
    return pose[:, lag:] - pose[:, :-lag] if lag else pose


def _generate(config: Config, gen, stats, frozen, inputs) -> dict[str, jax.Array]:
    """Makes poses.

    Args:
      config: the system's.
      gen: the generator's parameters.
      stats: as in training; not changed.
      frozen: not used.
      inputs: speech [B, T, 16, C + TOLD], of which row 8 counts: speech features, the speaker's
        row in the table, and MOST_NOISE random numbers, of which the net is told as many as it
        was in training; state [B, 6], the normalised initial pose.

    Returns:
      attributes [B, T, 6], the poses, still normalised.
    """
    del frozen
    rows = inputs["speech"][:, :, OWN]
    speech, speaker = rows[..., :-TOLD], rows[:, 0, -TOLD]
    noise = rows[..., -MOST_NOISE:][..., : config.noise]
    more = told(config, noise, speaker)
    variables = {"params": gen, STATS: stats["gen"]}
    made: Any = generator(config).apply(variables, speech, inputs["state"], more, train=False)
    return {"attributes": made}
