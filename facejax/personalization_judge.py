"""FACIAL's personalisation metric of trained runs: is what they make for a person that person's?

Classifiers that learnt to tell the people by real recordings are asked. Each person's clips are
divided: some teach them, some choose their best epoch, the rest are held out. There they are asked
about four motions: the `real` one, whose accuracy is the ceiling; the one `generated` from the
sound alone; `shared`, the same with one state for all, the statistics of everyone together, so
that nothing but the voice tells whose it is; and `still`, the person's mean pose and mean lids
throughout, which tells how much the mean alone gives away. Chance is the floor. Blinks are counted
in the same stretches.
"""

import glob
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from facejax import confusion, personal_clips, runs, settings, sheets, speakers, speech_motion
from facejax import held_out_speech as held_out
from facejax.data import pipeline, records, sequences, talks
from facejax.errors import InputError
from facejax.metrics import blinks
from facejax.metrics import personalization as metric
from facejax.metrics.attributes import Face
from facejax.progress import progress
from facejax.systems import SYSTEMS
from facejax.workload import Choice, Result

KINDS = ("real", "generated", "shared", "still")
READS = {  # what each classifier sees of a face: [T, C]
    "head_pose": lambda face: np.asarray(face.pose),
    "blink": lambda face: np.asarray(face.blink)[:, None],
}


class Held(NamedTuple):
    """One held-out stretch."""

    person: int
    valid: np.ndarray  # [T]
    fps: float
    faces: dict[str, Any]  # of KINDS, `Face`s or what has their pose and blink


def voices(named: Sequence[tuple[str, runs.Run]]) -> dict[str, runs.Run]:
    """Returns which run speaks for whom, {speaker: run}.

    Args:
      named: runs, each with the speaker whose it is; one alone may have "", and then is of all whom
        it knows.

    Raises:
      InputError: a run makes no motion of speech, or does not know its speaker; a speaker has two
        runs; or the frame rates differ.
    """
    found: dict[str, runs.Run] = {}
    for name, run in named:
        system = run.config.system
        if SYSTEMS[system].workload not in ("sequences", "poses"):
            raise InputError(
                f"--metrics personalization is of runs that make motion of speech, as facial; "
                f"--workdir is one of {system}"
            )
        table = jax.device_get(run.system.frozen["speakers"])
        if not name and len(named) > 1:
            raise InputError("of several runs, each needs its speaker: --workdir SPEAKER=DIR")
        if name in found:
            raise InputError(f"--workdir {name}=... is given twice; give one run for each speaker")
        if name:
            speakers.find(table, name, f"the run in --workdir {name}=...")
        found |= {one: run for one in ([name] if name else speakers.as_text(table["ids"]))}
    rates = sorted({speech_motion.rate(run) for run in found.values()})
    if len(rates) > 1:
        listed = ", ".join(f"{rate:g}" for rate in rates)
        raise InputError(f"the runs have {listed} frames a second; due: the same for all")
    return found


def judge(
    runs_of: Mapping[str, runs.Run],
    choice: Choice,
    train: Callable[..., metric.Classifier] = metric.train,
) -> Result:
    """Returns the report, and the confusion matrices as a picture.

    Args:
      runs_of: of `voices`. People whom only the runs or only the data know are left out.
      choice: the data folder. Its `clips` are those held out, "" the last fifth of each person's;
        `span` is the part of these that is made and measured.
      train: makes the classifiers.

    Raises:
      InputError: fewer than two people on both sides, or a person has too few or too short clips.
    """
    clips = personal_clips.recordings(runs_of, choice)
    people = list(clips)
    wanted = _chosen(clips, choice) if choice.clips else ()
    parts = personal_clips.divide(personal_clips.usable(clips), wanted)
    held: list[Held] = []
    tables = [_only(runs_of[person], person) for person in people]
    for row, person in enumerate(progress(people, label="generate")):
        held += _held(runs_of[person], row, person, parts["test"][person], choice, tables)
    tests = {name: {k: _of_held(held, k, read) for k in KINDS} for name, read in READS.items()}
    report: dict[str, Any] = {
        "people": people,
        "floor": 1 / len(people),
        "clip_count": {part: sum(map(len, found.values())) for part, found in parts.items()},
        "held_out": sorted(name for ids in parts["test"].values() for name in ids),
        "trained_on": _trained_on(runs_of, clips, parts["test"], choice),
    }
    matrices: dict[str, dict[str, np.ndarray]] = {}
    for name, read in READS.items():
        teach, choose = (_real(clips, parts[part], read) for part in personal_clips.PARTS[:2])
        classifier = train(teach, choose, len(people))
        matrices[name] = {k: metric.confusion(classifier, w) for k, w in tests[name].items()}
        report[name] = _figures(classifier, matrices[name], people)
        _warn_of_chance(name, report[name]["ceiling"], report["floor"])
    report["blinks"] = _blinks(held, people)
    return Result(report, _sheet(matrices, people))


