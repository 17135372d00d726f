"""PRNet's published files, written tiny and read back."""

import jax.numpy as jnp
import numpy as np
import pytest

from facejax import prnet
from facejax.errors import InputError

POINTS = np.random.default_rng(0).uniform(60, 140, (468, 3)).astype(np.float32)


def write_layout(folder, face=None):
    row, column = np.mgrid[100:110, 50:80]
    face = row.ravel() * 256 + column.ravel() if face is None else face
    np.savetxt(folder / "face_ind.txt", face)
    np.savetxt(folder / "uv_kpt_ind.txt", np.stack([50 + np.arange(68) % 30, np.full(68, 104)]))
    return face


def test_the_layout_names_pixels_by_row_and_column(tmp_path):
    due = write_layout(tmp_path)
    face, landmarks = prnet.read_layout(tmp_path)
    np.testing.assert_array_equal(face, due)
    np.testing.assert_array_equal(landmarks, 104 * 256 + 50 + np.arange(68) % 30)


def test_places_in_the_crop_are_places_in_the_frame():
    """A net that reads the crop's own red and green, which count its pixels, finds each at home."""
    image = np.zeros((200, 180, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(180)[None], np.arange(200)[:, None]
    box = np.array([30, 50, 158, 178], np.float32)

    def run(crop):
        inside = (crop[..., :2] * 255 + 0.5 - jnp.asarray([[[30.0, 50.0]]])) * 2 - 0.5
        depth = jnp.full((*crop.shape[:2], 1), 20.0)
        return jnp.concatenate([inside, depth], -1) / (1.1 * 256)

    found = np.asarray(prnet.places(run, image, box))
    inner = found[8:-8, 8:-8]
    row, column = np.mgrid[8:248, 8:248]
    np.testing.assert_allclose(inner[..., 0], 30 + (column + 0.5) / 2, atol=0.6)
    np.testing.assert_allclose(inner[..., 1], 50 + (row + 0.5) / 2, atol=0.6)
    np.testing.assert_allclose(inner[..., 2], -10, atol=1e-4)


def test_the_net_looks_at_a_square_around_the_landmarks():
    marks = np.array([[10.0, 20, 0], [50, 80, 5]])
    np.testing.assert_allclose(prnet.look_box(marks), [-10, 10, 70, 90])


@pytest.mark.parametrize("content", [None, "words", "70000"])
def test_wrong_layouts_are_refused(tmp_path, content):
    write_layout(tmp_path)
    path = tmp_path / "face_ind.txt"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(InputError, match=r"face_ind\.txt"):
        prnet.read_layout(tmp_path)


def test_another_checkpoint_is_refused(tmp_path):
    write_layout(tmp_path)
    np.savez(tmp_path / "net.npz", weights=np.zeros(2))
    with pytest.raises(InputError, match="is not PRNet's checkpoint: it has no variable"):
        prnet.Published(tmp_path / "net.npz", tmp_path)
