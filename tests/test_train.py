import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

import chex
import jax
import numpy as np
import pytest

from facejax import checkpoints, cli, reporting, runs, settings, train
from facejax.errors import InputError
from tests import toy
from tests.data import fake

toy.register()
ROOT = pathlib.Path(__file__).parent.parent
CONFIG = """
from facejax.settings import default_config

def get_config(noise="0"):
    c = default_config("toy")
    c.model.noise = float(noise)
    c.data.update(size=8, batch=4, part_frames=6, windows=(2,), audio="null")
    c.train.update(steps=10, log_every=5, eval_every=0, checkpoint_every=3, sample_every=0)
    c.optim.ema = 0.9
    return c.lock()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(fake.folder(tmp_path_factory.mktemp("clips"), (12, 9, 14, 12)))


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "toy.py"
    path.write_text(CONFIG)
    return str(path)


def config(config_file, folder, **changes):
    overrides = [f"--config.{name.replace('__', '.')}={value}" for name, value in changes.items()]
    return settings.load_config(config_file, [f"--config.data.path={folder}", *overrides])


def process(config_file, folder, workdir, **environment):
    command = [sys.executable, "-m", "tests.toy_main", "train", "--config", f"{config_file}:1"]
    command += ["--workdir", str(workdir), f"--config.data.path={folder}"]
    return subprocess.run(
        command, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, timeout=200
    )


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_everything_that_it_should(config_file, folder, tmp_path):
    chosen = config(
        config_file, folder, train__sample_every=10, train__eval_every=5,
        eval__split="test", eval__most_frames=3, train__keep=1,
    )  # fmt: skip
    state = train.train(chosen, tmp_path / "a" / "w")
    found = {path.name for path in (tmp_path / "a" / "w").iterdir()}
    assert {"config.json", "model.npz", "params.txt", "metrics.jsonl", "DONE"} <= found
    assert any(name.startswith("events.out") for name in found)
    assert [p.name for p in (tmp_path / "a" / "w" / "samples").iterdir()] == ["00000010.png"]
    rows = lines(tmp_path / "a" / "w")
    names = set().union(*rows)
    assert {"gen/l1", "dis/hinge", "steps_per_second", "compile_seconds"} <= names
    assert {"eval/model/psnr", "eval/copy_reference/l1", "eval/warped/psnr"} <= names
    assert state.step == 10 and rows[-1]["step"] == 10
    # What the toy shows as warped is the reference itself.
    assert rows[-1]["eval/warped/l1"] == rows[-1]["eval/copy_reference/l1"]


def test_a_killed_run_goes_on_to_the_same_bits(config_file, folder, tmp_path):
    killed = process(config_file, folder, tmp_path / "parts", TOY_KILL_AT="8")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "parts" / "DONE").exists()
    chosen = config(f"{config_file}:1", folder)
    before = checkpoints.Checkpoints(tmp_path / "parts" / "checkpoints").latest()
    assert before in (3, 6)  # the second was being written
    resumed = train.train(chosen, tmp_path / "parts")
    whole = train.train(chosen, tmp_path / "whole")
    chex.assert_trees_all_equal(jax.device_get(resumed), jax.device_get(whole))
    losses = [
        {row["step"]: row["gen/l1"] for row in lines(tmp_path / name) if "gen/l1" in row}
        for name in ("whole", "parts")
    ]
    assert set(losses[0]) == {3, 5, 6, 9, 10} and losses[0][10] == losses[1][10]


def test_a_terminated_run_saves_and_says_so_by_its_status(
    capsys, config_file, folder, tmp_path, monkeypatch
):
    steps = iter(range(1, 100))
    add = reporting.Terms.add

    def terminate_at_four(self, terms):
        if next(steps) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        add(self, terms)

    monkeypatch.setattr(reporting.Terms, "add", terminate_at_four)
    arguments = ["--config", config_file, "--workdir", tmp_path, f"--config.data.path={folder}"]
    status, error = command(capsys, *arguments)
    assert status == checkpoints.PREEMPTED and "stopped at step 4 of 10" in error
    assert checkpoints.Checkpoints(tmp_path / "checkpoints").latest() == 4
    assert not (tmp_path / "DONE").exists()
    assert command(capsys, *arguments)[0] == 0 and (tmp_path / "DONE").exists()


@pytest.mark.slow
def test_two_processes_stop_at_one_step_when_one_is_told_to(config_file, folder, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "tests.toy_main", "train", "--config", config_file]
    command += ["--workdir", str(tmp_path), f"--config.data.path={folder}"]
    command += ["--config.train.steps=1000000", "--config.train.checkpoint_every=0"]
    one = {"XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
    jobs = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | one | {"COORDINATOR": address, "NPROC": "2", "PROC_ID": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for line in jobs[0].stderr:
        if line.startswith("step 20 "):
            break
    jobs[1].send_signal(signal.SIGTERM)
    errors = [job.communicate(timeout=100)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [checkpoints.PREEMPTED] * 2, errors
    assert len(checkpoints.Checkpoints(tmp_path / "checkpoints").steps()) == 1


def test_a_complete_run_is_left_alone(config_file, folder, tmp_path):
    chosen = config(config_file, folder, train__steps=2)
    first = train.train(chosen, tmp_path)
    before = (tmp_path / "metrics.jsonl").read_text()
    chex.assert_trees_all_equal(first, train.train(chosen, tmp_path))
    assert (tmp_path / "metrics.jsonl").read_text() == before


def test_a_run_can_start_from_another(config_file, folder, tmp_path):
    train.train(config(config_file, folder, train__steps=2), tmp_path / "one")
    longer = config(config_file, folder, train__steps=3, resume=tmp_path / "one")
    assert train.train(longer, tmp_path / "two").step == 3
    assert checkpoints.Checkpoints(tmp_path / "two" / "checkpoints").steps() == [3]
    with pytest.raises(InputError, match="resume is"):
        other = config(config_file, folder, resume=tmp_path / "nowhere")
        train.train(other, tmp_path / "three")


def test_a_loss_that_is_not_finite_stops_the_run_by_name(config_file, folder, tmp_path):
    chosen = config(config_file, folder, model__poison=7)
    with pytest.raises(InputError) as caught:
        train.train(chosen, tmp_path)
    message = str(caught.value)
    assert message.startswith("gen/l1 is inf at step 8") and "step 6 is kept" in message
    assert "\n" not in message
    assert checkpoints.Checkpoints(tmp_path / "checkpoints").latest() == 6
    assert not (tmp_path / "DONE").exists()


def test_a_trained_run_generates_what_its_state_does(config_file, folder, tmp_path):
    state = train.train(config(config_file, folder, train__steps=2), tmp_path)
    run = runs.load(tmp_path)
    chex.assert_trees_all_equal(jax.device_get(run.gen), jax.device_get(state.ema))
    assert run.step == 2
    image = run.generate(toy.batch(2, 8))["image"]
    assert image.shape == (2, 8, 8, 3) and np.isfinite(image).all()


def test_another_face_model_is_refused(config_file, folder, tmp_path):
    train.train(config(config_file, folder, train__steps=1), tmp_path / "w")
    other = fake.folder(tmp_path / "other", (12, 9))
    arrays = fake.model_arrays()
    np.savez(other / "model.npz", **arrays | {"mean": arrays["mean"] + 1})
    with pytest.raises(InputError, match="another face model"):
        train.train(config(config_file, other), tmp_path / "w")


def command(capsys, *arguments):
    status = cli.main(["train", *map(str, arguments)])
    error = capsys.readouterr().err.strip().splitlines()
    return status, error[-1] if error else ""


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--config.train.stesp=3", "train.stesp is unknown; did you mean train.steps?"),
        ("--config.steps=3", "steps is unknown; did you mean train.steps?"),
        ("--config.train.steps=many", "train.steps=many"),
        ("--config.preset=released", "chosen with the config file"),
        ("--frobnicate", "unknown argument --frobnicate"),
        ("--config.data.batch=3", "batch of 3 does not divide among 4 devices"),
        ("--config.data.path=nowhere", "data folder nowhere does not exist"),
        ("--config.data.path=", "data.path is empty"),
        ("--config.train.log_every=0", "train.log_every is 0; due: 1 or more"),
        ("--config.optim.ema=1.0", "optim.ema is 1.0"),
        ("--config.eval.split=nothing", "no split 'nothing'"),
    ],
)
def test_a_wrong_key_or_value_is_one_line(capsys, config_file, folder, tmp_path, override, message):
    arguments = ["--config", config_file, "--workdir", tmp_path / "w"]
    status, error = command(capsys, *arguments, f"--config.data.path={folder}", override)
    assert status == 2 and error.startswith("facejax: error:") and message in error


def test_a_wrong_config_file_is_one_line(capsys, tmp_path):
    status, error = command(capsys, "--config", tmp_path / "no.py", "--workdir", tmp_path)
    assert status == 2 and "no config file" in error
    broken = tmp_path / "broken.py"
    broken.write_text("def get_config():\n    return 1 / 0\n")
    status, error = command(capsys, "--config", broken, "--workdir", tmp_path)
    assert status == 2 and "division by zero" in error
    broken.write_text("def get_config(:\n")
    status, error = command(capsys, "--config", broken, "--workdir", tmp_path)
    assert status == 2 and "broken.py" in error


def test_a_checkpoint_of_another_model_is_one_line(capsys, config_file, folder, tmp_path):
    arguments = ["--config", config_file, "--workdir", tmp_path, f"--config.data.path={folder}"]
    assert command(capsys, *arguments, "--config.train.steps=1")[0] == 0
    status, error = command(capsys, *arguments, "--config.model.width=5")
    assert status == 2 and "of another model" in error and "ema.in is float32 [3, 4]" in error


def test_a_workdir_that_cannot_be_made_is_one_line(capsys, config_file, folder, tmp_path):
    (tmp_path / "file").write_text("x")
    arguments = ["--config", config_file, f"--config.data.path={folder}"]
    status, error = command(capsys, *arguments, "--workdir", tmp_path / "file" / "w")
    assert status == 2 and "cannot make the workdir" in error
