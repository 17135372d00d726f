"""Results as aligned text."""

from collections.abc import Iterable, Sequence

from facejax.benchmarks.compare import Result, Section, judged
from facejax.benchmarks.goals import MET, MISSED, UNMEASURED

NONE = "-"


def section_text(section: Section, results: Sequence[Result]) -> str:
    """Returns a section's title and its table; times are milliseconds a frame, medians."""
    names = _ordered(name for result in results for name in result.times)
    extras = [
        name
        for name in ("frames/s", "compile s", "temp MB")
        if any(name in result.figures for result in results)
    ]
    cases = _ordered(key for result in results for key in result.row.case)
    ratios = [name for name in section.ratios if any(name in one.figures for one in results)]
    header = [*cases, *(f"{name} ms" for name in names), *ratios, *extras, "goals"]
    lines = [header]
    for result in results:
        lines.append(
            [str(result.row.case.get(key, NONE)) for key in cases]
            + [_milliseconds(result, name) for name in names]
            + [number(result.figures.get(name)) for name in [*ratios, *extras]]
            + [_goals(result, header)]
        )
    return f"{section.name}: {section.title}\n{_aligned(lines)}"


def summary(results: Sequence[Result]) -> str:
    """Returns how many goals were met, missed and not measured, in one line."""
    told = [verdict for result in results for _, verdict in judged(result)]
    return "goals: " + ", ".join(f"{told.count(kind)} {kind}" for kind in (MET, MISSED, UNMEASURED))


def number(value: float | None) -> str:
    """Returns a number in three digits, and no digit less where it has more before its point."""
    if value is None:
        return NONE
    if value != 0 and abs(value) < 1e-3:
        return f"{value:.1e}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _milliseconds(result: Result, name: str) -> str:
    if name not in result.times:
        return NONE
    return number(1e3 * result.times[name].median / result.contenders[name].frames)


def _goals(result: Result, columns: Sequence[str]) -> str:
    """The row's goals in words, with the figure where it has no column of its own."""
    parts = []
    for goal, told in judged(result):
        value = result.figures.get(goal.figure)
        shown = "" if value is None or goal.figure in columns else f" ({number(value)})"
        parts.append(f"{goal.figure} {goal.bound} {goal.limit:g} {told}{shown}")
    return "; ".join(parts)


def _ordered(names: Iterable[str]) -> list[str]:
    """Each name once, in order of first appearance."""
    return list(dict.fromkeys(names))


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell: words to the left, numbers to the right."""
    texts = []
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    last = len(widths) - 1
    for line in lines:
        cells = [
            cell.ljust(width) if k in (0, last) else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        texts.append("  ".join(cells).rstrip())
    return "\n".join(texts)
