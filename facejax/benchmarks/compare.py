"""What a benchmark is made of: sections of rows, each a contest between facejax and other ways."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from facejax.benchmarks.goals import Goal, verdict
from facejax.benchmarks.timing import Contender, Times, take_turns

OURS = "facejax"
MEGABYTE = 1e6


class Contest(NamedTuple):
    """Ways of doing one thing, of which the first is the one in question."""

    contenders: Mapping[str, Contender]
    errors: Mapping[str, float] = {}  # figures of accuracy, by name


class Row(NamedTuple):
    """One case of a section."""

    case: Mapping[str, str | int]  # what distinguishes it: mesh, px, batch, ...
    build: Callable[[], Contest]  # prepares it; its arrays live only while the row is measured
    goals: Sequence[Goal] = ()


class Section(NamedTuple):
    """Rows that share their columns."""

    name: str
    title: str
    ratios: Sequence[str]  # the figures "A / B" worth a column
    rows: Sequence[Row]


class Effort(NamedTuple):
    """How long to measure a row."""

    turns: int
    seconds: float


class Result(NamedTuple):
    """A measured row."""

    row: Row
    contenders: Mapping[str, Contender]
    times: Mapping[str, Times]
    figures: Mapping[str, float]


def measure(row: Row, effort: Effort, ready: Callable[[], None] = lambda: None) -> Result:
    """Returns the row's result: every contender timed, taking turns, each round when `ready`."""
    contest = row.build()
    times = take_turns(contest.contenders, effort.turns, effort.seconds, ready)
    # The calls hold the arrays: let go of them.
    kept = {name: one._replace(call=_spent) for name, one in contest.contenders.items()}
    return Result(row, kept, times, figures(contest, times))


def figures(contest: Contest, times: Mapping[str, Times]) -> dict[str, float]:
    """Returns every figure that a goal may be set on.

    "A / B" is the time a frame of A over that of B, for any two contenders;
    "ms", "frames/s", "compile s", "temp MB" and "temp MB a frame" are those of the first.
    """
    ours = next(iter(contest.contenders))
    frame = {name: times[name].median / one.frames for name, one in contest.contenders.items()}
    first = contest.contenders[ours]
    found = {"ms": 1e3 * times[ours].median, "frames/s": 1 / frame[ours]}
    for one, other in itertools.permutations(frame, 2):
        found[f"{one} / {other}"] = frame[one] / frame[other]
    if first.compile_seconds is not None:
        found["compile s"] = first.compile_seconds
    if first.temp_bytes is not None:
        found["temp MB"] = first.temp_bytes / MEGABYTE
        found["temp MB a frame"] = first.temp_bytes / MEGABYTE / first.frames
    return found | dict(contest.errors)


def to_json(section: Section, result: Result) -> dict[str, Any]:
    """Returns a result as plain values: medians and quartiles, figures, goals."""
    contenders = {}
    for name, one in result.contenders.items():
        times = result.times[name]
        contenders[name] = {
            "frames": one.frames,
            "turns": times.turns,
            "median_seconds": times.median,
            "quartiles_seconds": [times.lower, times.upper],
            "compile_seconds": one.compile_seconds,
            "temp_bytes": one.temp_bytes,
        }
    goals = [
        goal._asdict() | {"value": result.figures.get(goal.figure), "verdict": told}
        for goal, told in judged(result)
    ]
    return {
        "section": section.name,
        "case": dict(result.row.case),
        "contenders": contenders,
        "figures": dict(result.figures),
        "goals": goals,
    }


def judged(result: Result) -> list[tuple[Goal, str]]:
    """Returns the row's goals, each with its verdict."""
    return [(goal, verdict(goal, result.figures)) for goal in result.row.goals]


def _spent() -> None:
    raise RuntimeError("this contender was measured and has let go of its arrays")
