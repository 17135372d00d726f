r"""Unprojection at 64 px, narrow enough to train on a CPU.

facejax data synthetic --out heads
facejax train --config configs/unprojection_small.py --config.data.path=heads --workdir WORKDIR
facejax evaluate --workdir WORKDIR --data heads
"""

from facejax.settings import default_config


def get_config(size="32"):
    """Returns the config for images and maps of `size` px."""
    config = default_config("unprojection", "paper")
    config.data.update(size=int(size), batch=16)
    config.model.update(
        width=8,
        lambda_l2=0.0,
        rotation=10.0,
        shift=0.05,
        least_scale=0.95,
        most_scale=1.05,
        least_gain=0.8,
        most_gain=1.2,
        occlusion=0.0,
    )
    config.optim.update(
        gen_lr=2e-3, b1=0.9, schedule="linear", constant_part=0.3, ema=0.0, warmup_steps=50
    )
    config.train.update(
        steps=2000, log_every=100, eval_every=500, sample_every=500, checkpoint_every=500
    )
    return config.lock()
