import numpy as np
import pytest

from facejax.errors import InputError
from facejax.systems import headgan_config, headgan_nets, headgan_released
from tests.nets import test_headgan_torch


@pytest.fixture
def tiny(monkeypatch):
    """The released nets, in miniature."""
    small = headgan_config.Config(**headgan_config.released(), width=2, hidden=3, dis_width=2)
    nets = headgan_nets.build(small)
    monkeypatch.setattr(headgan_released, "build", lambda config: nets)
    monkeypatch.setattr(headgan_released, "AUDIO", test_headgan_torch.AUDIO)


def test_published_files_are_read(tiny, tmp_path):
    state = test_headgan_torch.generator_state(2, 3)
    np.savez(tmp_path / "g.npz", **state)
    params, stats = headgan_released.load_generator(tmp_path / "g.npz")
    assert set(params) == set(stats) == {"flow_net", "renderer"}
    for name, channels in (("image", 6), ("mouth", 3 + test_headgan_torch.AUDIO)):
        np.savez(tmp_path / "d.npz", **test_headgan_torch.discriminator_state(2, channels))
        params, _ = headgan_released.load_discriminator(tmp_path / "d.npz", name)
        assert set(params) == {"scale_0", "scale_1"}


def test_a_net_of_another_size_is_refused_by_the_name_of_a_tensor(tiny, tmp_path):
    np.savez(tmp_path / "g.npz", **test_headgan_torch.generator_state(2, 4))
    with pytest.raises(InputError, match=r"g\.npz.*flow_net\.\S+ has shape .*; due:"):
        headgan_released.load_generator(tmp_path / "g.npz")


def test_another_net_is_refused(tiny, tmp_path):
    np.savez(tmp_path / "d.npz", **test_headgan_torch.discriminator_state(2, 6))
    with pytest.raises(InputError, match="not a published HeadGAN net: it has no tensor"):
        headgan_released.load_generator(tmp_path / "d.npz")
