import functools
import json

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax import cli, personalization_judge, runs, settings, speakers
from facejax.data import records, sequences
from facejax.errors import InputError
from facejax.metrics import blinks
from facejax.metrics import personalization as metric
from facejax.system import System
from facejax.workload import Choice
from tests import fake_talks

SIZE = sequences.FACE + 3
PEOPLE = ("a", "bb", "ccc")  # each with a pose of its own: `fake_talks.clip`
QUICK = {"epochs": 10, "batch": 16, "learning_rate": 1e-2, "widths": (8, 8)}


@pytest.fixture(scope="module", autouse=True)
def quick_compilation():
    """Half the compile time; the results differ by rounding."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    def of(person, count, frames):
        return [
            fake_talks.clip(f"{person}-{k}", person, frames, seed=10 * len(person) + k)
            for k in range(count)
        ]

    train = [clip for person in PEOPLE for clip in of(person, 4, 200)]
    short = [clip for person in PEOPLE for clip in of(person, 3, 100)]
    few = [clip for person in PEOPLE for clip in of(person, 2, 130)]
    path = tmp_path_factory.mktemp("talks")
    return fake_talks.folder(path, {"train": train, "test": short, "validation": few})


@pytest.fixture(scope="module")
def table(folder):
    config = sequences.Config(path=folder, speech="null")
    return speakers.measure(sequences.open_recordings(config))


def wobble(gen, stats, frozen, inputs):
    """A head that moves at random about its speaker's mean, and blinks once in each window."""
    made = jax.random.normal(jax.random.key(0), (1, inputs["speech"].shape[1], SIZE))
    blink = jnp.zeros(made.shape[:2]).at[:, 10].set(5)
    return {"attributes": made.at[..., 6].set(blink)}


def run_of(folder, table, **changes):
    """A run that needs no training: `wobble` with a table of speakers."""
    config = settings.default_config("facial", "paper")
    config.data.update(path=folder, speech="null", frames=32, **changes)
    frozen = {
        "morphable": records.open_clips(folder, "train").model,
        "speakers": {name: jnp.asarray(speakers.as_numbers(v)) for name, v in table.items()},
    }
    system = System(None, None, None, wobble, frozen)
    return runs.Run(config, system, {}, {"gen": {}}, 7, None)


def only(table, person):
    row = speakers.find(table, person)
    return {k: v if not np.ndim(v) else v[row : row + 1] for k, v in table.items()}


def judged(named, folder, **choice):
    voices = personalization_judge.voices(named)
    train = functools.partial(metric.train, **QUICK)
    return personalization_judge.judge(voices, Choice(folder, "train", **choice), train)


@pytest.fixture(scope="module")
def result(folder, table):
    return judged([("", run_of(folder, table, clips="*-[012]"))], folder, clips="*-3")


def test_who_moves_like_themselves_is_recognised_up_to_the_ceiling(result):
    pose = result.report["head_pose"]
    assert pose["ceiling"] == pose["validation"] == pose["generated"] == pose["still"] == 1
    assert result.report["floor"] == pytest.approx(1 / 3)
    windows = len(range(0, 200 - 127, 5))
    assert pose["confusion"]["generated"] == (windows * np.eye(3, dtype=int)).tolist()
    assert result.report["held_out"] == ["a-3", "bb-3", "ccc-3"]
    assert result.report["clip_count"] == {"train": 6, "validation": 3, "test": 3}
    assert result.report["trained_on"] == []


def test_who_moves_like_another_is_taken_for_that_one(folder, table):
    names = ("pose_mean", "pose_std")
    swapped = table | {name: np.roll(table[name], 1, axis=0) for name in names}
    report = judged([("", run_of(folder, swapped))], folder).report
    matrix = np.asarray(report["head_pose"]["confusion"]["generated"])
    assert report["head_pose"]["generated"] == 0
    np.testing.assert_array_equal(matrix > 0, np.roll(np.eye(3), 1, axis=0) > 0)
    assert report["head_pose"]["ceiling"] == 1


def test_with_one_state_for_all_everyone_is_taken_for_the_same(result):
    """The net hears nothing here, so what it makes for one person it makes for all."""
    pose = result.report["head_pose"]
    assert pose["shared"] == pytest.approx(1 / 3)
    matrix = np.asarray(pose["confusion"]["shared"])
    assert (matrix == matrix[0]).all()


def test_runs_of_one_person_each_are_as_one_of_all(folder, table, result):
    named = [(name, run_of(folder, only(table, name), clips="*-[012]")) for name in PEOPLE]
    assert judged(named, folder, clips="*-3").report == result.report
    two = judged(named[1:], folder, clips="*-3").report
    assert two["people"] == ["bb", "ccc"] and two["floor"] == 0.5


def test_blinks_are_those_of_the_held_out_frames(folder, result):
    found = result.report["blinks"]
    curves = [clip.blink for clip in records.open_clips(folder, "train") if "-3" in clip.clip_id]
    assert found["real"] == pytest.approx(blinks.figures(curves, 25))
    # 200 frames are windows from 0, 31, ..., 155 and 168, each of which blinks at its frame 10.
    assert found["generated"] == {"a_second": pytest.approx(7 / 8), "seconds": pytest.approx(0.04)}
    assert found["by_person"]["bb"]["generated"] == pytest.approx(found["generated"])


