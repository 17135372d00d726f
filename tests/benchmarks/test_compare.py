"""Turns, figures, goals and the table, on contenders whose times are known."""

import itertools
import json
import threading
import time

import jax.numpy as jnp
import pytest

from facejax.benchmarks import compare, table, timing
from facejax.benchmarks.compare import Contest, Effort, Result, Row, Section
from facejax.benchmarks.goals import MET, MISSED, UNMEASURED, at_least, at_most, verdict
from facejax.benchmarks.timing import Contender, Times


class Clock:
    """A clock that only moves when a contender runs."""

    def __init__(self, monkeypatch):
        self.now, self.order = 0.0, []
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def contender(self, name, durations, frames=1):
        durations = itertools.cycle(durations)

        def call():
            self.order.append(name)
            self.now += next(durations)

        return Contender(call, frames)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_the_warm_up_is_not_counted_and_medians_are_taken(clock):
    # the first two calls warm up
    one = clock.contender("one", [9.0, 9.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    times = timing.take_turns({"one": one}, turns=5, seconds=1e9)["one"]
    assert times == Times(median=3.0, lower=2.0, upper=4.0, turns=5)


def test_contenders_take_turns_and_none_always_goes_first(clock):
    pair = {name: clock.contender(name, [0.05]) for name in "ab"}
    timing.take_turns(pair, turns=4, seconds=1e9)
    rounds = ["".join(clock.order[k : k + 2]) for k in range(4, 12, 2)]
    assert rounds == ["ab", "ba", "ab", "ba"]


def test_every_round_waits_for_the_machine(clock):
    pair = {name: clock.contender(name, [0.05]) for name in "ab"}
    timing.take_turns(pair, turns=2, seconds=1e9, ready=lambda: clock.order.append("?"))
    assert "".join(clock.order[4:]) == "?ab?ba"


def test_a_turn_waits_for_threads_that_still_work():
    end = time.perf_counter() + 0.1

    def work():
        while time.perf_counter() < end:
            pass

    busy = threading.Thread(target=work)
    busy.start()
    timing.rest()
    assert time.perf_counter() >= end
    busy.join()


def test_short_calls_are_repeated_within_a_turn(clock):
    times = timing.take_turns({"a": clock.contender("a", [1e-4])}, turns=3, seconds=1e9)["a"]
    assert times.median == pytest.approx(1e-4) and times.turns == 3
    assert len(clock.order) == 2 + 3 * 200


def test_slow_contenders_sit_rounds_out_and_very_slow_ones_run_once(clock):
    three = {
        "quick": clock.contender("quick", [0.05]),
        "slow": clock.contender("slow", [1.0]),
        "slowest": clock.contender("slowest", [60.0]),
    }
    times = timing.take_turns(three, turns=12, seconds=9)
    assert [times[name].turns for name in three] == [12, 3, 1]
    assert times["slowest"] == Times(60, 60, 60, 1)
    # evenly: not the first three rounds
    rounds = [k for k, name in enumerate(clock.order[-15:]) if name == "slow"]
    assert max(b - a for a, b in itertools.pairwise(rounds)) > 3


def test_a_compiled_contender_tells_its_compile_time_and_memory():
    one = timing.compiled(lambda x: 2 * x[jnp.argsort(-x)], jnp.arange(1000.0), frames=4)
    assert float(one.call()[1]) == 1996.0
    assert one.frames == 4 and one.compile_seconds > 0 and one.temp_bytes >= 4000


@pytest.fixture
def result(clock):
    contest = Contest(
        {
            "facejax": clock.contender("facejax", [0.02], frames=4)._replace(
                compile_seconds=1.5, temp_bytes=8_000_000
            ),
            "C loop": clock.contender("C loop", [0.04], frames=4),
            "NumPy": clock.contender("NumPy", [0.5], frames=1),
        },
        {"rotation error": 1e-6},
    )
    goals = (
        at_most("facejax / C loop", 0.8),
        at_least("NumPy / facejax", 1000),
        at_least("PyTorch3D / facejax", 5),
        at_most("rotation error", 5e-6),
    )
    row = Row({"mesh": "coarse-2k", "px": 256, "batch": 4}, lambda: contest, goals)
    return compare.measure(row, Effort(4, 1e9))


def test_figures_are_per_frame(result):
    assert result.figures["facejax / C loop"] == pytest.approx(0.5)
    assert result.figures["C loop / facejax"] == pytest.approx(2)
    assert result.figures["NumPy / facejax"] == pytest.approx(100)
    assert result.figures["frames/s"] == pytest.approx(200)
    assert result.figures["ms"] == pytest.approx(20)
    assert result.figures["temp MB"] == pytest.approx(8)
    assert result.figures["temp MB a frame"] == pytest.approx(2)
    assert result.figures["compile s"] == 1.5 and result.figures["rotation error"] == 1e-6


def test_goals_are_met_missed_or_not_measured(result):
    assert [told for _, told in compare.judged(result)] == [MET, MISSED, UNMEASURED, MET]
    assert table.summary([result]) == "goals: 2 met, 1 missed, 1 not measured"


@pytest.mark.parametrize(
    ("goal", "value", "told"),
    [
        (at_most("x", 2), 2.0, MET),
        (at_most("x", 2), 2.01, MISSED),
        (at_least("x", 2), 2.0, MET),
        (at_least("x", 2), 1.99, MISSED),
        (at_most("x", 2), float("nan"), MISSED),
        (at_least("x", 2), float("nan"), MISSED),
    ],
)
def test_a_limit_itself_is_within_the_goal(goal, value, told):
    assert verdict(goal, {"x": value}) == told


def test_a_measured_row_lets_go_of_its_arrays(result):
    with pytest.raises(RuntimeError, match="let go"):
        result.contenders["facejax"].call()


def section_of(*rows):
    return Section("ids", "what each pixel sees", ("facejax / C loop", "NumPy / facejax"), rows)


def test_the_table_is_aligned_and_leaves_out_what_no_row_has(result):
    bare = Result(
        Row({"mesh": "dense-106k", "px": 64, "batch": 1}, result.row.build),
        {"facejax": result.contenders["facejax"]},
        {"facejax": result.times["facejax"]},
        {"frames/s": 1234.5},
    )
    text = table.section_text(section_of(), [result, bare])
    title, header, first, second = text.splitlines()
    assert title == "ids: what each pixel sees"
    for name in ("mesh", "px", "batch", "facejax ms", "C loop ms", "NumPy ms", "goals"):
        assert name in header
    assert "PyTorch3D ms" not in header
    end = header.index("C loop ms") + len("C loop ms")
    assert first[:end].endswith(" 10") and second[:end].endswith(" -")
    assert first[header.index("goals") :] == (
        "facejax / C loop <= 0.8 met; NumPy / facejax >= 1000 missed; "
        "PyTorch3D / facejax >= 5 not measured; rotation error <= 5e-06 met (1.0e-06)"
    )
    assert "1,234" in second


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0"), (0.71234, "0.712"), (12.345, "12.3"), (100.4, "100"),
     (33999.6, "34,000"), (2.5e-7, "2.5e-07")],
)  # fmt: skip
def test_numbers_have_three_digits(value, text):
    assert table.number(value) == text


def test_json_holds_medians_quartiles_and_verdicts(result):
    data = json.loads(json.dumps(compare.to_json(section_of(), result)))
    assert data["section"] == "ids"
    assert data["case"] == {"mesh": "coarse-2k", "px": 256, "batch": 4}
    ours = data["contenders"]["facejax"]
    assert ours["median_seconds"] == pytest.approx(0.02)
    assert len(ours["quartiles_seconds"]) == 2 and ours["turns"] == 4 and ours["frames"] == 4
    assert data["goals"][0] == {
        "figure": "facejax / C loop", "bound": "<=", "limit": 0.8,
        "value": pytest.approx(0.5), "verdict": "met",
    }  # fmt: skip
    assert data["goals"][2]["value"] is None
