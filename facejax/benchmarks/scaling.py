"""How time grows with triangles, pixels and frames: two cases of one mesh family, taking turns."""

from collections.abc import Iterator

from facejax.benchmarks import rendering
from facejax.benchmarks.cases import LARGE_MESH, REFERENCE, Case, Setting, scene
from facejax.benchmarks.compare import Contest, Row, Section
from facejax.benchmarks.goals import Goal, at_most

GROWTH = "after / before"  # times a frame


def sections(setting: Setting) -> Iterator[Section]:
    """Yields the one section of scaling, with the steps that the run's cases cover."""
    rows = [
        _row(name, before, after, [at_most(GROWTH, limit)] if limit else [])
        for name, before, after, limit in _steps(setting)
        if all(_covered(case, setting) for case in (before, after))
    ]
    yield Section("scaling", "one frame's time after a step up over that before it", [GROWTH], rows)


def _steps(setting: Setting) -> Iterator[tuple[str, Case, Case, float]]:
    """Yields what is drawn, the case before, the case after, and the limit of their ratio."""
    large = Case(LARGE_MESH, REFERENCE, 1)
    yield "ids", large, large._replace(mesh="dense-421k"), 3.2
    yield "ids", large, large._replace(px=512), 3.0
    for mesh in ("coarse-2k", LARGE_MESH):
        one = Case(mesh, REFERENCE, 1)
        yield "ids", one, one._replace(px=128), 1.0
        for name in ("ids", "gradients"):
            yield name, one, one._replace(batch=8), 1.1
    if setting.platform != "cpu":  # 80 % of the rate
        yield "surface", large._replace(batch=32), large._replace(batch=128), 1.25


def _covered(case: Case, setting: Setting) -> bool:
    large = setting.platform != "cpu" and case.mesh == LARGE_MESH
    batch = case.batch in setting.batches or (large and case.batch in (32, 128))
    return case.mesh in setting.meshes and case.px in setting.sizes and batch


def _row(name: str, before: Case, after: Case, goals: list[Goal]) -> Row:
    words = [" ".join((mesh, f"{px}px", f"B={batch}")) for mesh, px, batch in (before, after)]
    case = {"what": name, "before": words[0], "after": words[1]}

    def build() -> Contest:
        late, early = (rendering.drawn(name, one, scene(one)) for one in (after, before))
        return Contest({"after": late, "before": early})

    return Row(case, build, goals)
