"""Talking, by a run that turns what it hears into pose and expression: no training."""

import wave

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax import cli, motion_files, runs, settings, speakers, talk_sheet, video
from facejax.animation import Options, edited
from facejax.data import records, sequences
from facejax.errors import InputError
from facejax.system import System
from facejax.talking import Talker, Voice
from tests import fake_runs, fake_talks

SIZE = 32
RATE = 25


def nod(gen, stats, frozen, inputs):
    """Pitch follows the frame's loudness; the rest of the face is at rest."""
    loud = inputs["speech"][0, :, 8].mean(-1, keepdims=True)
    rest = jnp.zeros((len(loud), sequences.FACE + 2))
    return {"attributes": jnp.concatenate([loud, rest], 1)[None]}


@pytest.fixture(scope="module", autouse=True)
def quick_compilation():
    """Half the compile time; the results differ by rounding."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    path = fake_talks.folder(
        tmp_path_factory.mktemp("talks"), {"train": [fake_talks.clip(frames=60)]}
    )
    config = settings.default_config("facial", "paper")
    config.data.update(path=path, frames=16)
    table = speakers.measure(sequences.open_recordings(sequences.Config(path=path)))
    frozen = {
        "morphable": records.open_clips(path, "train").model,
        "speakers": {name: jnp.asarray(speakers.as_numbers(v)) for name, v in table.items()},
    }
    return runs.Run(config, System(None, None, None, nod, frozen), {}, {"gen": {}}, 7, None)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """2 s, louder and louder."""
    path = tmp_path_factory.mktemp("sound") / "speech.wav"
    noise = np.random.default_rng(0).uniform(-1, 1, 32000) * np.linspace(0, 9000, 32000)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(noise.astype("<i2").tobytes())
    return path


@pytest.fixture
def animate(monkeypatch, speech, sound, tmp_path):
    monkeypatch.setattr(runs, "load", lambda path, step=None: speech)

    def call(*arguments, audio=sound):
        given = ["animate", "--audio", audio, "--workdir", "W", "--size", SIZE]
        return cli.main([str(x) for x in [*given, "--out", tmp_path / "out.mp4", *arguments]])

    return call


def motion_of(path, speech):
    return motion_files.load_motion(path, jax.device_get(speech.system.frozen["morphable"]))


def test_a_part_of_the_sound_is_said_as_within_the_whole(animate, speech, tmp_path):
    assert animate("--motion-out", tmp_path / "whole.npz") == 0
    assert video.probe(tmp_path / "out.mp4").frames == 2 * RATE
    assert animate("--start", 0.8, "--end", 1.6, "--motion-out", tmp_path / "part.npz") == 0
    assert video.probe(tmp_path / "out.mp4").frames == 20
    whole, part = (motion_of(tmp_path / f"{name}.npz", speech) for name in ("whole", "part"))
    inside = slice(4, -4)  # the smoothing's ends
    np.testing.assert_allclose(part.pose[inside], whole.pose[20:40][inside], atol=1e-4)
    heard = video.read_audio(tmp_path / "out.mp4", 16000, 0, 0.8)
    assert len(heard) > 10000 and np.abs(heard[:2000]).mean() > 0.05, "not the silent beginning"


def test_the_sheet_shows_moments_and_their_mouths(animate, tmp_path, capsys):
    assert animate("--sheet", tmp_path / "sheet.png") == 0
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[1] > talk_sheet.SHOWN * talk_sheet.SIDE
    assert 2 * talk_sheet.SIDE < sheet.shape[0] < 3 * talk_sheet.SIDE


def test_a_watch_keeps_evenly_spaced_pictures_and_lets_all_pass():
    watch = talk_sheet.Watch(40)
    assert list(watch.through(iter(range(40)))) == list(range(40))
    assert list(watch.kept) == [2, 7, 12, 17, 22, 27, 32, 37]
    short = talk_sheet.Watch(3)
    assert list(short.through(iter("abc"))) == list("abc") and list(short.kept) == [0, 1, 2]


def test_features_from_a_file_are_said_silently(animate, tmp_path):
    np.save(tmp_path / "rows.npy", np.zeros((30, 29), np.float32))
    assert animate(audio=tmp_path / "rows.npy") == 0
    made = video.probe(tmp_path / "out.mp4")
    assert made.frames == 30 and not made.has_audio


def test_the_head_is_held_still_and_its_motion_scaled(speech, sound):
    driver = Talker(speech).driver(Voice(sound))
    moved, still, twice = (
        np.asarray(edited(driver.motion, Options(pose_scale=scale)).pose) for scale in (1, 0, 2)
    )
    assert np.ptp(moved[:, 0]) > 0.01 and np.ptp(still, axis=0).max() < 1e-4
    np.testing.assert_allclose(twice - still, 2 * (moved - still), atol=1e-4)


def test_headgan_moves_the_reference_by_what_is_said(speech, sound, tmp_path):
    model = jax.device_get(speech.system.frozen["morphable"])
    renderer, calls = fake_runs.stub_run(model, SIZE)
    talker = Talker(speech, renderer)
    assert talker.draws == "headgan"
    face = f"{speech.config.data.path}:a:3"
    options = Options(sheet=tmp_path / "sheet.png")
    made = talker.talk(sound, tmp_path / "out.mp4", reference=face, options=options)
    assert made.frames == 2 * RATE and made.sound and options.sheet.exists()
    pose = np.concatenate([one["driving_motion"]["pose"][:, -1] for one in calls])[: made.frames]
    due = np.asarray(talker.driver(Voice(sound)).motion.pose)
    np.testing.assert_allclose(pose[:, :3], due[:, :3], atol=1e-5)  # the angles are what is said
    with pytest.raises(InputError, match="--reference is missing; headgan needs the face"):
        talker.talk(sound, tmp_path / "out.mp4")


def test_pose_and_blinks_are_borrowed_of_a_motion_file(speech, sound, tmp_path):
    rng = np.random.default_rng(4)
    model = jax.device_get(speech.system.frozen["morphable"])
    other = (
        Talker(speech)
        .driver(Voice(sound))
        .motion._replace(
            pose=rng.normal(0, 0.2, (50, 6)).astype(np.float32),
            blink=rng.uniform(0, 5, 50).astype(np.float32),
        )
    )
    motion_files.save_motion(tmp_path / "m.npz", other, model)
    plain = Talker(speech).driver(Voice(sound)).motion
    for name, left in (("pose", "blink"), ("blink", "pose")):
        options = Options(**{f"{name}_from": tmp_path / "m.npz"})
        found = Talker(speech).driver(Voice(sound), options).motion
        np.testing.assert_allclose(getattr(found, name), getattr(other, name), rtol=1e-6)
        np.testing.assert_array_equal(getattr(found, left), getattr(plain, left))


def test_the_seed_chooses_the_first_pose(speech, sound):
    before = []
    begin = lambda gen, stats, frozen, inputs: {
        "attributes": jnp.broadcast_to(inputs["state"][:, None], (1, 16, sequences.FACE + 3))
    }
    told = speech._replace(system=speech.system._replace(generate=begin))
    for seed in (None, 1, 1, 2):
        driver = Talker(told).driver(Voice(sound, seed=seed))
        before.append(np.asarray(driver.motion.pose[0]))
    mean = np.asarray(speech.system.frozen["speakers"]["pose_mean"])[0]
    np.testing.assert_allclose(before[0], mean, rtol=1e-4)  # at rest
    np.testing.assert_array_equal(before[1], before[2])
    assert np.abs(before[1] - before[3]).max() > 0.01


def test_rendering_to_video_of_another_person_is_told(speech, caplog):
    talker = Talker(speech)
    for ids, due in ((["ann", "zoe"], "ann"), (["zoe"], None)):
        looks = {"ids": speakers.as_numbers(np.array(ids))}
        system = speech.system._replace(frozen={"appearance": looks})
        talker.renderer = speech._replace(system=system)
        assert talker._shown(None) == talker._shown("ann") == due
        assert ("does not know ann: it shows zoe" in caplog.text) == (due is None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--start", "5"], "lasts 2.00 s: nothing from 5.0 s to its end"),
        (["--start", "1", "--end", "0.5"], "nothing from 1.0 s to 0.5 s"),
        (["--sheet", "sheet.txt"], "--sheet is sheet.txt; due: an image"),
        (["--sheet", "no/such/sheet.png"], "no folder"),
        (["--sheet", "s.png", "--paste-back"], "exclude each other"),
        (["--speaker", "bob"], "speaker 'bob' is unknown to the run; it knows: ann"),
        (["--renderer", "headgan"], "--renderer headgan needs the run that draws"),
        (["--size", "4"], "--size is 4"),
        (["--system", "posegan"], "--system is posegan, but the run given is one of facial"),
    ],
)
def test_wrong_input_is_one_line(animate, capsys, tmp_path, arguments, message):
    assert animate(*arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error and error.startswith("facejax: error:")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(30, 28), (30, 16, 28), (0, 29), (29,)])
def test_features_of_another_shape_are_named(animate, capsys, tmp_path, shape):
    np.save(tmp_path / "rows.npy", np.zeros(shape, np.float32))
    assert animate(audio=tmp_path / "rows.npy") == 2
    assert "rows.npy" in capsys.readouterr().err and not (tmp_path / "out.mp4").exists()
