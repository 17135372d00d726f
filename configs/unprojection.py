r"""The unprojection net at full size: PRNet's layers, 256 px, batch 16.

300W-LP, for those who have it (see `facejax.data.builders.w300lp`), or the embedded set:

  facejax data synthetic --size 256 --out heads256
  facejax train --config configs/unprojection.py --config.data.path=heads256 --workdir WORKDIR
  facejax evaluate --workdir WORKDIR --data heads256

Adam at 1e-4, halved every five epochs in PRNet, here lowered evenly after half of the run. The
weights of PRNet's own checkpoint, for those who own them, begin a run with
--config.model.initial=256_256_resfcn256_weight; their maps have PRNet's layout, so the last layers
must learn the data's. Hardware: one GPU; no figure at this size has been measured yet.
"""

from facejax.settings import default_config


def get_config(preset="paper"):
    """Returns the config of a preset."""
    config = default_config("unprojection", preset)
    config.optim.update(gen_lr=1e-4, b1=0.9, schedule="linear", constant_part=0.5)
    config.train.update(epochs=20)
    return config.lock()