def test_clips_that_a_run_was_trained_on_are_told(folder, table, caplog):
    run = run_of(folder, table, clips="a-*,bb-3", span=(0.0, 0.8))
    assert judged([("", run)], folder).report["trained_on"] == ["a-3", "bb-3"]
    assert "2 of the clips that are generated were trained on (a-3, bb-3)" in caplog.text
    assert judged([("", run)], folder, span=(0.2, 1.0)).report["trained_on"] == ["a-3", "bb-3"]
    kept_off = run_of(folder, table, span=(0.0, 0.3))
    assert judged([("", kept_off)], folder, span=(0.3, 1.0)).report["trained_on"] == []


def test_a_classifier_at_chance_is_told(result, folder, table, caplog):
    """The lids of `fake_talks` are noise, alike for everyone."""
    assert result.report["blink"]["ceiling"] < 0.6
    judged([("", run_of(folder, table))], folder)
    assert "the blink classifier knows" in caplog.text
    assert "the head pose classifier knows" not in caplog.text


@pytest.fixture
def command(monkeypatch, folder, table, tmp_path):
    """`facejax evaluate --metrics personalization` with runs by the names of their folders."""
    known = {
        "all": run_of(folder, table),
        "slow": run_of(folder, table | {"fps": np.float32(20)}),
        "strangers": run_of(folder, table | {"ids": np.array(["x", "y", "z"])}),
    }
    known |= {name: run_of(folder, only(table, name)) for name in PEOPLE}
    other = run_of(folder, table)
    other.config.system = "headgan"
    known["frames"] = other
    monkeypatch.setattr(runs, "load", lambda path, step: known[path])
    train = functools.partial(metric.train, **QUICK)
    monkeypatch.setattr(metric, "train", lambda *sets, epochs: train(*sets))

    def call(*arguments, split="train"):
        given = [f"--data={folder}", f"--split={split}", f"--out={tmp_path / 'r.json'}"]
        return cli.main(["evaluate", "--metrics=personalization", *given, *arguments])

    return call


def test_the_command_writes_report_and_matrices(command, tmp_path, capsys):
    names = [f"--workdir={name}={name}" for name in PEOPLE]
    assert command(*names, "--clips=*-1") == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert (
        report["clips"] == "*-1"
        and report["metrics"] == "personalization"
        and report["step"] == dict.fromkeys(PEOPLE, 7)
    )
    assert report["held_out"] == ["a-1", "bb-1", "ccc-1"] == report["trained_on"]
    assert report["head_pose"]["by_person"]["ccc"]["generated"] == 1
    picture = cv2.imread(str(tmp_path / "r.png"))
    assert picture.shape[0] > 200 and picture.shape[1] > 600 and (picture < 100).any()
    said = capsys.readouterr().out
    assert "3 people, chance 33 %; head pose: ceiling 100 %, generated 100 %" in said
    assert "blinks a second: real" in said


@pytest.mark.parametrize(
    ("arguments", "split", "message"),
    [
        (["--workdir=a=a"], "train", "what runs are given know a; due: two people or more"),
        (["--workdir=strangers"], "train", "has a, bb, ccc, and what runs are given know x, y, z"),
        (["--workdir=all"], "test", "no clip of speaker 'a' has 128 frames with a face"),
        (["--workdir=all"], "validation", "speaker 'a' has 1 held-out clips and 1 others"),
        (["--workdir=all", "--clips=a-1"], "train", "speaker 'bb' has 0 held-out clips"),
        (["--workdir=all", "--clips=d-*"], "train", "no clip matches 'd-*'"),
        (["--workdir=all", "--span=0.5,1"], "train", "no held-out stretch (span 0.5,1) of speaker"),
        (["--workdir=all", "--workdir=a"], "train", "each needs its speaker: --workdir SPEAKER"),
        (["--workdir=a=a", "--workdir=a=a"], "train", "--workdir a=... is given twice"),
        (["--workdir=bob=a", "--workdir=a=a"], "train", "speaker 'bob' is unknown to the run in"),
        (["--workdir=a=a", "--workdir=bb=slow"], "train", "have 20, 25 frames a second"),
        (["--workdir=frames"], "train", "--workdir is one of headgan"),
        (["--workdir=all", "--epochs=0"], "train", "--epochs is 0; due: 1 or more"),
    ],
)
def test_wrong_input_is_one_line(command, capsys, arguments, split, message):
    assert command(*arguments, split=split) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error and error.startswith("facejax: error:")


def test_another_face_model_is_refused(folder, table):
    run = run_of(folder, table)
    model = run.system.frozen["morphable"]
    run.system.frozen["morphable"] = model._replace(mean=model.mean + 1)
    with pytest.raises(InputError, match="another face model"):
        judged([("", run)], folder)
