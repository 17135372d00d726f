"""Functions of one frame over batches: one by one as on a CPU, all at once as elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.geometry.frames import over_frames, sum_over_frames

FRAMES = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
@pytest.mark.parametrize("batch", [(), (1,), (6,), (2, 3), (0,)])
def test_every_frame_is_done_whatever_the_batch_axes(monkeypatch, platform, batch):
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    frames = FRAMES[: np.prod(batch, dtype=int)].reshape(*batch, 3)
    found = over_frames(lambda x: {"square": x**2, "sum": x.sum()}, batch, frames)
    np.testing.assert_allclose(found["square"], frames**2, rtol=1e-6)
    np.testing.assert_allclose(found["sum"], frames.sum(-1), rtol=1e-5)


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_what_frames_share_is_summed_and_the_rest_kept(monkeypatch, platform):
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    scale = jnp.array([1.0, 2, 3])
    loss = lambda scale, x: jnp.sum((scale * x) ** 2)

    def one(x):
        value, (to_scale, to_x) = jax.value_and_grad(loss, (0, 1))(scale, x)
        return (value, to_scale), to_x

    (value, to_scale), to_x = jax.jit(lambda x: sum_over_frames(one, x))(FRAMES)
    np.testing.assert_allclose(value, np.sum((scale[None] * FRAMES) ** 2), rtol=1e-5)
    np.testing.assert_allclose(to_scale, 2 * scale * (FRAMES**2).sum(0), rtol=1e-5)
    np.testing.assert_allclose(to_x, 2 * scale[None] ** 2 * FRAMES, rtol=1e-5)
