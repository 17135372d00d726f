import jax
import numpy as np
import pytest

from facejax.metrics import reconstruction


def images(seed, rows=3):
    return np.random.default_rng(seed).uniform(-1, 1, (rows, 5, 4, 3)).astype(np.float32)


def test_figures_follow_their_definition():
    a, b = images(0), images(1)
    errors = jax.jit(reconstruction.frame_errors)(a, b)
    found = reconstruction.summary([jax.device_get(errors)])
    x, y = (a + 1.0) * 127.5, (b + 1.0) * 127.5
    mse = ((x - y) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(found["l1"], np.abs(x - y).mean(), rtol=1e-5)
    np.testing.assert_allclose(
        found["psnr"], 20 * np.log10(255) - 10 * np.log10(mse.mean()), rtol=1e-5
    )
    np.testing.assert_allclose(
        found["psnr_frame"], (20 * np.log10(255) - 10 * np.log10(mse)).mean(), rtol=1e-5
    )


def test_batches_of_any_size_give_the_same_figures():
    a, b = images(0, 5), images(1, 5)
    whole = reconstruction.summary([reconstruction.frame_errors(a, b)])
    cut = [reconstruction.frame_errors(a[s], b[s]) for s in (slice(0, 1), slice(1, 5))]
    assert reconstruction.summary(cut) == pytest.approx(whole, rel=1e-6)


def test_black_against_white_is_the_whole_range():
    white = np.ones((1, 2, 3, 3), np.float32)
    found = reconstruction.summary([reconstruction.frame_errors(-white, white)])
    assert found["l1"] == 255 and abs(found["psnr"]) < 1e-6


def test_equal_images_stay_finite():
    a = images(0)
    found = reconstruction.summary([reconstruction.frame_errors(a, a)])
    assert found == {"l1": 0, "psnr": 100, "psnr_frame": 100}


def test_images_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="target"):
        reconstruction.frame_errors(images(0), images(0)[:, :4])
