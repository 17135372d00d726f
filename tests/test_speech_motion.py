import dataclasses
import json

import chex
import jax
import numpy as np
import pytest
from scipy.signal import savgol_filter

from facejax import (
    cli,
    evaluate,
    preparation,
    rollout,
    runs,
    sequences_judge,
    settings,
    speech_motion,
    train,
)
from facejax.audio import windows
from facejax.checkpoints import Checkpoints
from facejax.data import pipeline, sequences
from facejax.errors import InputError
from facejax.workload import Choice
from tests import fake_talks

HELD = ["eval.split=train", "eval.span=0.7,1", "data.span=0,0.7"]


def config(path, *overrides, preset="smoke"):
    arguments = [f"--config.{one}" for one in (f"data.path={path}", *overrides)]
    return settings.load_config(f"configs/facial.py:{preset}", arguments)


@pytest.fixture(scope="module", autouse=True)
def quick_compilation():
    """Half the compile time; the results differ by rounding."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    clips = [fake_talks.clip("a", "ann", 60, seed=1), fake_talks.clip("b", "bob", 60, seed=2)]
    strangers = [fake_talks.clip("z", "zoe", 40, seed=3)]
    path = tmp_path_factory.mktemp("talks")
    return fake_talks.folder(path, {"train": clips, "validation": strangers})


def untrained(path, chosen):
    """Writes the workdir of a run with random weights, as if four steps had been made."""
    setup = preparation.set_up(chosen, path)
    store, rng = Checkpoints(path / runs.CHECKPOINTS), np.random.default_rng(0)
    state = jax.device_get(preparation.first_state(chosen, setup, store))
    fill = lambda leaf: rng.normal(0.2, 0.3, leaf.shape).astype(leaf.dtype)
    params = jax.tree.map(fill, state.params)
    store.save(4, dataclasses.replace(state, step=np.int32(4), params=params, ema=params["gen"]))
    store.close()
    return path


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, folder):
    return untrained(tmp_path_factory.mktemp("run"), config(folder, *HELD))


@pytest.fixture(scope="module")
def run(workdir):
    return runs.load(workdir)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """A run on one of FACIAL's files: one speaker, no face model."""
    path = tmp_path_factory.mktemp("facial")
    np.savez(path / "obama.npz", **fake_talks.facial_arrays(frames=60))
    chosen = config(path / "obama.npz", *HELD, "data.speech=deepspeech")
    return runs.load(untrained(path / "w", chosen)), path


def speech_of(frames, seed=0):
    return np.random.default_rng(seed).normal(size=(frames, 29)).astype(np.float32)


# The run.


@pytest.mark.slow
def test_a_run_keeps_its_speakers_and_reports_held_out_figures(folder, tmp_path):
    train.train(config(folder, *HELD, "model.lambda_adversarial=0"), tmp_path)
    with np.load(tmp_path / "speakers.npz") as kept:
        assert kept["ids"].tolist() == ["ann", "bob"] and kept["pose_mean"].shape == (2, 6)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    names = set().union(*rows)
    assert {"gen/expression_motion", "gen/state", "eval/model/mouth"} <= names
    assert {"eval/person_mean/mouth", "eval/nearest_neighbour/expression"} <= names
    assert (tmp_path / "samples" / "00000004.png").is_file()
    loaded = runs.load(tmp_path)
    assert loaded.step == 4 and speech_motion.rate(loaded) == 25


