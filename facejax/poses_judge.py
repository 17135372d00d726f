"""Held-out head motion: make whole stretches from their sound and first pose, and measure.

Of a stretch the net sees its sound and its first pose. Beside the `model`, with SEEDS seeds: the
`mean_pose` of the speaker throughout; the `constant_pose`, the first one held; and
`shuffled_audio`, the model told the same speech begun in its middle. `true` is the truth's own.

Figures (`metrics.head_motion`): score, the energy score of poses, and score_change, that of how
they change in half a second, both of all seeds together, in deviations of the speaker: proper
scores, which neither the mean nor a wrong motion can win; pose_degrees and pose_mm, absolute errors
of each seed's; mean_degrees, mean_mm, deviation (over the true one), spectrum (0 alike, 1 not) and
beats, which are to be near the truth's; nods, the correlation of quick pitch with the true one;
variety among seeds. `seeds_mean` has the figures of the seeds' mean.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from facejax import held_out_speech as held_out
from facejax import plots, pose_motion, rollout, sheets, speakers
from facejax.data import records, sequences
from facejax.held_out_speech import Stretch
from facejax.judging import figures_line, thin
from facejax.metrics import attributes, head_motion
from facejax.progress import progress
from facejax.system import PyTree, System
from facejax.workload import Choice, Judge, Result, Workload

SEEDS = (0, 1, 2, 3)
CHANGE = 0.5  # s
SHOWN = 4  # clips on the sheet
PLOTTED = 400  # frames of each
KINDS = ("model", "seeds_mean", "mean_pose", "constant_pose", "shuffled_audio", "true")
SHORT = {  # figure -> its name and unit in a line
    "score": "score {:.3f}",
    "score_change": "of change {:.3f}",
    "pose_degrees": "{:.2f} deg",
    "pose_mm": "{:.1f} mm",
    "deviation": "deviation x{:.2f}",
    "spectrum": "spectrum {:.2f}",
    "beats": "beats {:.2f}",
    "nods": "nods r {:.2f}",
}


def judge(data: sequences.Config, choice: Choice, system: System) -> Judge:
    """Returns the judge of the chosen clips.

    Raises:
      InputError: see `held_out_speech.open_stretches`.
    """
    table = jax.device_get(system.frozen["speakers"])
    stretches = held_out.open_stretches(data, choice, table)
    compiled = rollout.make_roll(system.generate, data.frames)

    def look(
        gen: PyTree,
        stats: PyTree,
        frozen: PyTree,
        rows: int = 8,
        put: Callable[[PyTree], PyTree] = jax.device_put,
    ) -> Result:
        del rows  # one clip at a time: each window needs the one before
        pictured = {one.name for one in thin(stretches, SHOWN)}
        roll = rollout.fill(compiled, gen, stats, frozen)
        by_clip: dict[str, dict] = {}
        shown: list[np.ndarray] = []
        for stretch in progress(stretches, None, "evaluate"):
            motions = _motions(roll, stretch, table, data.frames, put)
            by_clip[stretch.name] = _figures(motions, stretch, table, data.speech)
            if stretch.name in pictured:
                shown.append(_plots(stretch, motions))
        return Result(_report(by_clip, stretches), sheets.grid(shown, columns=len(shown)))

    has_model = "morphable" in system.frozen
    given = {"morphable": records.open_clips(choice.path, choice.split).model} if has_model else {}
    return Judge(given, look)


def _motions(
    roll: rollout.Roll,
    stretch: Stretch,
    table: PyTree,
    frames: int,
    put: Callable[[PyTree], PyTree],
) -> dict[str, np.ndarray]:
    """Returns the poses of each kind, [K, T, 6] in radians and mm."""
    truth, row = stretch.truth.pose.astype(np.float64), stretch.speaker
    initial = speakers.normalised(truth[0], table, row)

    def made(rows: np.ndarray) -> np.ndarray:
        found = [
            pose_motion.poses(roll, rows, frames, initial=initial, speaker=row, seed=seed, put=put)
            for seed in SEEDS
        ]
        return speakers.denormalised(np.stack(found), table, row)

    model = made(stretch.rows)
    other = np.roll(stretch.rows, len(stretch.rows) // 2, axis=0)
    tiled = lambda pose: np.broadcast_to(pose, (1, *truth.shape))
    return {
        "model": model,
        "seeds_mean": model.mean(0)[None],
        "mean_pose": tiled(table["pose_mean"][row].astype(np.float64)),
        "constant_pose": tiled(truth[0]),
        "shuffled_audio": made(other),
        "true": truth[None],
    }


def _figures(
    motions: dict[str, np.ndarray], stretch: Stretch, table: PyTree, kind: str
) -> dict[str, dict[str, float]]:
    """Returns {kind: {figure: number}} of a stretch; only frames with a face count for errors."""
    valid, truth, fps = stretch.valid, stretch.truth.pose.astype(np.float64), stretch.fps
    own = stretch.rows[sequences.HALF :][: len(truth)]
    loud = head_motion.loudness(own, kind)
    usual = np.sqrt(table["pose_std"].shape[1])  # so that a deviation off in all six counts 1
    units = lambda pose: speakers.normalised(pose, table, stretch.speaker) / usual
    lag = max(1, round(CHANGE * fps))
    figures: dict[str, dict[str, float]] = {}
    for name, samples in motions.items():
        score = head_motion.energy_score(units(samples), units(truth))
        change = lambda pose, k=lag: pose[..., k:, :] - pose[..., :-k, :]
        moved = head_motion.energy_score(change(units(samples)), change(units(truth)))
        errors = [attributes.pose_errors(one, truth) for one in samples]
        found = {
            "score": float(score[valid].mean()),
            "score_change": float(moved[valid[lag:] & valid[:-lag]].mean()),
            **_mean([{k: float(v[valid].mean()) for k, v in one.items()} for one in errors]),
            **_mean([_statistics(one, truth, loud, fps) for one in samples]),
            "variety": head_motion.variety(samples, truth),
        }
        figures[name] = found
    return figures


def _statistics(pose: np.ndarray, truth: np.ndarray, loud: np.ndarray, fps: float) -> dict:
    return {
        **head_motion.mean_errors(pose, truth),
        "deviation": head_motion.deviation_ratio(pose, truth),
        "spectrum": head_motion.spectrum_distance(pose, truth, fps),
        "beats": head_motion.beat_alignment(pose, loud, fps),
        "nods": head_motion.nod_correlation(pose, truth, fps),
    }


def _mean(found: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def _report(by_clip: dict[str, dict], stretches: Sequence[Stretch]) -> dict[str, Any]:
    """The mean over the clips, each of which counts alike."""
    whole = {kind: _mean([clip[kind] for clip in by_clip.values()]) for kind in KINDS}
    frames = sum(int(one.valid.sum()) for one in stretches)
    return {"clip_count": len(by_clip), "frame_count": frames} | whole | {"by_clip": by_clip}


def _plots(stretch: Stretch, motions: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the plots of one clip: true, two seeds, and the speaker's mean."""
    curves = {
        "true": motions["true"][0],
        "generated": motions["model"][0],
        "other seed": motions["model"][1],
        "mean": motions["mean_pose"][0],
    }
    rows = []
    for column, name in enumerate(("pitch, deg", "yaw, deg", "roll, deg", "x, mm", "y, mm")):
        scale = 180 / np.pi if column < 3 else 1.0
        lines = {label: scale * pose[:PLOTTED, column] for label, pose in curves.items()}
        rows.append(plots.lines(lines, title=name, fps=stretch.fps))
    return sheets.grid(rows, columns=1, title=stretch.name)


def rank(report: dict[str, Any]) -> float:
    """Returns the figure that chooses the best checkpoint: larger is better."""
    return -(report["model"]["score"] + report["model"]["score_change"])


WORKLOAD = Workload(
    Data=sequences.Config,
    open=sequences.Sequences,
    spec=sequences.batch_spec,
    judge=judge,
    rank=rank,
    summary=functools.partial(figures_line, kinds=KINDS, formats=SHORT),
    keeps=("speakers",),
    needs_model=False,
    splits=sequences.splits,
)
