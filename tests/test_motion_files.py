import numpy as np
import pytest

from facejax import motion_files
from facejax.errors import InputError
from facejax.motion import Motion
from tests.fake_faces import make_model, make_motion


@pytest.fixture(scope="module")
def model():
    return make_model()


def clip():
    fields = make_motion(7, seed=3)
    return Motion(
        identity=fields["identity"][0],
        expression=fields["expression"],
        pose=fields["pose"],
        blink=np.linspace(0, 5, 7, dtype=np.float32),
        fps=np.float32(25),
    )


def test_a_motion_comes_back_to_the_bit(tmp_path, model):
    motion = clip()
    motion_files.save_motion(tmp_path / "m.npz", motion, model)
    back = motion_files.load_motion(tmp_path / "m.npz", model)
    for before, after in zip(motion, back, strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_motion_of_another_face_model_is_refused(tmp_path, model):
    motion_files.save_motion(tmp_path / "m.npz", clip(), model)
    other = model._replace(identity_basis=model.identity_basis * 2)
    with pytest.raises(InputError, match="another face model"):
        motion_files.load_motion(tmp_path / "m.npz", other)
    recoloured = model._replace(colors=1 - model.colors)  # colours move nothing
    motion_files.load_motion(tmp_path / "m.npz", recoloured)


@pytest.mark.parametrize("content", [b"not an npz", b"PK\x03\x04 cut short"])
def test_what_is_no_motion_file_is_refused(tmp_path, model, content):
    path = tmp_path / "m.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a motion file"):
        motion_files.load_motion(path, model)


def test_a_file_of_other_arrays_or_numbers_is_refused(tmp_path, model):
    path = tmp_path / "m.npz"
    np.savez(path, pose=np.zeros((3, 6)))
    with pytest.raises(InputError, match="not a motion file"):
        motion_files.load_motion(path, model)
    motion = clip()
    wrong = motion._replace(pose=np.full((7, 6), np.nan, np.float32))
    motion_files.save_motion(path, wrong, model)
    with pytest.raises(InputError, match="damaged"):
        motion_files.load_motion(path, model)
    motion_files.save_motion(path, motion._replace(blink=np.zeros(5)), model)
    with pytest.raises(InputError, match="not a motion file"):
        motion_files.load_motion(path, model)
    with pytest.raises(InputError, match=r"ends in \.npz"):
        motion_files.save_motion(tmp_path / "m.txt", motion, model)


def test_the_mark_is_that_of_the_coefficients_meaning(model):
    mark = motion_files.model_mark(model)
    assert mark == motion_files.model_mark(make_model())
    assert mark != motion_files.model_mark(model._replace(mean=model.mean + 1))
