"""facejax animate --system posegan: sound in, a talking 3-D head, its mesh and its plot out."""

import json
import struct
import wave

import cv2
import jax
import numpy as np
import pytest

from facejax import animate, cli, motion_files, speakers, talk_command, talking, video
from facejax.animation import Options
from facejax.errors import InputError
from tests import fake_pose_runs as fakes

SECONDS = 0.4  # 10 frames
INITIAL = "5,-10,3,4,-6,700"


@pytest.fixture(scope="module", autouse=True)
def quick_compilation():
    """Half the compile time; the results differ by rounding."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a sound, and untrained runs in pose/, face/ and other/."""
    path = tmp_path_factory.mktemp("talk")
    (path / "data").mkdir()
    folder = fakes.folder(path / "data")
    fakes.load(path / "pose", folder, "posegan")
    fakes.load(path / "face", folder, "pgface")
    samples = np.random.default_rng(0).integers(-9000, 9000, round(SECONDS * 16000))
    with wave.open(str(path / "speech.wav"), "wb") as file:
        file.setparams((1, 2, 16000, len(samples), "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def arguments(place, out, *more, face=True):
    given = ["--system", "posegan", "--audio", str(place / "speech.wav"), "--speaker", "bob"]
    given += ["--workdir", str(place / "pose"), "--out", str(out), "--size", "16"]
    return ["animate", *given, *(["--face-workdir", str(place / "face")] if face else []), *more]


@pytest.fixture(scope="module")
def made(place, tmp_path_factory):
    """A folder with all that one command makes."""
    out = tmp_path_factory.mktemp("out")
    names = {"--mesh": "talk.glb", "--plot": "pose.png", "--motion-out": "motion.npz"}
    more = [text for flag, name in names.items() for text in (flag, str(out / name))]
    initial = ["--initial-pose", INITIAL]
    assert cli.main(arguments(place, out / "talk.mp4", *initial, *more)) == 0
    return out


def test_one_command_makes_the_video_the_mesh_the_plot_and_the_motion(place, made):
    frames = list(video.read_frames(made / "talk.mp4"))
    assert len(frames) == 10 and frames[0][1].shape == (16, 16, 3)
    assert video.has_audio(made / "talk.mp4")
    assert cv2.imread(str(made / "pose.png")).shape[1] > 900
    talker = talking.Talker.load(place / "pose", face=place / "face")
    motion = motion_files.load_motion(made / "motion.npz", talker.model)
    assert motion.pose.shape == (10, 6) and np.ptp(motion.expression, axis=0).any()
    data = (made / "talk.glb").read_bytes()
    document = json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])
    animation = document["animations"][0]
    assert animation["extras"] == {"fps": 25.0, "sound": "speech.wav"}
    times = document["accessors"][animation["samplers"][0]["input"]]
    assert times["count"] == 10 and times["max"] == pytest.approx([float(frames[-1][0])])


def test_the_initial_pose_is_given_in_degrees_and_millimetres(place):
    talker = talking.Talker.load(place / "pose", face=place / "face")
    table = jax.device_get(talker.speech.system.frozen["speakers"])
    voice = talking.Voice("", "bob", initial=talk_command.read_pose(INITIAL))
    state = talking._first_state(talker.speech, voice)
    pose = speakers.denormalised(state[:6], table, 1)
    np.testing.assert_allclose(pose, [*np.deg2rad([5, -10, 3]), 4, -6, 700], rtol=1e-4)
    assert not state[6:].any()


def test_seeds_and_initial_poses_make_other_motions(place):
    talker = talking.Talker.load(place / "pose", face=place / "face")

    def pose(**options):
        voice = talking.Voice(place / "speech.wav", "bob", **options)
        return talker.driver(voice).motion.pose

    rest = pose()
    for options in ({"seed": 1}, {"seed": 2}, {"initial": talk_command.read_pose(INITIAL)}):
        assert np.any(pose(**options) != rest)
    np.testing.assert_array_equal(pose(seed=1), pose(seed=1))


def test_without_a_face_run_the_head_moves_and_the_face_stays(place, tmp_path, capsys):
    assert (
        cli.main(arguments(place, tmp_path / "a.mp4", "--mesh", str(tmp_path / "a"), face=False))
        == 0
    )
    assert "the head moves, the face stays at its mean" in capsys.readouterr().err
    assert len(list((tmp_path / "a").glob("*.obj"))) == 10


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--initial-pose", "5,-10,3"], "--initial-pose is '5,-10,3'; due: PITCH,YAW,ROLL,X,Y,Z"),
        (["--initial-pose", "a,b,c,d,e,f"], "--initial-pose is 'a,b,c,d,e,f'; due"),
        (["--initial-pose", "0,0,0,0,0,-5"], "z, the distance, is above 0"),
        (["--initial-pose", "nan,0,0,0,0,900"], "--initial-pose is 'nan,0,0,0,0,900'"),
        (["--mesh", "talk.fbx"], "--mesh is talk.fbx; due: a name ending in .glb"),
        (["--plot", "pose.txt"], "--plot is pose.txt; due: an image, as plot.png"),
        (["--plot", "nowhere/pose.png"], "no folder"),
        (["--speaker", "zoe"], "speaker 'zoe' is unknown to the run; it knows: ann, bob"),
        (["--system", "facial"], "--system is facial, but the run given is one of posegan"),
    ],
)
def test_wrong_input_is_one_line(place, tmp_path, capsys, more, message):
    assert cli.main(arguments(place, tmp_path / "a.mp4", *more)) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert message in error and not list(tmp_path.iterdir())


def test_runs_in_each_others_places_are_refused(place):
    with pytest.raises(
        InputError, match="--workdir is one of pgface; due: one of speech to motion"
    ):
        talking.Talker.load(place / "face")
    with pytest.raises(InputError, match="--face-workdir is one of posegan; due: one of pgface"):
        talking.Talker.load(place / "pose", face=place / "pose")


def test_what_belongs_to_speech_is_refused_beside_a_driver(tmp_path, capsys):
    given = ["--reference", "a.png", "--driving", "b.mp4", "--workdir", "w", "--out", "o.mp4"]
    for flag, value in (("--mesh", "a.glb"), ("--plot", "a.png"), ("--initial-pose", INITIAL)):
        assert cli.main(["animate", *given, flag, value]) == 2
        assert f"{flag} goes with --audio alone" in capsys.readouterr().err
    assert Options().mesh is None and animate.Options is Options
