import numpy as np
import pytest

from facejax import landmark_basis, performance
from facejax.data import takes
from facejax.errors import InputError
from tests import fake_performances
from tests.fake_performances import expressions


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("talks")
    return fake_performances.folder(path, {"train": fake_performances.clips()})


def test_expressions_are_those_of_the_frame_that_is_heard(folder):
    source = expressions(folder)
    basis = source.given["landmarks"]
    assert basis["axes"].shape == (4, 204)
    for step in range(3):
        batch = source.load(step)
        draw = source.plan.draw(step)
        for row, (clip, frame) in enumerate(zip(draw.clip, draw.frames[:, 0], strict=True)):
            take = source.takes[clip]
            near = takes.as_floats(take.chunks[frame : frame + 7])
            np.testing.assert_allclose(batch["audio"][row], near.ravel())
            front, key = take.seen.fronts[frame], performance.key_frame(take.seen)
            due = (front - take.seen.fronts[key]).reshape(-1) @ basis["axes"].T
            np.testing.assert_allclose(batch["target"][row], due, atol=1e-2)


def test_noise_lies_under_the_sound_at_6_to_30_db(folder):
    plain, noisy = expressions(folder), expressions(folder, noise="coloured")
    ratios = set()
    for step in range(20):
        one, other = plain.load(step)["audio"], noisy.load(step)["audio"]
        power = np.square(one).mean(1) / np.square(other - one).mean(1)
        ratios |= set(np.rint(10 * np.log10(power)).astype(int))
    assert ratios <= set(range(6, 31, 3)) and len(ratios) > 6
    assert not np.array_equal(noisy.load(0)["audio"], noisy.load(1)["audio"])


def test_loudness_is_drawn_from_the_gains(folder):
    plain, scaled = expressions(folder), expressions(folder, gains=(-6.0, 6.0))
    gains = set()
    for step in range(4):
        one, other = plain.load(step)["audio"], scaled.load(step)["audio"]
        gains |= set(np.rint(20 * np.log10(np.abs(other).max(1) / np.abs(one).max(1))))
    assert gains == {-6, 6}


def test_noises_are_read_from_files(tmp_path, folder):
    with pytest.raises(InputError, match="not there"):
        expressions(folder, noise=str(tmp_path / "none"))
    with pytest.raises(InputError, match="no sound"):
        expressions(folder, noise=str(tmp_path))


def test_a_basis_from_a_file_takes_the_place_of_the_clips_own(tmp_path, folder):
    source = expressions(folder)
    table = {k: v for k, v in source.given["landmarks"].items() if k != "usual"}
    basis = landmark_basis.LandmarkBasis(**table)
    smaller = basis._replace(axes=basis.axes[:2], deviations=basis.deviations[:2])
    landmark_basis.save(tmp_path / "b.npz", smaller)
    other = expressions(folder, landmarks=str(tmp_path / "b.npz"))
    assert other.load(0)["target"].shape == (4, 2)


def test_clips_without_a_frontal_face_are_left_out_and_named(tmp_path, caplog):
    clip, other = fake_performances.clips()
    away = other._replace(clip_id="away", landmarks=other.landmarks[..., [2, 1, 0]])
    source = expressions(fake_performances.folder(tmp_path, {"train": [clip, away]}))
    assert [take.clip_id for take in source.takes] == ["a"]
    assert "clip away has no frontal frame" in caplog.text


def test_no_frontal_face_at_all_is_refused(tmp_path):
    clip = fake_performances.clip("b", 30, seed=2)
    away = clip._replace(landmarks=clip.landmarks[..., [2, 1, 0]])
    path = fake_performances.folder(tmp_path, {"train": [away]})
    with pytest.raises(InputError, match="no frontal frame"):
        expressions(path)
