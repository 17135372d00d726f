"""Phi, held out: how a person never seen goes on to move, from tau frames and the sound after them.

Beside the `model`: `constant`, the mean head motion of the training data; `mean`, that of the
reference; `copy_last`, its last frame; each held throughout. Figures, means over frames with a
face: `landmarks`, how far the 68 landmarks of the reference's mean front land from where the true
motion puts them, px of a 256 px crop; `rotation`, the angle between made and true, degrees; means
over clips: `mean_error` and `spread_error`, by which the mean and the standard deviation over
time are wrong, in deviations of the training data, the mean over the six numbers (what the
paper's discriminator looks at); and `sway`, the deviation of the rotation over time, degrees, which
`truth` has too.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from scipy.spatial.transform import Rotation

from facejax import held_out_performances as held_out
from facejax import performance, plots, rhythmic_rollout, sheets
from facejax.data import head_motions, records, takes
from facejax.held_out_performances import Stretch
from facejax.progress import progress
from facejax.system import PyTree, System
from facejax.workload import Choice, Judge, Result, Workload

BASELINES = ("constant", "mean", "copy_last")
SHOWN = 4  # clips on the sheet
PLOTTED = 250  # frames of each


def judge(data: takes.Config, choice: Choice, system: System) -> Judge:
    """Returns the judge of the chosen clips.

    Raises:
      InputError: see `held_out_performances.open_stretches`.
    """
    table = jax.device_get(system.frozen["head_motion"])
    stretches = held_out.open_stretches(data, choice)

    def look(
        gen: PyTree,
        stats: PyTree,
        frozen: PyTree,
        rows: int = 8,
        put: Callable[[PyTree], PyTree] = jax.device_put,
    ) -> Result:
        del rows  # one clip at a time: each has its own predicted layer
        run = rhythmic_rollout.bound(system.generate, (gen, stats, frozen), put)
        errors: dict[str, dict[str, dict]] = {}
        shown = []
        for number, stretch in enumerate(progress(stretches, None, "evaluate")):
            made = _made(stretch, data, table, run)
            errors[stretch.name] = {k: _errors(stretch, m, table) for k, m in made.items()}
            if number < SHOWN:
                shown.append(_plots(stretch, made))
        images = [image for column in zip(*shown, strict=True) for image in column]
        return Result(held_out.report(errors), sheets.grid(images, columns=len(shown)))

    model = records.open_clips(choice.path, choice.split).model
    return Judge({"morphable": model}, look)


def _made(
    stretch: Stretch, data: takes.Config, table: PyTree, run: Callable
) -> dict[str, np.ndarray]:
    """Returns head motions [T, 6] in radians and px of each kind."""
    own = stretch.known.motion[stretch.known.valid]
    own_table = head_motions.own_table(stretch.known.motion, data, table)
    known = {
        "known_motion": head_motions.known_motion(stretch.known.motion, data, own_table),
        "known_chunks": head_motions.heard_as(data, stretch.known_chunks),
    }
    made = rhythmic_rollout.head_motions(run, data, known, stretch.chunks)
    held = {"constant": table["mean"], "mean": own.mean(0), "copy_last": own[-1]}
    frames = len(stretch.truth.motion)
    tiled = {name: np.repeat(value[None], frames, axis=0) for name, value in held.items()}
    model = {"model": head_motions.told_motion(made, own_table)}
    return model | tiled | {"truth": stretch.truth.motion}


def _errors(stretch: Stretch, motion: np.ndarray, table: PyTree) -> dict[str, np.ndarray]:
    truth, valid = stretch.truth.motion, stretch.truth.valid
    still = stretch.known.fronts[stretch.known.valid].mean(0)
    still = np.repeat(still[None], len(truth), axis=0)
    apart = performance.posed(still, motion) - performance.posed(still, truth)
    ours, theirs = (Rotation.from_rotvec(np.array(m[:, :3], np.float64)) for m in (motion, truth))
    turned = np.rad2deg((ours * theirs.inv()).magnitude())
    wrong = {
        "mean_error": np.abs(motion[valid].mean(0) - truth[valid].mean(0)),
        "spread_error": np.abs(motion[valid].std(0) - truth[valid].std(0)),
    }
    sway = np.rad2deg(motion[valid, :3].std(0)).mean(keepdims=True)
    return {
        "landmarks": np.linalg.norm(apart, axis=-1).mean(1)[valid],
        "rotation": turned[valid],
        **{name: (value / table["std"]).mean(keepdims=True) for name, value in wrong.items()},
        "sway": sway,
    }


def _plots(stretch: Stretch, made: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Returns the plots of one clip, the reference before what is made of sound."""
    past = len(stretch.known.motion)
    whole = np.concatenate([stretch.known.motion, stretch.truth.motion])
    whole[~np.concatenate([stretch.known.valid, stretch.truth.valid])] = np.nan
    gap = np.full((past, whole.shape[1]), np.nan)
    curves = {"true": whole, "made": np.concatenate([gap, made["model"]])}
    curves["copy last"] = np.concatenate([gap, made["copy_last"]])
    names = [("about x, deg", 0), ("about y, deg", 1), ("about z, deg", 2)]
    rows = []
    for label, k in names:
        lines = {name: np.rad2deg(curve[:PLOTTED, k]) for name, curve in curves.items()}
        rows.append(plots.lines(lines, title=label, fps=stretch.fps))
    rows[0] = sheets.grid([rows[0]], title=stretch.name, columns=1)
    return rows


def summary_line(report: dict[str, Any]) -> str:
    """Returns the figures of a report in one line."""
    parts = []
    for kind in ("model", *BASELINES):
        one = report[kind]
        parts.append(
            f"{kind}: {one['landmarks']:.2f} px, {one['rotation']:.2f} deg, spread off by "
            f"{one['spread_error']:.2f}, sway {one['sway']:.2f} deg"
        )
    parts.append(f"true sway {report['truth']['sway']:.2f} deg")
    return f"{report['clip_count']} clips, {report['frame_count']} frames. {'; '.join(parts)}"


WORKLOAD = Workload(
    Data=takes.Config,
    open=head_motions.HeadMotions,
    spec=head_motions.motion_spec,
    judge=judge,
    rank=lambda report: -report["model"]["landmarks"],
    summary=summary_line,
    keeps=("head_motion",),
)
