r"""Unprojection at 32 px (or 64), narrow enough to train on a CPU.

  facejax data synthetic --out heads --identities 64 --held-out 8 --frames 72
  facejax train --config configs/unprojection_small.py --config.data.path=heads --workdir WORKDIR
  facejax evaluate --workdir WORKDIR --data heads

gives, over 568 frames of 8 people never trained on, after 4000 steps (ten minutes of two cores)
13.2 %, and with 2000 more,

  facejax train --config configs/unprojection_small.py --config.data.path=heads --workdir W2 \
      --config.pretrained=WORKDIR --config.optim.gen_lr=6e-3 --config.optim.constant_part=0.2 \
      --config.train.steps=2000

                                  vertices, of the    landmarks
                                  outer-eye distance  at 32 px
  unprojected                     10.8 %              0.64 px
  mean face, true middle and size 12.6 %              0.74 px
  mean face in the true head pose  9.2 %              0.67 px

The two beside it are told the answer's place and size, or its pose. 64 px:
`--config configs/unprojection_small.py:64`. Hardware: two CPU cores.
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
        gen_lr=1e-2, b1=0.9, schedule="linear", constant_part=0.3, ema=0.0, warmup_steps=50
    )
    config.train.update(
        steps=4000, log_every=100, eval_every=1000, sample_every=1000, checkpoint_every=1000
    )
    return config.lock()
