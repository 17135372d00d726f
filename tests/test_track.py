from fractions import Fraction

import cv2
import numpy as np
import pytest

from facejax import crops, track, video
from facejax.errors import InputError
from facejax.portrait import read_portrait
from facejax.track import Choice, track_video
from tests.fake_faces import FakeMesh, face_of, make_model, make_motion, points_of, write_video

SIZE = (240, 320)
FRAMES = 41


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def motion():
    return make_motion(FRAMES)


@pytest.fixture(scope="module")
def points(model, motion):
    return points_of(model, motion, SIZE)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", FRAMES, SIZE)


def script(points):
    return [[face_of(one)] for one in points]


def without(points, *numbers):
    return [[] if k in numbers else [face_of(one)] for k, one in enumerate(points)]


def test_the_motion_of_every_frame_is_found(path, model, motion, points):
    got = track_video(path, FakeMesh(script(points)), model, choice=Choice(keep_points=True))
    assert got.valid.all() and len(got.times) == FRAMES
    np.testing.assert_allclose(got.identity, motion["identity"], atol=0.03)
    np.testing.assert_allclose(got.expression, motion["expression"], atol=0.03)
    np.testing.assert_allclose(got.pose[:, :3], motion["pose"][:, :3], atol=0.01)
    assert got.residual.max() < 0.02
    due = crops.to_crop(points, got.box, 256)
    np.testing.assert_allclose(got.points, due, atol=1e-3)


def test_pose_and_points_lie_in_the_crop(path, model, points):
    """Drawn with its own pose at the size of the crop, the face falls on the points."""
    got = track_video(
        path, FakeMesh(script(points)), model, size=128, choice=Choice(keep_points=True)
    )
    motion = {"identity": got.identity, "expression": got.expression, "pose": got.pose}
    drawn = points_of(model, motion, (128, 128))
    np.testing.assert_allclose(drawn[..., :2], got.points[..., :2], atol=0.5)
    assert got.points[..., :2].min() >= 0 and got.points[..., :2].max() <= 128


def test_the_result_does_not_depend_on_where_the_face_is(path, model, points):
    moved = points * np.array([0.8, 0.8, 0.8]) + np.array([40, 30, 5])
    one, other = (track_video(path, FakeMesh(script(p)), model) for p in (points, moved))
    for name in ("identity", "expression", "blink", "residual"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-2)
    np.testing.assert_allclose(one.pose[:, :3], other.pose[:, :3], atol=1e-3)
    np.testing.assert_allclose(one.pose[:, 5], other.pose[:, 5], rtol=0.01)


def test_chunks_leave_no_seam(path, model, points, monkeypatch):
    whole = track_video(path, FakeMesh(script(points)), model)
    monkeypatch.setattr(track, "CHUNK", 7)
    parts = track_video(path, FakeMesh(script(points)), model)
    np.testing.assert_allclose(parts.expression, whole.expression, atol=1e-4)
    np.testing.assert_allclose(parts.pose, whole.pose, rtol=1e-4, atol=1e-3)


def test_times_are_the_files_own_also_in_a_span(tmp_path, model, points):
    base = Fraction(1, 90000)
    ticks = np.cumsum(np.random.default_rng(0).integers(2000, 6000, FRAMES)) - 2000
    times = [(int(tick) - int(ticks[0])) * base for tick in ticks]
    path = write_video(tmp_path / "a.mp4", FRAMES, SIZE, times=times, time_base=base)
    got = track_video(path, FakeMesh(script(points)), model, start=times[5], end=times[30])
    np.testing.assert_array_equal(got.times, [float(t) for t in times[5:30]])
    assert got.time_base == base


def test_a_short_gap_is_held_and_marked(path, model, points):
    got = track_video(path, FakeMesh(without(points, 10, 11, 12)), model)
    np.testing.assert_array_equal(np.flatnonzero(~got.valid), [10, 11, 12])
    for name in ("identity", "expression", "pose", "blink", "landmarks"):
        held = getattr(got, name)
        np.testing.assert_array_equal(held[10:13], held[[9, 9, 9]])
        assert len(held) == FRAMES


def test_a_gap_at_the_start_takes_the_first_face(path, model, points):
    got = track_video(path, FakeMesh(without(points, 0, 1)), model)
    np.testing.assert_array_equal(got.pose[:2], got.pose[[2, 2]])
    np.testing.assert_array_equal(np.flatnonzero(~got.valid), [0, 1])


def test_a_long_gap_is_refused_with_its_times(path, model, points):
    mesh = FakeMesh(without(points, *range(10, 16), 20, *range(30, 37)))
    with pytest.raises(InputError, match=r"no face at 0\.40-0\.60 s, no face at 1\.20-1\.44 s;"):
        track_video(path, mesh, model)
    mesh = FakeMesh(without(points, *range(10, 16)))
    got = track_video(path, mesh, model, choice=Choice(most_held=None))
    assert got.valid.sum() == FRAMES - 6


def test_no_face_at_all_is_refused(path, model):
    with pytest.raises(InputError, match=r"a\.mp4 shows no face in all of its 41 frames"):
        track_video(path, FakeMesh([[]]), model)


def test_a_face_half_out_of_the_frame_is_refused(path, model, points):
    gone = points - np.array([SIZE[1] / 2, 0, 0])
    with pytest.raises(InputError, match="a face cut by the frame's edge in all"):
        track_video(path, FakeMesh(script(gone)), model)
    some = np.where(np.arange(FRAMES)[:, None, None] < 20, points, gone)
    with pytest.raises(InputError, match=r"cut by the frame's edge at 0\.80-1\.60 s"):
        track_video(path, FakeMesh(script(some)), model)


