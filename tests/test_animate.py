from fractions import Fraction

import numpy as np
import pytest

from facejax import animation, crops, files, motion, video
from facejax import animator as animators
from facejax.animate import Animator
from facejax.data import records, shards
from facejax.drivers import Reference
from facejax.errors import InputError
from facejax.morphable_files import save_model
from tests.fake_faces import FakeMesh, face_of, make_model, make_motion, points_of, write_video
from tests.fake_runs import make_workdir, stub_run

SIZE = (240, 320)
FRAMES = 23
SIDE = 32
BASE = Fraction(1, 15360)


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def driving():
    return make_motion(FRAMES, seed=1)


@pytest.fixture(scope="module")
def points(model, driving):
    return points_of(model, driving, SIZE)


@pytest.fixture(scope="module")
def times():
    """Frame times of a variable rate, in s."""
    ticks = np.cumsum(np.random.default_rng(0).integers(400, 900, FRAMES))
    return [int(tick - ticks[0]) * BASE for tick in ticks]


@pytest.fixture(scope="module")
def tone():
    return 0.5 * np.sin(np.arange(16000) / 5).astype(np.float32), 16000


@pytest.fixture(scope="module")
def media(tmp_path_factory, times, tone):
    """A photo, a driver of a variable rate with sound, and the same without."""
    folder = tmp_path_factory.mktemp("media")
    image = np.full((*SIZE, 3), np.linspace(30, 200, SIZE[1])[:, None], np.uint8)
    files.write_image(folder / "photo.png", image)
    how = {"times": times, "time_base": BASE}
    write_video(folder / "loud.mp4", FRAMES, SIZE, audio=tone, **how)
    write_video(folder / "silent.mp4", FRAMES, SIZE, **how)
    return folder


@pytest.fixture(scope="module")
def face(model):
    return points_of(model, make_motion(3, seed=2), SIZE)[2]


@pytest.fixture
def animator(monkeypatch, model, points, face):
    """An animator that sees the photo's face first, then the driver's."""
    script = [[face_of(face)], *([face_of(one)] for one in points)]
    monkeypatch.setattr(animators, "FaceMesh", lambda: FakeMesh(script))
    run, calls = stub_run(model, SIDE)
    made = Animator(run, chunk=8)
    made.calls = calls
    return made


def colors(path):
    """Mean colour of every frame, [T, 3]."""
    return np.array([frame.mean(axis=(0, 1)) for _, frame in video.read_frames(path)])


def test_windows_reach_back_and_repeat_the_first_frame(driving):
    moved = motion.Motion(driving["identity"][0], driving["expression"], driving["pose"], None, 25)
    audio = np.arange(FRAMES * 2).reshape(FRAMES, 2)
    made = list(animation.chunks(moved, audio, 10, 3))
    assert [count for _, count in made] == [10, 10, 3]
    for first, (inputs, count) in zip((0, 10, 20), made, strict=True):
        assert inputs["audio"].shape == (10, 2)
        assert inputs["driving_motion"]["pose"].shape == (10, 3, 6)
        for row in range(count):
            t = first + row
            due = [max(t - 2, 0), max(t - 1, 0), t]
            got = inputs["driving_motion"]
            np.testing.assert_array_equal(got["pose"][row], driving["pose"][due])
            np.testing.assert_array_equal(got["expression"][row], driving["expression"][due])
            np.testing.assert_array_equal(got["identity"][row], driving["identity"][[0, 0, 0]])
            np.testing.assert_array_equal(inputs["audio"][row], audio[t])


def reference(expression=4, pose=(0.1, 0.2, 0.3, 5, -6, 1200)):
    identity, pose = np.arange(5, dtype=np.float32), np.array(pose, np.float32)
    zeros = np.zeros(expression, np.float32)
    return Reference(np.zeros((8, 8, 3), np.uint8), identity, zeros, pose, None, None, ("a", ""))


def moved(driving, adapt, **options):
    fields = driving["identity"][0], driving["expression"], driving["pose"]
    source = motion.Motion(*fields, np.zeros(FRAMES), np.float32(25))
    return animation.moved_motion(reference(), source, animation.Options(**options), adapt=adapt)


