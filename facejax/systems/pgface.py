"""PGFace: windows of head poses and speech -> the face's identity and expression, frame by frame.

Zhang et al., "3D Talking Face with Personalized Pose Dynamics", TVCG 2021, supplement B; what it
leaves open is said in `nets.pgface` and `pgface_config`.

A batch is that of `data.sequences`; of it count speech [B, T, 16, C], windows whose row 8 is the
frame's own; around [B, T + 15, 6], normalised poses from 8 frames before the first to 7 after the
last; the expression among the attributes; identity [B, T, I]; and the speaker [B].

Nothing plays the discriminator: its loss is 0. `stats` holds batch norm's running statistics; see
`facial`.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from facejax import losses
from facejax.errors import InputError
from facejax.nets import pgface
from facejax.system import PyTree, System
from facejax.systems.normed_nets import STATS, apply_net, init_net
from facejax.systems.pgface_config import PRESETS, Config, paper

__all__ = ["PRESETS", "Config", "make", "paper", "windows"]

WINDOW = pgface.WINDOW
EXPRESSION = slice(7, None)  # of the attributes


def make(config: Config) -> System:
    """Returns the system. Its data freezes "speakers" and, for some losses, "morphable"."""
    return System(
        init=functools.partial(_init, config),
        discriminator_loss=_discriminator_loss,
        generator_loss=functools.partial(_generator_loss, config),
        generate=functools.partial(_generate, config),
        frozen={},
    )


def net(config: Config, identity: int, expression: int) -> pgface.PGFace:
    """Returns the net that a config chooses, for so many coefficients."""
    return pgface.PGFace(
        identity,
        expression,
        config.widths,  # type: ignore[arg-type]  # as many as the config has checked
        config.hidden,  # type: ignore[arg-type]
        use_pose=config.pose,
        dtype=jnp.bfloat16 if config.bfloat16 else jnp.float32,
    )


def windows(config: Config, around: jax.Array, speech: jax.Array, speaker: jax.Array) -> jax.Array:
    """Returns what the net sees, [B, T, 16, 6 + C + speakers].

    Args:
      config: of the system.
      around: [B, T + 15, 6] normalised poses.
      speech: [B, T, 16, C] windows.
      speaker: [B] row of the speakers' table.
    """
    frames = speech.shape[1]
    near = around[:, np.arange(frames)[:, None] + np.arange(WINDOW)]
    parts = [near, speech]
    if config.speakers:
        who = jax.nn.one_hot(speaker.astype(jnp.int32), config.speakers)
        parts.append(jnp.broadcast_to(who[:, None, None], (*speech.shape[:3], config.speakers)))
    return jnp.concatenate(parts, axis=-1)


def _init(config: Config, key: jax.Array, frozen: PyTree, batch: PyTree):
    """Returns (params, stats), each {"gen": tree, "dis": {}}. Only the batch's shapes matter.

    The net begins at the speakers' mean face, whatever it hears.
    """
    if config.lambda_vertices and "morphable" not in frozen:
        raise InputError(
            "model.lambda_vertices asks for distances in mm, and the data has no face model; set "
            "it to 0, or train on clips of facejax preprocess"
        )
    if config.speakers and "speakers" in frozen:
        known = frozen["speakers"]["pose_mean"].shape[0]
        if known > config.speakers:
            raise InputError(
                f"model.speakers is {config.speakers}, and the data has {known}; set it to {known}"
            )
    identity = batch["identity"].shape[-1]
    expression = batch["attributes"].shape[-1] - EXPRESSION.start
    zeros = {name: jnp.zeros((1, *batch[name].shape[1:])) for name in ("around", "speech")}
    seen = windows(config, zeros["around"], zeros["speech"], jnp.zeros(1))
    params, stats = init_net(net(config, identity, expression), key, (seen[:, :1],))
    if "speakers" in frozen:
        table = frozen["speakers"]
        mean = [jnp.mean(table[name], axis=0) for name in ("identity", "expression_mean")]
        kernel = params["shape"]["kernel"]
        params["shape"] = {"kernel": jnp.zeros_like(kernel), "bias": jnp.concatenate(mean)}
    return {"gen": params, "dis": {}}, {"gen": stats, "dis": {}}


def _discriminator_loss(dis, gen, stats, frozen, batch, key):
    del dis, gen, frozen, batch, key
    return jnp.zeros(()), (stats, {})


def _generator_loss(config: Config, gen, dis, stats, frozen, batch, key):
    """The weighted sum of the terms."""
    del dis
    speech = batch["speech"]
    if config.speech_noise:
        speech = speech + config.speech_noise * jax.random.normal(key, speech.shape)
    identity, expression = batch["identity"], batch["attributes"][..., EXPRESSION]
    seen = windows(config, batch["around"], speech, batch["speaker"])
    which = net(config, identity.shape[-1], expression.shape[-1])
    made, gen_stats = apply_net(which, gen, stats["gen"], seen)
    table = _shape_terms(config, made, pgface.Shape(identity, expression))
    if config.lambda_vertices:
        errors = made.identity - identity, made.expression - expression
        squares = vertex_squares(frozen["morphable"], *errors)
        table["vertices"] = (config.lambda_vertices, jnp.mean(squares))
    weights = {name: weight for name, (weight, _) in table.items() if weight}
    terms = {name: table[name][1] for name in weights}
    return losses.weighted_sum(terms, weights), ({"gen": gen_stats, "dis": stats["dis"]}, terms)


def _shape_terms(config: Config, made: pgface.Shape, target: pgface.Shape) -> dict[str, tuple]:
    """Returns name -> (weight, term); identity only where the data has one."""
    pair = made.expression, target.expression
    table: dict[str, tuple] = {
        "expression": (config.lambda_expression, losses.square(*pair)),
        "expression_motion": (config.lambda_expression_motion, losses.motion_square(*pair)),
    }
    if target.identity.shape[-1]:
        due = losses.square(made.identity, target.identity)
        table["identity"] = (config.lambda_identity, due)
    return table


def vertex_squares(model: PyTree, identity: jax.Array, expression: jax.Array) -> jax.Array:
    """Returns the mean squared length of the vertices' displacements, [...] mm^2.

    By the Gram matrix of the bases: no vertex is computed.

    Args:
      model: `MorphableModel`.
      identity: [..., I] differences of coefficients.
      expression: [..., E] likewise.
    """
    basis = jnp.concatenate([model.identity_basis, model.expression_basis])
    flat = basis.reshape(len(basis), -1)
    gram = jnp.matmul(flat, flat.T, precision="highest") / basis.shape[1]
    both = jnp.concatenate([identity, expression], axis=-1)
    return jnp.einsum("...i,ij,...j->...", both, gram, both, precision="highest")


def _generate(config: Config, gen, stats, frozen, inputs) -> dict[str, jax.Array]:
    """Makes shapes.

    Args:
      config: the system's.
      gen: the net's parameters.
      stats: as in training; not changed.
      frozen: with the "speakers", whose numbers of coefficients it makes.
      inputs: speech [B, T, 16, C]; around [B, T + 15, 6]; speaker [B].

    Returns:
      identity [B, T, I] and expression [B, T, E].
    """
    table = frozen["speakers"]
    sizes = (table[name].shape[1] for name in ("identity", "expression_mean"))
    seen = windows(config, inputs["around"], inputs["speech"], inputs["speaker"])
    variables = {"params": gen, STATS: stats["gen"]}
    made: Any = net(config, *sizes).apply(variables, seen, train=False)
    return {"identity": made.identity, "expression": made.expression}
