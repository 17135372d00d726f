r"""Phi of Rhythmic Head Motion at full size: a short reference and speech -> head motion.

  facejax train --config configs/rhythmic_motion.py --config.data.path=CLIPS --workdir W
  facejax evaluate --workdir W --data CLIPS --split test

The paper: a reference of 64 frames, sound at 50 kHz; the 64 frames after it are made (the paper
does not say how many). Rates and weight decay are the published code's: Adam, 3e-4 and 2e-5,
batches of 64, 100 epochs, the rate halved every 5 from the fifth on.

`:released` is that code: sound at 16 kHz, smoothed over 21 frames; a lag of one frame in all that
is smoothed; the discriminator sees the motion's differences too and never teaches; VoxCeleb2's
mean and deviation of head motion (--config.data.statistics=data measures the clips'). `:smoke` is a
tiny one that shows that all is in place.

Data: clips with sound of 128 frames or more (`facejax preprocess`), of any frame rate: 25 a second
is made of them. Hardware: one GPU; at 50 kHz the first convolution in time alone has 147 million
parameters, at 16 kHz 47.
"""

from facejax.settings import default_config


def get_config(preset="paper"):
    """Returns the config: "paper", "released" or "smoke"."""
    presets = ("paper", "released", "smoke")
    if preset not in presets:
        raise ValueError(f"no preset {preset!r}; there are: {', '.join(presets)}")
    config = default_config("rhythmic_motion", "released" if preset == "released" else "paper")
    config.optim.update(
        gen_lr=3e-4,
        dis_lr=3e-4,
        b1=0.9,
        weight_decay=2e-5,
        schedule="halving",
        constant_epochs=4,
        decay_epochs=5,
    )
    config.data.step = 16
    config.train.update(epochs=100, eval_every=1000, sample_every=1000, checkpoint_every=1000)
    if preset == "released":
        config.data.update(rate=16000, late=1, smooth_sound=True, statistics="published")
    if preset == "smoke":
        config.data.update(batch=4, rate=250, tau=13, frames=4)
        config.model.update(
            image_widths=(2, 2), width=4, features=3, motion_widths=(3, 4), hidden=4
        )
        config.train.update(steps=4, log_every=2, eval_every=4, checkpoint_every=2, sample_every=4)
        config.eval.update(most_clips=2)
    return config.lock()