def test_the_command_evaluates_it(folder, workdir, tmp_path, capsys):
    arguments = ["--workdir", str(workdir), "--data", folder, "--split", "train"]
    out = tmp_path / "report.json"
    assert cli.main(["evaluate", *arguments, "--span", "0.7,1", "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["clip_count"] == 2 and report["frame_count"] == 36
    assert report["by_clip"].keys() == {"a", "b"} and out.with_suffix(".png").is_file()
    assert "person_mean: expression" in capsys.readouterr().out


def test_people_whom_the_run_does_not_know_cannot_be_judged(folder, run, tmp_path):
    with pytest.raises(InputError, match=r"speaker 'zoe' of .*validation, is not one of the run's"):
        evaluate.evaluate(run, Choice(folder, "validation"))
    with pytest.raises(InputError, match=r"eval.split=train and eval.span=0.8,1"):
        train.train(config(folder), tmp_path)


def test_other_speakers_in_the_same_workdir_are_refused(folder, workdir):
    with pytest.raises(
        InputError, match=r"gives other blink_mean, .*ids.* in .*speakers.npz; go on"
    ):
        train.train(config(folder, *HELD, "data.clips=a"), workdir)


# Another run's generator.


def first_state(path, chosen):
    setup = preparation.set_up(chosen, path)
    return jax.device_get(preparation.first_state(chosen, setup, Checkpoints(path / "checkpoints")))


def test_finetuning_begins_with_the_others_generator_and_nothing_else(
    folder, workdir, run, tmp_path
):
    chosen = config(folder, *HELD, "data.clips=b", "eval.clips=b", f"pretrained={workdir}")
    state = first_state(tmp_path, chosen)
    for gen in (state.params["gen"], state.ema):
        chex.assert_trees_all_equal(gen, jax.device_get(run.gen))
    chex.assert_trees_all_equal(state.stats["gen"], jax.device_get(run.stats["gen"]))
    counts = [leaf for leaf in jax.tree.leaves(state.opt) if leaf.dtype == np.int32]
    assert state.step == 0 and counts and not any(counts)
    old = Checkpoints(workdir / "checkpoints").restore(state)
    assert old.step == 4
    same = jax.tree.map(np.array_equal, old.params["dis"], state.params["dis"])
    assert not all(jax.tree.leaves(same))  # the discriminator is a new one
    with np.load(tmp_path / "speakers.npz") as kept:
        assert kept["ids"].tolist() == ["bob"]


def test_a_run_that_goes_on_does_not_begin_again(folder, workdir):
    chosen = config(folder, *HELD, "pretrained=nowhere")
    assert first_state(workdir, chosen).step == 4


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["pretrained=nowhere"], "pretrained is nowhere, which has no checkpoints/ in it"),
        (
            ["data.speech=mfcc"],
            r"hears speech 'mel', this one 'mfcc'; set --config.data.speech=mel",
        ),
        (["model.width=6"], "is of another model than the config"),
    ],
)
def test_a_run_that_does_not_fit_is_no_beginning(folder, workdir, tmp_path, overrides, message):
    with pytest.raises(InputError, match=message):
        first_state(tmp_path, config(folder, *HELD, f"pretrained={workdir}", *overrides))


def test_finetuning_without_a_general_run_is_refused(folder, tmp_path):
    small = [f"model.{name}={value}" for name, value in fake_talks.TINY.items()]
    small = [one.replace("(", "").replace(")", "").replace(" ", "") for one in small]
    small += ["data.batch=4", "data.frames=8"]
    with pytest.raises(InputError, match="pretrained is WORKDIR_OF_THE_GENERAL_RUN, which has no"):
        first_state(tmp_path, config(folder, *HELD, *small, preset="finetune"))


def test_the_presets_are_the_published_schedules():
    rows = {
        "paper": (64, 5, 50, 1e-4, 2.0),
        "finetune": (16, 5, 10, 1e-5, 2.0),
        "released": (64, 1, 50, 1e-4, 20.0),
        "released_finetune": (16, 1, 11, 1e-5, 20.0),
    }
    for preset, due in rows.items():
        c = config("x", preset=preset)
        found = (
            c.data.batch,
            c.data.step,
            c.train.epochs,
            c.optim.gen_lr,
            c.model.lambda_expression,
        )
        assert found == due and c.optim.dis_lr == c.optim.gen_lr
        assert (c.optim.b1, c.optim.schedule, c.optim.ema, c.data.frames) == (
            0.9,
            "constant",
            0,
            128,
        )
    with pytest.raises(InputError, match="no preset 'no'"):
        config("x", preset="no")


@pytest.mark.parametrize("kind", ["clips", "published"])
def test_the_small_configs_hold_the_last_fifth_out(kind):
    c = settings.load_config(f"configs/facial_small.py:{kind}")
    assert (c.data.span, c.eval.span, c.eval.split) == ((0.0, 0.8), (0.8, 1.0), "train")
    assert c.model.lambda_adversarial == 0 and settings.model_config(c).width <= 64


