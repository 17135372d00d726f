"""Psi, held out: the expressions of a person never seen, from sound and one frontal frame.

The first tau frames of a clip are the reference: its most frontal one is all that is seen of the
person; the rest is made of sound. Figures, means over frames: `landmarks` and `mouth`, the
distance of the 68 and of the 20 mouth landmarks from the true fronts, in px of a 256 px crop; and
`opening_correlation`, of the mouth's opening with the true one, the mean over clips. Beside the
`model`: `mean_face`, the reference moved by the mean expression of the training data throughout;
`still`, the reference as it is; and `basis`, the nearest that the basis can come to the truth.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facejax import held_out_performances as held_out
from facejax import landmark_basis, plots, rhythmic_rollout, sheets
from facejax.data import expressions, records, takes
from facejax.errors import InputError
from facejax.geometry.landmarks import draw_landmarks
from facejax.held_out_performances import Stretch
from facejax.landmark_basis import LandmarkBasis, Person
from facejax.metrics.attributes import correlation
from facejax.performance import SIDE, open_rate
from facejax.progress import progress
from facejax.system import PyTree, System
from facejax.workload import Choice, Judge, Result, Workload

MOUTH = slice(48, 68)
KINDS = ("model", "mean_face", "still", "basis")
SHOWN = 4  # clips on the sheet
DRAWN = 6  # moments of each, as landmarks
PLOTTED = 250  # frames of each


class _Asked(NamedTuple):
    """One clip, and what is known of its person."""

    stretch: Stretch
    person: Person


def judge(data: takes.Config, choice: Choice, system: System) -> Judge:
    """Returns the judge of the chosen clips.

    Raises:
      InputError: see `held_out_performances.open_stretches`; or no clip has a frontal frame.
    """
    table = jax.device_get(system.frozen["landmarks"])
    basis = LandmarkBasis(*(np.asarray(table[name]) for name in LandmarkBasis._fields))
    asked = _asked(data, choice, basis)

    def look(
        gen: PyTree,
        stats: PyTree,
        frozen: PyTree,
        rows: int = 8,
        put: Callable[[PyTree], PyTree] = jax.device_put,
    ) -> Result:
        del rows
        run = rhythmic_rollout.bound(system.generate, (gen, stats, frozen), put)
        errors: dict[str, dict[str, dict]] = {}
        shown = []
        for number, one in enumerate(progress(asked, None, "evaluate")):
            faces = _faces(basis, one, run, np.asarray(table["usual"]))
            truth, valid = one.stretch.truth.fronts, one.stretch.truth.valid
            errors[one.stretch.name] = {
                kind: _errors(face, truth, valid) for kind, face in faces.items()
            }
            if number < SHOWN:
                shown.append(_picture(one.stretch, faces))
        return Result(held_out.report(errors), sheets.grid(shown, columns=1))

    model = records.open_clips(choice.path, choice.split).model
    return Judge({"morphable": model}, look)


def _asked(data: takes.Config, choice: Choice, basis: LandmarkBasis) -> list[_Asked]:
    found, fault = [], None
    for stretch in held_out.open_stretches(data, choice):
        try:
            name = f"the reference of clip {stretch.name}"
            person = landmark_basis.person(basis, stretch.known, data.identity, name)
            found.append(_Asked(stretch, person))
        except InputError as error:  # one clip among many
            fault = error
    if not found and fault is not None:
        raise fault
    return found


def _faces(
    basis: LandmarkBasis, one: _Asked, run: Callable, usual: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns fronts [T, 68, 3] of each kind."""
    truth = one.stretch.truth.fronts
    made = rhythmic_rollout.expressions(run, one.stretch.chunks, one.person.reference)
    best = landmark_basis.expressions(basis, one.person, truth)
    said = {"model": made, "mean_face": usual[None], "still": 0 * usual[None], "basis": best}
    fronts = {k: landmark_basis.with_expressions(basis, one.person, v) for k, v in said.items()}
    return {kind: np.broadcast_to(face, truth.shape) for kind, face in fronts.items()}


def _errors(face: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
    distance = np.linalg.norm(face - truth, axis=-1)[valid]
    opening = correlation(open_rate(face)[valid], open_rate(truth)[valid])
    return {
        "landmarks": distance.mean(1),
        "mouth": distance[:, MOUTH].mean(1),
        "opening_correlation": np.asarray([opening]),
    }


def _picture(stretch: Stretch, faces: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the mouth's opening over time, and below it moments, true above made."""
    truth = stretch.truth
    opening = np.where(truth.valid, open_rate(truth.fronts), np.nan)
    curves = {"true": opening, "made": open_rate(faces["model"])}
    curves["still"] = open_rate(faces["still"])
    side = int(SIDE) // 2
    width = DRAWN * (side + sheets.GAP)
    plot = plots.lines(
        {label: curve[:PLOTTED] for label, curve in curves.items()},
        title="opening, px",
        fps=stretch.fps,
        size=(120, width),
    )
    # The moments of the widest and of the most shut mouth, and what lies between.
    order = np.argsort(np.where(truth.valid, open_rate(truth.fronts), 0))
    moments = order[np.linspace(len(order) - 1, 0, DRAWN).round().astype(int)]
    drawn = [_drawn(face[k], side) for face in (truth.fronts, faces["model"]) for k in moments]
    labels = [f"{what} {k / stretch.fps:.2f} s" for what in ("true", "made") for k in moments]
    below = sheets.grid(drawn, labels, columns=DRAWN)
    name = np.full((sheets.BAND + 2, below.shape[1], 3), sheets.BACKGROUND, np.uint8)
    sheets.put_text(name, stretch.name, (sheets.GAP, 0), below.shape[1] - 2 * sheets.GAP)
    spare = below.shape[1] - plot.shape[1]
    plot = np.pad(plot, ((0, 0), (0, spare), (0, 0)), constant_values=sheets.BACKGROUND)
    return np.concatenate([name, plot, below])


def _drawn(front: np.ndarray, side: int) -> np.ndarray:
    points = jnp.asarray(front[:, :2] * (side / SIDE))
    return np.asarray(255 * draw_landmarks(points, side, side)).astype(np.uint8)


def summary_line(report: dict[str, Any], kinds: Sequence[str] = KINDS) -> str:
    """Returns the figures of a report in one line."""
    parts = [
        f"{kind}: {report[kind]['landmarks']:.2f} px, mouth {report[kind]['mouth']:.2f} px, "
        f"opening r {report[kind]['opening_correlation']:.2f}"
        for kind in kinds
    ]
    return f"{report['clip_count']} clips, {report['frame_count']} frames. {'; '.join(parts)}"


WORKLOAD = Workload(
    Data=takes.ExpressionConfig,
    open=expressions.Expressions,
    spec=expressions.expression_spec,
    judge=judge,
    rank=lambda report: -report["model"]["mouth"],
    summary=summary_line,
    keeps=("landmarks",),
)
