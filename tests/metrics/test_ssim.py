import jax
import numpy as np
import pytest
import scipy.ndimage

from facejax.metrics.ssim import ssim


def pair(seed=0, noise=0.2):
    rng = np.random.default_rng(seed)
    image = np.tanh(scipy.ndimage.gaussian_filter(rng.normal(size=(2, 17, 20, 3)), (0, 2, 2, 0)))
    return image, image + noise * rng.normal(size=image.shape)


def test_equal_images_are_alike_and_noise_takes_from_it():
    image, _ = pair()
    few, many = (float(ssim(*pair(noise=noise))[0]) for noise in (0.05, 0.3))
    np.testing.assert_allclose(ssim(image, image), 1, atol=1e-6)
    assert 1 > few > many > -1


def test_ssim_is_that_of_wang_et_al_window_by_window():
    one, other = pair()
    weights = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = np.outer(weights, weights) / weights.sum() ** 2
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    for b in range(2):
        found = []
        for channel in range(3):
            for y in range(17 - 10):
                for x in range(20 - 10):
                    a, c = (im[b, y : y + 11, x : x + 11, channel].ravel() for im in (one, other))
                    w = weights.ravel()
                    ma, mc = w @ a, w @ c
                    va, vc, both = w @ (a - ma) ** 2, w @ (c - mc) ** 2, w @ ((a - ma) * (c - mc))
                    light = (2 * ma * mc + c1) / (ma**2 + mc**2 + c1)
                    found.append(light * (2 * both + c2) / (va + vc + c2))
        np.testing.assert_allclose(ssim(one, other)[b], np.mean(found), atol=1e-5)


def test_the_gradient_leads_to_the_target():
    image, other = pair()
    gradient = jax.grad(lambda x: ssim(x, image).sum())(other)
    assert float(ssim(other + 0.5 * gradient, image).sum()) > float(ssim(other, image).sum())


def test_images_smaller_than_a_window_are_refused():
    with pytest.raises(ValueError, match="11 or more"):
        ssim(np.zeros((1, 10, 12, 3)), np.zeros((1, 10, 12, 3)))