def test_the_small_configs_of_people_hold_their_last_clips_out():
    everyone = settings.load_config("configs/facial_small.py:people")
    one = settings.load_config("configs/facial_small.py:own=train-0003")
    ids = [f"train-{person:04d}-{k:02d}" for person in (0, 3) for k in range(30)]
    for c, known in ((everyone, ids), (one, ids[30:])):
        trained, held = (
            [ids[k] for k in pipeline.select(ids, section.clips)] for section in (c.data, c.eval)
        )
        assert sorted(trained + held) == known and not set(trained) & set(held)
        assert [name[-2:] for name in held[-6:]] == ["24", "25", "26", "27", "28", "29"]
        assert c.data.span == c.eval.span == (0.0, 1.0)
    assert one.optim.gen_lr == pytest.approx(everyone.optim.gen_lr / 10) and one.pretrained
    for kind in ("own", "own=", "people=x", "no"):
        with pytest.raises(InputError, match="own=PERSON"):
            settings.load_config(f"configs/facial_small.py:{kind}")


# Motions.


@pytest.mark.parametrize("frames", [1, 3, 8, 100])
def test_a_motion_is_the_nets_output_in_the_speakers_own_way(run, frames):
    speech = speech_of(frames)
    motion = speech_motion.speech_to_motion(run, speech, speaker="bob", smoothing="none")
    raw = speech_motion.raw_attributes(run, speech)
    table = run.system.frozen["speakers"]
    assert frames == 1 or np.ptp(raw, axis=0).all()  # every number moves
    due = raw[:, :6] * np.asarray(table["pose_std"])[1] + np.asarray(table["pose_mean"])[1]
    assert motion.pose.shape == (frames, 6) and motion.fps == 25
    np.testing.assert_allclose(motion.pose, due, rtol=1e-4)
    np.testing.assert_array_equal(motion.expression, raw[:, 7:])
    np.testing.assert_array_equal(motion.blink, np.clip(raw[:, 6], 0, 5))
    np.testing.assert_array_equal(motion.identity, np.asarray(table["identity"])[1])


def test_the_first_window_is_one_call_of_the_net(run):
    speech, rng = speech_of(8), np.random.default_rng(1)
    state = rng.normal(size=10).astype(np.float32)
    inputs = {"speech": sequences.padded(speech)[np.arange(8)[:, None] + np.arange(16)][None]}
    due = run.generate(inputs | {"state": state[None]})["attributes"][0]
    found = speech_motion.raw_attributes(run, speech, state=state)
    np.testing.assert_allclose(found, due, atol=1e-5)


def test_long_speech_goes_on_from_window_to_window(run):
    speech = speech_of(20)
    found = speech_motion.raw_attributes(run, speech)
    rows, state = sequences.padded(speech), np.zeros(10, np.float32)
    due = np.zeros((20, 10), np.float32)
    for start in (0, 7, 12):
        state = due[start] if start else state
        near = rows[start + np.arange(8)[:, None] + np.arange(16)]
        inputs = {"speech": near[None], "state": state[None]}
        due[start : start + 8] = run.generate(inputs)["attributes"][0]
    np.testing.assert_allclose(found, due, atol=1e-5)


def test_a_tenth_of_a_second_and_an_hour_are_the_same_program(run):
    rollout.make_roll.cache_clear()
    speech_motion.raw_attributes(run, speech_of(2))
    roll = rollout.make_roll(run.system.generate, 8)
    for frames in (3, 700):
        assert len(speech_motion.raw_attributes(run, speech_of(frames))) == frames
    assert roll._cache_size() == 1


def test_sound_is_heard_as_in_training(run):
    wave = np.random.default_rng(0).uniform(-0.3, 0.3, 1600).astype(np.float32)  # 0.1 s
    rows = speech_motion.hear(run, wave)
    assert rows.shape == (2, 29)  # 2.5 frames at 25 a second
    motion = speech_motion.speech_to_motion(run, rows, speaker="ann")
    assert motion.pose.shape == (2, 6) and np.isfinite(motion.pose).all()
    with pytest.raises(InputError, match=r"the sound lasts 0.010 s, less than half a frame"):
        speech_motion.hear(run, wave[:160])


