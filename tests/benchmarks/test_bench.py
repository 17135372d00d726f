"""`facejax bench`: what it prints and writes, and what it says to wrong arguments."""

import json
import shutil

import pytest

from facejax import cli
from facejax.benchmarks import geometry, machine, peers
from facejax.benchmarks.cases import Case, Setting, cases

TINY = ["bench", "geometry", "--quick", "--meshes", "coarse-2k", "--sizes", "32"]


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEJAX_CACHE", str(tmp_path / "cache"))


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_a_tiny_run_prints_a_table_and_writes_every_figure(tmp_path, capfd):
    out = tmp_path / "results.json"
    chosen = ["ids", "interpolation"]
    assert cli.main([*TINY, "--only", *chosen, "--out", str(out)]) == 0
    printed, errors = capfd.readouterr()
    assert errors == ""  # no terminal: no progress bar
    report = json.loads(out.read_text())
    assert report["command"] == (
        "facejax bench geometry --only ids interpolation --meshes coarse-2k --sizes 32 --quick"
    )
    assert {"facejax", "jax", "numpy", "scipy", "python"} <= report["versions"].keys()
    assert report["devices"][0].startswith("cpu") and report["compiler"]
    rows = report["results"]
    assert [row["section"] for row in rows] == ["ids", "interpolation"]
    assert rows[0]["case"] == {"mesh": "coarse-2k", "px": 32, "batch": 1}
    assert list(rows[0]["contenders"]) == ["facejax", "C loop", "C careful", "NumPy"]
    for row in rows:
        assert row["contenders"]["facejax"]["compile_seconds"] > 0
        for times in row["contenders"].values():
            lower, upper = times["quartiles_seconds"]
            assert 0 < lower <= times["median_seconds"] <= upper
    ours, loop = (rows[0]["contenders"][name] for name in ("facejax", "C loop"))
    assert rows[0]["figures"]["facejax / C loop"] == pytest.approx(
        ours["median_seconds"] / loop["median_seconds"]
    )
    for section in chosen:
        assert f"\n{section}: " in printed
    assert "PyTorch3D is left out" in printed or peers.find()[0]
    assert printed.rstrip().splitlines()[-1].startswith("goals: ")


def test_without_a_compiler_the_loop_is_left_out_in_one_line(monkeypatch, capfd):
    monkeypatch.setenv("CC", "no-such-compiler")
    assert cli.main([*TINY, "--only", "surface"]) == 0
    printed = capfd.readouterr().out
    notes = [line for line in printed.splitlines() if "C loop" in line]
    assert notes == ["the C loop is left out: no C compiler: no-such-compiler is not installed"]
    assert "C ids" not in printed


@pytest.mark.parametrize(("load", "lines"), [(0.9, 0), (1.0, 1), (7.5, 1)])
def test_a_busy_machine_is_named(load, lines):
    told = machine.busy({"load": load, "cores": 2})
    assert len(told) == lines and all(f"{load:.1f} programs" in line for line in told)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "required: geometry"),
        (["training"], "'training'"),
        (["geometry", "--sizes", "4"], "4 is no whole number from 16 to 4096"),
        (["geometry", "--batches", "two"], "two is no whole number from 1 to 1024"),
        (["geometry", "--meshes", "coarse"], "'coarse'"),
        (["geometry", "--only", "speed"], "'speed'"),
        (["geometry", "--quck"], "--quck"),
    ],
)
def test_wrong_arguments_get_one_line(arguments, complaint, capfd):
    with pytest.raises(SystemExit) as stop:
        cli.main(["bench", *arguments])
    assert stop.value.code == 2
    errors = capfd.readouterr().err
    assert complaint in errors and errors.count("\n") == 1


@pytest.mark.parametrize(
    ("out", "complaint"), [("figures.csv", "ending in .json"), ("none/figures.json", "mkdir -p")]
)
def test_a_wrong_output_is_refused_before_anything_runs(out, complaint, tmp_path, capfd):
    assert cli.main([*TINY, "--out", str(tmp_path / out)]) == 2
    printed, errors = capfd.readouterr()
    assert printed == "" and complaint in errors and errors.count("\n") == 1


def test_options_that_leave_nothing_to_measure_are_refused(capfd):
    assert cli.main([*TINY, "--only", "scaling"]) == 2
    printed, errors = capfd.readouterr()
    assert printed == "" and "scaling has no row" in errors and errors.count("\n") == 1


def setting(platform, **changes):
    full = Setting(("coarse-2k", "dense-106k"), (128, 256), (1, 8), platform)
    return full._replace(**changes)


def test_an_accelerator_gets_large_batches_of_the_large_mesh():
    on_cpu, on_gpu = cases(setting("cpu")), cases(setting("gpu"))
    assert len(on_cpu) == 8
    assert set(on_gpu) - set(on_cpu) == {Case("dense-106k", 256, n) for n in (32, 128)}
    assert cases(setting("gpu", meshes=("coarse-2k",))) == cases(
        setting("cpu", meshes=("coarse-2k",))
    )


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_every_section_is_named_once_and_has_goals_on_its_own_figures(platform):
    found = list(geometry.sections(setting(platform)))
    assert tuple(section.name for section in found) == geometry.SECTIONS
    for section in found:
        assert section.rows, section.name
        for row in section.rows:
            for goal in row.goals:
                plain = " / " not in goal.figure
                assert plain or goal.figure in section.ratios, (section.name, goal)


def test_goals_of_speed_differ_between_the_platforms():
    def figures(platform):
        rows = [row for one in geometry.sections(setting(platform)) for row in one.rows]
        return {goal.figure for row in rows for goal in row.goals}

    assert "facejax / C loop" in figures("cpu") and "facejax / C loop" not in figures("gpu")
    assert "frames/s" in figures("gpu") and "frames/s" not in figures("cpu")