def test_the_identity_is_the_references_and_the_expression_the_drivers(driving):
    for adapt in (False, True):
        got = moved(driving, adapt)
        np.testing.assert_array_equal(got.identity, reference().identity)
        np.testing.assert_array_equal(got.expression, driving["expression"])
        np.testing.assert_allclose(got.pose[:, :3], driving["pose"][:, :3], atol=1e-6)


def test_adapted_the_face_stands_where_the_reference_stands(driving):
    got = moved(driving, True)
    np.testing.assert_allclose(got.pose[:, 3:5].mean(axis=0), [5, -6], atol=2)
    np.testing.assert_allclose(got.pose[:, 5].mean(), 1200, rtol=0.01)
    np.testing.assert_allclose(moved(driving, False).pose, driving["pose"], rtol=1e-6)


def test_edits_are_in_degrees_and_leave_the_rest_alone(driving):
    got = moved(driving, False, frontalize=True, yaw=30.0)
    np.testing.assert_allclose(np.degrees(got.pose[:, 1]), 30, rtol=1e-5)
    np.testing.assert_array_equal(got.pose[:, [0, 2]], 0)
    np.testing.assert_allclose(got.pose[:, 3:], driving["pose"][:, 3:])
    half = moved(driving, False, expression_scale=0.5)
    np.testing.assert_allclose(half.expression, driving["expression"] / 2)
    np.testing.assert_allclose(half.pose, driving["pose"], rtol=1e-6)


def test_the_output_has_the_drivers_times_and_sound(animator, media, tmp_path, times, tone):
    made = animator.animate(media / "photo.png", media / "loud.mp4", tmp_path / "a.mp4")
    assert [time for time, _ in video.read_frames(tmp_path / "a.mp4")] == times
    assert made.frames == FRAMES and made.sound and made.adapted
    heard = video.read_audio(tmp_path / "a.mp4")
    assert abs(len(heard) / 16000 - float(times[-1])) < 0.15
    assert np.corrcoef(heard[:14000], tone[0][:14000])[0, 1] > 0.99


def test_every_frame_shows_its_own_motion(animator, media, tmp_path, driving):
    animator.animate(media / "photo.png", media / "loud.mp4", tmp_path / "a.mp4", adapt=False)
    got = colors(tmp_path / "a.mp4") / 127.5 - 1
    np.testing.assert_allclose(got[:, 0], driving["pose"][:, 1] / np.pi, atol=0.03)
    np.testing.assert_allclose(got[:, 1], driving["expression"][:, 0] / 3, atol=0.04)
    assert (got[:, 2] > 0.9).all()  # speech features reached every frame