def test_features_may_come_from_a_file(run, tmp_path):
    rows = speech_of(12)
    np.save(tmp_path / "rows.npy", rows)
    np.savez(tmp_path / "windows.npz", x=windows.windows(rows))
    for name in ("rows.npy", "windows.npz"):
        np.testing.assert_array_equal(speech_motion.hear(run, tmp_path / name), rows)
    np.save(tmp_path / "narrow.npy", rows[:, :26])
    with pytest.raises(InputError, match=r"narrow.npy has features of shape \(12, 26\); due: "):
        speech_motion.hear(run, tmp_path / "narrow.npy")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speaker": None}, "the run knows 2 speakers; choose one of: ann, bob"),
        ({"speaker": "zoe"}, "speaker 'zoe' is unknown to the run; it knows: ann, bob"),
        ({"speech": np.zeros((5, 28))}, r"speech is \[5, 28\]; due: \[T, 29\], features of mel"),
        ({"speech": np.zeros((5, 16, 29))}, r"speech is \[5, 16, 29\]"),
        ({"speech": np.zeros((0, 29))}, r"speech is \[0, 29\]"),
        ({"speech": np.full((5, 29), np.nan)}, "speech has numbers that are not finite"),
        ({"fps": 30.0}, "speech has 30 rows a second, the run 25 frames"),
        ({"state": np.zeros(71)}, r"state is \[71\]; due: \[10\]"),
        ({"smoothing": "much"}, "smoothing is 'much'; due: paper, released, none"),
    ],
)
def test_what_cannot_be_spoken_is_one_line(run, options, message):
    arguments = {"speech": speech_of(5), "speaker": "ann"} | options
    with pytest.raises(InputError, match=message) as caught:
        speech_motion.speech_to_motion(run, arguments.pop("speech"), **arguments)
    assert "\n" not in str(caught.value)


def test_a_run_without_face_model_has_one_speaker_and_its_own_units(single):
    run, path = single
    assert "morphable" not in run.system.frozen and not (path / "w" / "model.npz").exists()
    motion = speech_motion.speech_to_motion(run, speech_of(10))
    assert motion.expression.shape == (10, 64) and motion.identity.shape == (0,)
    assert motion.fps == 30
    report = evaluate.evaluate(run, Choice(str(path / "obama.npz"), "train", (0.7, 1.0))).report
    assert "mouth" not in report["model"] and report["model"]["expression"] > 0
    with pytest.raises(InputError, match=r"no weights; give the path of output_graph\.pb"):
        speech_motion.hear(run, np.zeros(16000, np.float32))


def test_data_of_another_face_model_cannot_be_judged(single, folder):
    run = single[0]
    data = sequences.Config(path=folder, frames=8)
    with pytest.raises(InputError, match="expressions of 3 numbers, those of the run have 64"):
        sequences_judge.judge(data, Choice(folder, "train"), run.system)


# Smoothing.


def test_the_papers_smoothing_is_symmetric_and_leaves_blinks_alone(run):
    speech = speech_of(40)
    speak = lambda how: speech_motion.speech_to_motion(run, speech, speaker="ann", smoothing=how)
    plain, smooth = speak("none"), speak("paper")
    np.testing.assert_array_equal(smooth.blink, plain.blink)
    np.testing.assert_allclose(
        smooth.expression, savgol_filter(plain.expression, 7, 3, axis=0), atol=1e-5
    )
    polished = savgol_filter(np.asarray(plain.pose, np.float64), 7, 3, axis=0)
    edges = np.pad(polished, ((2, 2), (0, 0)), mode="edge")
    gauss = np.exp(-np.square(np.arange(-2, 3)) / 2)
    due = sum(w * edges[k : k + 40] for k, w in enumerate(gauss / gauss.sum()))
    np.testing.assert_allclose(smooth.pose, due, rtol=1e-3, atol=1e-4)


def test_the_published_kernel_leads_and_the_papers_does_not():
    ramp = np.arange(20.0)[:, None]
    for name, lead in (("paper", 0.0), ("released", 0.871)):
        moved = speech_motion.blurred(ramp, speech_motion.KERNELS[name], ends=False)
        np.testing.assert_allclose((moved - ramp)[2:-2], lead, atol=2e-3)
        np.testing.assert_array_equal(moved[[0, 1, -2, -1]], ramp[[0, 1, -2, -1]])


@pytest.mark.parametrize("frames", [1, 2, 3, 6, 7])
def test_few_frames_are_smoothed_without_loss(run, frames):
    for how in ("paper", "released"):
        motion = speech_motion.speech_to_motion(
            run, speech_of(frames), speaker="ann", smoothing=how
        )
        assert motion.pose.shape == (frames, 6) and np.isfinite(motion.pose).all()
