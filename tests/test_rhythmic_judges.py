"""Both judges, with nets whose answers are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax import expression_judge, head_motion_judge, landmark_model
from facejax import held_out_performances as held_out
from facejax.cli import main
from facejax.data import expressions, head_motions, takes
from facejax.errors import InputError
from facejax.performance import posed, smoothed
from facejax.system import System
from facejax.workload import Choice
from tests import fake_performances

SMALL = {"rate": 1000, "tau": 13, "frames": 6, "components": 6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    clips = [fake_performances.clip("a", 40, seed=1), fake_performances.clip("b", 30, seed=2)]
    short = fake_performances.clip("short", 14, seed=3)
    splits = {"train": [*clips, short], "test": [short]}
    return fake_performances.folder(tmp_path_factory.mktemp("talks"), splits)


def system_of(source, generate):
    return System(None, None, None, generate, source.given)


@pytest.fixture(scope="module")
def psi(folder):
    data = takes.ExpressionConfig(path=folder, **SMALL | {"noise": ""})
    return data, expressions.Expressions(data, 0)


@pytest.fixture(scope="module")
def phi(folder):
    data = takes.Config(path=folder, **SMALL | {"batch": 2})
    return data, head_motions.HeadMotions(data, 0)


def silent(gen, stats, frozen, inputs):
    """Expressions that are gen times the mean."""
    usual = jnp.asarray(frozen["landmarks"]["usual"])[None]
    return {"expression": gen * jnp.broadcast_to(usual, inputs["reference"].shape)}


def look(judge_of, data, source, generate, gen, folder):
    judge = judge_of(data, Choice(folder, "train"), system_of(source, generate))
    return judge, judge.look(np.float32(gen), {}, source.given)


def test_expressions_of_no_motion_and_of_the_mean_are_the_baselines(psi, folder):
    data, source = psi
    for gen, name in ((0, "still"), (1, "mean_face")):
        report = look(expression_judge.judge, data, source, silent, gen, folder)[1].report
        assert report["clip_count"] == 2 and report["frame_count"] == 27 + 17
        for figure in ("landmarks", "mouth", "opening_correlation"):
            assert report["model"][figure] == pytest.approx(report[name][figure], abs=1e-4)
    assert report["basis"]["landmarks"] < 0.3 * report["still"]["landmarks"]
    assert report["basis"]["opening_correlation"] > 0.99


def test_expression_errors_are_those_of_a_loop(psi, folder):
    data, source = psi
    report = look(expression_judge.judge, data, source, silent, 0, folder)[1].report
    errors = []
    for stretch in held_out.open_stretches(data, Choice(folder, "train")):
        key = np.argmin(np.abs(stretch.known.motion[:, :3]).sum(1))
        for front in stretch.truth.fronts:
            errors.append(np.linalg.norm(front - stretch.known.fronts[key], axis=1).mean())
    assert report["model"]["landmarks"] == pytest.approx(np.mean(errors), rel=1e-4)


def constant(gen, stats, frozen, inputs):
    """Head motion that is gen, normalised, in every frame."""
    shape = (1, inputs["chunks"].shape[1] - 6, 6)
    return {"motion": jnp.full(shape, gen), "weights": jnp.zeros(1), "biases": jnp.zeros(1)}


def test_head_motion_of_0_is_the_constant_baseline(phi, folder):
    data, source = phi
    _, result = look(head_motion_judge.judge, data, source, constant, 0, folder)
    report = result.report
    assert report["clip_count"] == 2
    for name, value in report["constant"].items():
        assert report["model"][name] == pytest.approx(value, abs=1e-4)
    assert report["truth"]["landmarks"] == pytest.approx(0, abs=1e-3)
    assert report["truth"]["sway"] > 1
    assert report["copy_last"]["sway"] < 1e-3 and report["mean"]["sway"] < 1e-3
    assert report["copy_last"]["spread_error"] == pytest.approx(report["mean"]["spread_error"])


def test_head_motion_is_measured_against_the_true_motion(phi, folder):
    """A net that says the first clip's own next frames is off by what smoothing takes."""
    data, source = phi
    stretch = held_out.open_stretches(data, Choice(folder, "train", clips="a"))[0]
    table = source.given["head_motion"]
    told = head_motions.normalised(stretch.truth.motion, table)

    def say(gen, stats, frozen, inputs):
        return {"motion": jnp.asarray(told)[None], "weights": jnp.zeros(1), "biases": jnp.zeros(1)}

    judge = head_motion_judge.judge(
        data, Choice(folder, "train", clips="a"), system_of(source, say)
    )
    report = judge.look(np.float32(0), {}, source.given).report
    still = np.repeat(stretch.known.fronts.mean(0)[None], len(told), axis=0)
    truth = stretch.truth.motion
    apart = posed(still, smoothed(truth, 11)) - posed(still, truth)
    due = np.linalg.norm(apart, axis=-1).mean()
    assert report["model"]["landmarks"] == pytest.approx(due, rel=1e-3)
    assert report["mean"]["landmarks"] > 2 * due
    assert head_motion_judge.WORKLOAD.rank(report) == -report["model"]["landmarks"]


def test_the_reference_is_given_smoothed_and_normalised(phi, folder):
    data, source = phi
    seen = []

    def spy(gen, stats, frozen, inputs):
        if "known_motion" in inputs:
            jax.debug.callback(lambda x: seen.append(np.asarray(x)), inputs["known_motion"])
        return constant(gen, stats, frozen, inputs)

    look(head_motion_judge.judge, data, source, spy, 0, folder)
    jax.effects_barrier()
    stretch = held_out.open_stretches(data, Choice(folder, "train"))[0]
    due = head_motions.normalised(smoothed(stretch.known.motion, 11), source.given["head_motion"])
    assert any(np.allclose(one[0], due, atol=1e-5) for one in seen)


def test_figures_fit_one_line_and_sheets_show_something(psi, phi, folder):
    for judge_of, module, pair, generate in (
        (expression_judge.judge, expression_judge, psi, silent),
        (head_motion_judge.judge, head_motion_judge, phi, constant),
    ):
        judge, result = look(judge_of, *pair, generate, 0, folder)
        line = module.WORKLOAD.summary(result.report)
        assert "\n" not in line and line.startswith("2 clips, 44 frames. model: ")
        assert result.sheet.dtype == np.uint8 and result.sheet.std() > 5
        assert judge.given["morphable"].mean.shape == (25, 3)


def test_clips_too_short_for_a_reference_are_named_or_refused(phi, folder, caplog):
    data, _ = phi
    held_out.open_stretches(data, Choice(folder, "train"))
    assert "short" in caplog.text
    with pytest.raises(InputError, match=r"no clip has 15 frames .* longest clip has 14"):
        held_out.open_stretches(data, Choice(folder, "test"))


# The command that makes bases.


def test_the_command_writes_a_basis_and_its_picture(tmp_path, folder, capsys):
    out, sheet = tmp_path / "b.npz", tmp_path / "b.png"
    arguments = ["model", "landmarks", folder, "--out", str(out), "--sheet", str(sheet)]
    assert main([*arguments, "--components", "5", "--dimensions", "2"]) == 0
    assert "5 components of 68 landmarks in 2 dimensions" in capsys.readouterr().out
    with np.load(out) as file:
        assert file["axes"].shape == (5, 136) and file["template"].shape == (68, 3)
    assert sheet.stat().st_size > 1000


def test_a_basis_of_too_little_footage_is_refused(folder):
    with pytest.raises(InputError, match="too few for 20 components"):
        landmark_model.build([folder], "test")