@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_the_size_of_the_chunks_changes_nothing(animator, media, tmp_path, chunk, model):
    animator.animate(media / "photo.png", media / "loud.mp4", tmp_path / "a.mp4")
    run, calls = stub_run(model, SIDE)
    Animator(run, chunk=chunk).animate(media / "photo.png", media / "loud.mp4", tmp_path / "b.mp4")
    np.testing.assert_array_equal(colors(tmp_path / "a.mp4"), colors(tmp_path / "b.mp4"))
    assert {len(call["audio"]) for call in calls} == {min(chunk, FRAMES)}
    assert len(calls) == -(-FRAMES // chunk)


def test_at_most_two_chunks_are_under_way(animator, media):
    """Memory does not grow with length: chunks are asked for as their frames are used."""
    total = 400
    still = motion.Motion(
        np.zeros(5), np.zeros((total, 4)), np.zeros((total, 6)), np.zeros(total), 25
    )
    pictures = animator._generated(
        reference(), np.zeros((SIDE, SIDE, 3)), still, np.zeros((total, 84))
    )
    for k, _ in enumerate(pictures):
        assert len(animator.calls) <= k // 8 + 2
    assert k == total - 1


def test_a_span_of_the_driver_starts_at_zero_with_its_own_sound(
    animator, media, tmp_path, times, tone
):
    animator.animate(
        media / "photo.png", media / "loud.mp4", tmp_path / "a.mp4", start=times[4], end=times[20]
    )
    got = [time for time, _ in video.read_frames(tmp_path / "a.mp4")]
    assert got == [time - times[4] for time in times[4:20]]
    heard = video.read_audio(tmp_path / "a.mp4")[:6000]
    first = round(float(times[4]) * 16000)
    assert np.corrcoef(heard, tone[0][first : first + len(heard)])[0, 1] > 0.98


def test_a_silent_driver_gives_a_silent_video_and_a_warning(animator, media, tmp_path, caplog):
    made = animator.animate(media / "photo.png", media / "silent.mp4", tmp_path / "a.mp4")
    assert not made.sound and not video.has_audio(tmp_path / "a.mp4")
    assert "has no sound" in caplog.text
    assert not any(call["audio"].any() for call in animator.calls)


def test_other_speech_takes_the_place_of_the_drivers_sound(animator, media, tmp_path, caplog):
    animator.animate(
        media / "photo.png", media / "silent.mp4", tmp_path / "a.mp4", audio=media / "loud.mp4"
    )
    assert video.has_audio(tmp_path / "a.mp4") and "has no sound" not in caplog.text
    assert all(call["audio"].any(axis=1).all() for call in animator.calls)


def test_side_by_side_shows_every_column_with_its_name(animator, media, tmp_path):
    animator.animate(media / "photo.png", media / "loud.mp4", tmp_path / "a.mp4", side_by_side=True)
    info = video.probe(tmp_path / "a.mp4")
    assert info.frames == FRAMES
    assert info.size[1] >= 7 * animation.LEAST_PANEL and info.size[0] > animation.LEAST_PANEL


def test_pasted_back_the_photo_is_unchanged_around_the_face(animator, media, tmp_path, face):
    animator.animate(
        media / "photo.png", media / "loud.mp4", tmp_path / "a.mp4", paste_back=True, adapt=False
    )
    photo = files.read_image(media / "photo.png").astype(int)
    x0, y0, x1, y1 = crops.steady_box(face_of(face).box[None], SIZE).astype(int)
    around = np.ones(SIZE, bool)
    around[y0:y1, x0:x1] = False
    shown = [frame.astype(int) for _, frame in video.read_frames(tmp_path / "a.mp4")]
    assert len(shown) == FRAMES
    for frame in shown:
        assert np.abs(frame - photo)[around].mean() < 3
    middle = np.array([frame[(y0 + y1) // 2, (x0 + x1) // 2] for frame in shown])
    assert np.ptp(middle[:, 1]) > 40  # the expression, shown in green, moves


def test_without_a_driver_one_image_is_edited(animator, media, tmp_path):
    image = animator.edit(media / "photo.png", tmp_path / "a.png", yaw=45.0)
    np.testing.assert_array_equal(files.read_image(tmp_path / "a.png"), image)
    assert image.shape == (SIDE, SIDE, 3)
    assert abs(int(image[0, 0, 0]) - 127.5 * 1.25) < 1  # yaw, shown in red
    (call,) = animator.calls
    due = call["reference_motion"]["pose"][0]
    due[1] = np.pi / 4
    np.testing.assert_allclose(call["driving_motion"]["pose"][0], [due] * 3, rtol=1e-6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model, driving):
    """A data folder with one clip, in split test, of the face model of these tests."""
    path = tmp_path_factory.mktemp("clips") / "clips"
    path.mkdir()
    landmarks = np.full((FRAMES, 70, 3), 24, np.float32)
    picture = lambda k: np.full((48, 48, 3), 10 * k, np.uint8)
    clip = records.Clip(
        clip_id="ann:1", speaker_id="ann", fps_num=24000, fps_den=1001,
        times=np.arange(FRAMES) * 1001 / 24000,
        frames=[records.encode_frame(picture(k)) for k in range(FRAMES)],
        audio=(9000 * np.sin(np.arange(15000) / 5)).astype(np.int16),
        **driving, blink=np.zeros(FRAMES), landmarks=landmarks, points=landmarks[:, :9],
        valid=np.arange(FRAMES) != 3, box=np.array([0, 0, 48, 48]),
        source_size=np.array([48, 48]), mask=[], licence="",
    )  # fmt: skip
    shards.write_shard(path, "test", "ann", [clip])
    shards.seal(path)
    save_model(path / records.MODEL, model)
    return path


def test_clips_of_a_data_folder_need_no_detector(animator, folder, tmp_path, driving, monkeypatch):
    monkeypatch.setattr(animators, "FaceMesh", lambda: pytest.fail("a detector was made"))
    run, calls = stub_run(animator.run.system.frozen["morphable"], SIDE)
    made = Animator(run).animate(f"{folder}:ann:1:2", f"{folder}:ann:1", tmp_path / "a.mp4")
    assert not made.adapted  # the driver is the reference's own recording
    got = [time for time, _ in video.read_frames(tmp_path / "a.mp4")]
    assert got == [Fraction(1001 * k, 24000) for k in range(FRAMES)]
    assert made.sound and abs(len(video.read_audio(tmp_path / "a.mp4")) - 15000) < 1100
    np.testing.assert_allclose(calls[0]["reference"], 20 / 127.5 - 1, atol=0.02)
    np.testing.assert_array_equal(calls[0]["reference_motion"]["pose"], driving["pose"][2:3])
    pose = np.concatenate([call["driving_motion"]["pose"][:, -1] for call in calls])[:FRAMES]
    np.testing.assert_allclose(pose, driving["pose"], rtol=1e-6)


def test_a_clip_can_be_cut_as_a_video_can(animator, folder, tmp_path):
    animator.animate(f"{folder}:ann:1:0", f"{folder}:ann:1", tmp_path / "a.mp4", start=0.2, end=0.6)
    got = [time for time, _ in video.read_frames(tmp_path / "a.mp4")]
    assert got == [Fraction(1001 * k, 24000) for k in range(10)]  # frames 5 to 14


@pytest.mark.parametrize(
    "source,driver,words",
    [
        ("{0}:bob:1", "{0}:ann:1", "has no clip 'bob:1'; it has: ann:1"),
        ("{0}:ann:1:3", "{0}:ann:1", "no face was found in this frame"),
        ("{0}:ann:1:99", "{0}:ann:1", "has frames 0 to 22"),
        ("{0}:ann:1:0", "{0}:ann:1:0", "a driver is a whole clip"),
        ("{1}/gone.png", "{0}:ann:1", r"no file .*gone\.png"),
    ],
)
def test_a_wrong_clip_is_named(animator, folder, tmp_path, source, driver, words):
    names = folder, tmp_path
    with pytest.raises(InputError, match=words):
        animator.animate(source.format(*names), driver.format(*names), tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_clips_of_another_face_model_are_refused(folder, tmp_path):
    run, _ = stub_run(make_model(seed=5), SIDE)
    with pytest.raises(InputError, match="another face model"):
        Animator(run).animate(f"{folder}:ann:1:0", f"{folder}:ann:1", tmp_path / "a.mp4")


def test_a_run_on_disk_animates_in_three_lines(folder, tmp_path, model):
    make_workdir(tmp_path / "w", model)
    animator = Animator.load(tmp_path / "w", chunk=4)
    made = animator.animate(f"{folder}:ann:1:0", f"{folder}:ann:1", tmp_path / "a.mp4", end=0.3)
    assert made.frames == video.probe(tmp_path / "a.mp4").frames == 8
    assert video.probe(tmp_path / "a.mp4").size == (SIDE, SIDE)


def test_a_motion_written_beside_a_video_drives_another(animator, media, tmp_path, face):
    out, kept = tmp_path / "a.mp4", tmp_path / "m.npz"
    place, loud = media / "photo.png", media / "loud.mp4"
    animator.animate(place, loud, out, adapt=False, motion_out=kept)
    seen = FakeMesh([[face_of(face)]])
    animator._terms = animator._terms._replace(face_mesh=lambda: seen)
    again = animator.animate(place, kept, tmp_path / "b.mp4", adapt=False, audio=loud)
    assert again.frames == FRAMES and again.sound
    np.testing.assert_allclose(colors(tmp_path / "b.mp4"), colors(out), atol=2)
    with pytest.raises(InputError, match="side-by-side needs pictures"):
        animator.animate(place, kept, tmp_path / "c.mp4", side_by_side=True)
    assert not (tmp_path / "c.mp4").exists()