def test_of_several_faces_the_largest_is_followed_with_a_warning(path, model, points, caplog):
    small = [face_of(0.5 * one + [10, 10, 0]) for one in points]
    both = [[large[0], other] for large, other in zip(script(points), small, strict=True)]
    got = track_video(path, FakeMesh(both), model)
    assert "shows 2 faces" in caplog.text and "--face" in caplog.text
    np.testing.assert_allclose(got.box, track_video(path, FakeMesh(script(points)), model).box)


def test_a_face_can_be_chosen(path, model, points, caplog):
    small = [face_of(0.5 * one + [10, 10, 0]) for one in points]
    mesh = FakeMesh([[face_of(points[0]), small[0]], *([one] for one in small[1:])])
    got = track_video(path, mesh, model, choice=Choice(face=1))
    assert not caplog.text
    due = track_video(path, FakeMesh([[one] for one in small]), model)
    np.testing.assert_array_equal(got.box, due.box)
    with pytest.raises(InputError, match=r"--face 2: .* shows 2: 0 at \(\d+, \d+\), 1 at"):
        mesh = FakeMesh([[face_of(points[0]), small[0]]])
        track_video(path, mesh, model, choice=Choice(face=2))


def test_a_face_that_leaves_the_crop_is_refused(path, model, points):
    # a scene cut: the face shrinks and moves
    cut = np.where(np.arange(FRAMES)[:, None, None] < 20, points, 0.5 * points)
    with pytest.raises(InputError, match=r"a\.mp4: the face moves by"):
        track_video(path, FakeMesh(script(cut)), model)


def test_without_cropping_the_centre_square_is_the_crop(path, model, points):
    got = track_video(path, FakeMesh(script(points)), model, choice=Choice(crop=False))
    np.testing.assert_array_equal(got.box, [40, 0, 280, 240])


def test_dense_points_are_kept_only_when_asked_for(path, model, points):
    assert track_video(path, FakeMesh(script(points)), model).points.shape == (0, 468, 3)


def test_one_frame_and_an_empty_span_are_refused(tmp_path, path, model, points):
    single = write_video(tmp_path / "one.mp4", 1, SIZE)
    with pytest.raises(InputError, match=r"one\.mp4 has 1 frame; at least 2"):
        track_video(single, FakeMesh(script(points)), model)
    with pytest.raises(InputError, match=r"0 frames from 9 s to its end, and lasts 1\.64 s"):
        track_video(path, FakeMesh(script(points)), model, start=9)


def test_a_model_of_other_points_is_refused(path, model, points):
    other = model._replace(points=model.points[:68])
    with pytest.raises(InputError, match="observes 68 points, Face Mesh gives 468"):
        track_video(path, FakeMesh(script(points)), other)


def test_crops_follow_the_track_frame_by_frame(path, model, points):
    got = track_video(path, FakeMesh(script(points)), model, start=0.4, end=1.2)
    due = [crops.extract(frame, got.box, 64) for _, frame in video.read_frames(path, 0.4, 1.2)]
    crop = list(track.crop_frames(path, got, 64))
    assert len(crop) == len(got.times) == 20
    np.testing.assert_array_equal(crop, due)


@pytest.fixture
def photo(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), image)
    return tmp_path / "photo.png"


def test_a_portrait_is_fitted_in_its_crop(photo, model, motion, points):
    got = read_portrait(photo, FakeMesh(script(points[:1])), model, size=96)
    assert got.image.shape == (96, 96, 3) and got.photo.shape == (*SIZE, 3)
    np.testing.assert_allclose(got.identity, motion["identity"][0], atol=0.03)
    np.testing.assert_allclose(got.expression, motion["expression"][0], atol=0.03)
    one = {name: getattr(got, name)[None] for name in ("identity", "expression", "pose")}
    drawn = points_of(model, one, (96, 96))[0]
    np.testing.assert_allclose(drawn, crops.to_crop(points[0], got.box, 96), atol=0.5)


def test_a_portrait_without_one_clear_face_is_refused(photo, model, points):
    one = face_of(points[0])
    with pytest.raises(InputError, match=r"photo\.png shows no face"):
        read_portrait(photo, FakeMesh([[]]), model)
    with pytest.raises(InputError, match=r"shows 2 faces; pick one with --face N: 0 at"):
        read_portrait(photo, FakeMesh([[one, one]]), model)
    with pytest.raises(InputError, match=r"--face 3: .* shows 2"):
        read_portrait(photo, FakeMesh([[one, one]]), model, choice=Choice(face=3))
    with pytest.raises(InputError, match="% of the face lie outside"):
        cut = face_of(points[0] + [SIZE[1] / 2, 0, 0])
        read_portrait(photo, FakeMesh([[cut]]), model)


def test_a_real_video_is_tracked_closely(real_data):
    """Reprojected points lie within half a pixel of those seen, at 256 px."""
    from facejax import face_mesh, weights
    from facejax.morphable_files import load_model

    if "present" not in dict(weights.status())["face-mesh"]:
        pytest.skip("the landmark models are not installed: facejax weights face-mesh")
    path, model = real_data / "real" / "driving.mp4", load_model("ready-made")
    got = track_video(path, face_mesh.FaceMesh(), model, end=1.5, choice=Choice(keep_points=True))
    motion = {"identity": got.identity, "expression": got.expression, "pose": got.pose}
    drawn = points_of(model, motion, (256, 256))[:, model.points]
    error = np.linalg.norm((drawn - got.points)[..., :2], axis=-1)
    assert got.valid.all() and len(got.times) == 45
    assert error.mean() < 0.6 and np.median(got.residual) < 0.01
