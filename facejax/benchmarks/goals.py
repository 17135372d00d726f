"""Goals: what a figure of a comparison is held to, and whether it got there."""

from collections.abc import Mapping
from typing import NamedTuple

MET, MISSED, UNMEASURED = "met", "missed", "not measured"


class Goal(NamedTuple):
    """A bound on one figure."""

    figure: str  # as `figures` of a result names it, e.g. "facejax / C loop"
    bound: str  # "<=" or ">="
    limit: float


def at_most(figure: str, limit: float) -> Goal:
    """Returns the goal figure <= limit."""
    return Goal(figure, "<=", limit)


def at_least(figure: str, limit: float) -> Goal:
    """Returns the goal figure >= limit."""
    return Goal(figure, ">=", limit)


def verdict(goal: Goal, figures: Mapping[str, float]) -> str:
    """Returns MET, MISSED, or UNMEASURED where there is no such figure (no compiler, no peer)."""
    value = figures.get(goal.figure)
    if value is None:
        return UNMEASURED
    reached = value <= goal.limit if goal.bound == "<=" else value >= goal.limit
    return MET if reached else MISSED