def _chosen(clips: Mapping[str, Sequence[talks.Recording]], choice: Choice) -> list[str]:
    ids = [one.clip_id for own in clips.values() for one in own]
    return [ids[number] for number in pipeline.select(ids, choice.clips)]


def _only(run: runs.Run, person: str) -> speakers.Table:
    """Returns the run's table of one person alone."""
    table = jax.device_get(run.system.frozen["speakers"])
    row = speakers.find(table, person)
    return {name: x if name == "fps" else x[row : row + 1] for name, x in table.items()}


def _held(
    run: runs.Run,
    row: int,
    person: str,
    ids: Sequence[str],
    choice: Choice,
    tables: Sequence[speakers.Table],
) -> list[Held]:
    """Returns a person's held-out stretches, and what the person's run makes of their sound.

    Args:
      run: the person's.
      row: the person's number.
      person: the id.
      ids: of the stretches' clips.
      choice: of which the path, the split and the span count.
      tables: everyone's statistics, for what is made with one state for all.

    Raises:
      InputError: they are too short, or fitted with another face model than the run's.
    """
    if "morphable" in run.system.frozen and not talks.is_facial(choice.path):
        model = records.open_clips(choice.path, choice.split).model
        runs.check_model(run.system.frozen["morphable"], model, "the workdir", choice.path)
    table = jax.device_get(run.system.frozen["speakers"])
    # A pattern for each id: commas in one would divide it.
    patterns = ",".join(glob.escape(one).replace(",", "?") for one in ids)
    data = settings.section(run.config, "data")
    joined = dict(run.system.frozen) | {"speakers": speakers.joined(table, tables)}
    shared = run._replace(system=run.system._replace(frozen=joined))
    found = []
    for one in held_out.open_stretches(data, choice._replace(clips=patterns), table):
        if one.name not in ids:
            continue
        speech = one.rows[sequences.HALF :][: len(one.valid)]
        faces = {
            "real": one.truth,
            "generated": speech_motion.speech_to_motion(run, speech, speaker=person),
            "shared": speech_motion.speech_to_motion(shared, speech, speaker=person),
            "still": held_out.person_mean(one, table),
        }
        found.append(Held(row, one.valid, one.fps, faces))
    if not any(len(metric.starts(one.valid)) for one in found):
        which = f"held-out stretch (span {choice.span[0]:g},{choice.span[1]:g})"
        valid = [one.valid for one in found]
        raise InputError(personal_clips.too_short(person, valid, which))
    return found


def _of_held(held: Sequence[Held], kind: str, read: Any) -> metric.Windows:
    motions = [read(one.faces[kind]) for one in held]
    return metric.cut(motions, [one.person for one in held], valid=[one.valid for one in held])


