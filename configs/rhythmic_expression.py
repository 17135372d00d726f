r"""Psi of Rhythmic Head Motion at full size: raw sound and a reference face -> expression.

  facejax train --config configs/rhythmic_expression.py --config.data.path=CLIPS --workdir W
  facejax evaluate --workdir W --data CLIPS --split test

The paper: sound at 50 kHz, seven frames of it around each, noise of 6 to 30 dB under it; 20
components of 3-D landmarks, as displacements from the person's most frontal frame. It gives no
noise and no rates: white, pink and brown noise here (--config.data.noise=FOLDER takes your own),
and the published code's Adam, 2e-5 with batches of 4.

`:released` is that code: 2-D components of faces brought onto a template by their most shut mouth,
16-bit numbers for sound, a loudness drawn from -12 to 6 dB in the place of noise. It drops out in
inference too, by a slip that is not repeated here. `:smoke` is a tiny one that shows that all is in
place.

Components are those of the training clips, or --config.data.landmarks=FILE of `facejax model
landmarks`. Data: clips with sound (`facejax preprocess`), of any frame rate: 25 a second is made of
them. Hardware: one GPU; 17.2 million parameters, 1.6 GFLOP a frame.
"""

from facejax.settings import default_config


def get_config(preset="paper"):
    """Returns the config: "paper", "released" or "smoke"."""
    presets = ("paper", "released", "smoke")
    if preset not in presets:
        raise ValueError(f"no preset {preset!r}; there are: {', '.join(presets)}")
    config = default_config("rhythmic_expression", "released" if preset == "released" else "paper")
    config.optim.update(gen_lr=2e-5, b1=0.5, schedule="constant")
    config.train.update(epochs=20, eval_every=5000, sample_every=5000, checkpoint_every=5000)
    if preset == "released":
        config.data.update(
            dimensions=2,
            identity="template",
            noise="",
            gains=(-12.0, -9.0, -6.0, -3.0, 0.0, 3.0, 6.0),
        )
    if preset == "smoke":
        config.data.update(rate=2000, components=3, tau=13, frames=4)
        config.model.update(widths=(2, 3), hidden=4)
        config.train.update(steps=4, log_every=2, eval_every=4, checkpoint_every=2, sample_every=4)
        config.eval.update(most_clips=2)
    return config.lock()
