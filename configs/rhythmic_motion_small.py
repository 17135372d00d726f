r"""Phi of Rhythmic Head Motion narrow enough to train on a CPU in minutes.

  facejax data synthetic --out talk --size 32 --identities 40 --held-out 8 --frames 300
  facejax train --config configs/rhythmic_motion_small.py --config.data.path=talk --workdir W
  facejax evaluate --workdir W --data talk --split test

Sound at 8 kHz, channels a quarter to an eighth of the paper's; head motion counted from the mean of
the reference. To expect after 600 steps (two to three minutes of two CPU cores), on people never
trained on: landmarks 15.9 px off (the reference's mean 14.7, copying its last frame 17.2), spread
0.37 deviations off (0.85 for whatever holds still). Hardware: two CPU cores.
"""

from facejax.settings import default_config


def get_config():
    """Returns the config."""
    config = default_config("rhythmic_motion", "paper")
    config.data.update(rate=8000, batch=16, step=8, centre="reference")
    config.model.update(
        image_widths=(4, 4), width=64, features=32, motion_widths=(32, 64), hidden=32
    )
    config.optim.update(
        gen_lr=1e-3, dis_lr=1e-3, b1=0.9, schedule="linear", constant_part=0.4, weight_decay=2e-5
    )
    config.train.update(
        steps=600, log_every=50, eval_every=200, sample_every=200, checkpoint_every=200
    )
    config.eval.update(most_clips=0)
    return config.lock()