def _real(
    clips: Mapping[str, Sequence[talks.Recording]], ids: Mapping[str, Sequence[str]], read: Any
) -> metric.Windows:
    chosen = [
        (row, one)
        for row, (person, own) in enumerate(clips.items())
        for one in own
        if one.clip_id in ids[person]
    ]
    motions = [read(Face(one.pose, one.blink, one.expression)) for _, one in chosen]
    return metric.cut(motions, [row for row, _ in chosen], valid=[one.valid for _, one in chosen])


def _trained_on(
    runs_of: Mapping[str, runs.Run],
    clips: Mapping[str, Sequence[talks.Recording]],
    tests: Mapping[str, Sequence[str]],
    choice: Choice,
) -> list[str]:
    """Returns the held-out clips that a run was trained on, and warns of them."""
    every = [one.clip_id for own in clips.values() for one in own]
    found = sorted(
        name
        for person, ids in tests.items()
        for name in personal_clips.trained_on(runs_of[person], choice, every, ids)
    )
    if found:
        logging.warning(
            "%d of the clips that are generated were trained on (%s%s): give --clips or --span "
            "that training kept off",
            len(found),
            ", ".join(found[: speakers.SHOWN]),
            ", ..." if len(found) > speakers.SHOWN else "",
        )
    return found


def _figures(
    classifier: metric.Classifier, matrices: Mapping[str, np.ndarray], people: Sequence[str]
) -> dict[str, Any]:
    """Returns the accuracies of one classifier, over all and by person, and its matrices."""
    shares = {kind: metric.share_recognised(matrix) for kind, matrix in matrices.items()}
    return {
        "validation": classifier.validation,
        "epoch": classifier.epoch,
        "ceiling": float(shares["real"].mean()),
        **{kind: float(shares[kind].mean()) for kind in KINDS[1:]},
        "by_person": {
            person: {kind: float(shares[kind][row]) for kind in KINDS}
            for row, person in enumerate(people)
        },
        "confusion": {kind: matrix.tolist() for kind, matrix in matrices.items()},
    }


def _warn_of_chance(name: str, ceiling: float, floor: float) -> None:
    if ceiling < floor + (1 - floor) / 4:
        logging.warning(
            "the %s classifier knows %.0f %% of the real held-out windows, chance is %.0f %%: what "
            "it says of generated ones means little; it needs more clips, or people who differ",
            name.replace("_", " "),
            100 * ceiling,
            100 * floor,
        )


def _blinks(held: Sequence[Held], people: Sequence[str]) -> dict[str, Any]:
    """Returns `metrics.blinks.figures` of the real and the generated, and by person."""

    def measured(kind: str, chosen: Sequence[Held]) -> dict[str, float | None]:
        curves = [np.asarray(one.faces[kind].blink) for one in chosen]
        return blinks.figures(curves, chosen[0].fps)

    kinds = KINDS[:2]
    by_person = {
        person: {kind: measured(kind, [one for one in held if one.person == row]) for kind in kinds}
        for row, person in enumerate(people)
    }
    return {kind: measured(kind, held) for kind in kinds} | {"by_person": by_person}


def _sheet(matrices: Mapping[str, Mapping[str, np.ndarray]], people: Sequence[str]) -> np.ndarray:
    """Returns the matrices, a classifier a row."""
    pictures = [
        confusion.picture(matrix, people, f"{name.replace('_', ' ')}, {kind}: % taken for")
        for name, kinds in matrices.items()
        for kind, matrix in kinds.items()
    ]
    return sheets.grid(pictures, columns=len(KINDS))


def summary_line(report: dict[str, Any]) -> str:
    """Returns the figures of a report in one line."""
    parts = [f"{len(report['people'])} people, chance {100 * report['floor']:.0f} %"]
    for name in READS:
        figures = [f"{k} {100 * report[name][k]:.0f} %" for k in ("ceiling", *KINDS[1:])]
        parts.append(f"{name.replace('_', ' ')}: {', '.join(figures)}")
    rates = [f"{kind} {report['blinks'][kind]['a_second']:.2f}" for kind in KINDS[:2]]
    return f"{'; '.join(parts)}; blinks a second: {', '.join(rates)}"
