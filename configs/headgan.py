"""HeadGAN at full size, 256 px, with the schedule of its published code (the paper is silent).

  facejax train --config configs/headgan.py --config.data.path=DATA --workdir WORKDIR

Presets: `configs/headgan.py` is the paper's model, with the faults of the published schedule
mended; `configs/headgan.py:released` is the published code, fault for fault: the discriminator
moves every 4th step, the last epoch has a learning rate of 0, each frame has its own fitted
identity, the speech features look ahead. `configs/headgan.py:smoke` is a tiny one that shows that
all is in place.

Data: talking-head clips at 256 px (`facejax preprocess --size 256`); the paper used VoxCeleb.
Perceptual loss: --config.model.vgg=vgg19-dcbb9e9d.pth (torchvision's file); without it the run
says that the term is off. Hardware: a GPU; --config.train.bfloat16 and
--config.optim.accumulate=2 lower its memory. Number to expect from the paper's data (its Table 1,
VoxCeleb test): L1 11.3, PSNR 21.5 dB.
"""

from facejax.settings import default_config


def get_config(preset="paper"):
    """Returns the config: "paper", "released" or "smoke"."""
    config = default_config("headgan", "paper" if preset == "smoke" else preset)
    if preset == "released":
        config.optim.dis_every = 4
        config.optim.zero_last = True
        config.data.id_source = "frame"
        config.data.audio = "lowlevel_ahead"
    if preset == "smoke":
        _shrink(config)
    return config.lock()


def _shrink(config):
    config.data.update(size=32, batch=2, part_frames=6, windows=(2,))
    config.model.update(width=2, hidden=4, dis_width=2, mouth_size=8)
    config.train.update(steps=4, log_every=1, eval_every=4, checkpoint_every=2, sample_every=4)
    config.eval.update(most_clips=2, most_frames=2)
