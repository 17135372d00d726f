r"""Psi of Rhythmic Head Motion narrow enough to train on a CPU in minutes.

  facejax data synthetic --out talk --size 32 --identities 40 --held-out 8 --frames 300
  facejax train --config configs/rhythmic_expression_small.py --config.data.path=talk --workdir W
  facejax evaluate --workdir W --data talk --split test

Sound at 16 kHz, channels an eighth to a quarter of the paper's. To expect after 1200 steps, on
people never trained on: mouth 1.9 px of 256 off (3.4 for the mean expression). On a person's own
video, landmarks in the same basis:

  facejax train --config configs/rhythmic_expression_small.py --config.data.path=clips \
      --config.pretrained=W --config.data.landmarks=W/landmarks.npz --config.optim.gen_lr=3e-4 \
      --config.train.steps=200 --workdir W2

Hardware: two CPU cores.
"""

from facejax.settings import default_config


def get_config():
    """Returns the config."""
    config = default_config("rhythmic_expression", "paper")
    config.data.update(rate=16000, batch=32)
    config.model.update(widths=(8, 16, 16, 32, 32, 64, 64), hidden=64)
    config.optim.update(gen_lr=1e-3, b1=0.9, schedule="linear", constant_part=0.4)
    config.train.update(
        steps=1200, log_every=100, eval_every=500, sample_every=500, checkpoint_every=500
    )
    config.eval.update(most_clips=0)
    return config.lock()
