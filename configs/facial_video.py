r"""FACIAL's rendering to video at full size, 512 px, one person, with the paper's schedule.

  facejax preprocess speaker.mp4 --size 512 --out clips
  facejax train --config configs/facial_video.py --config.data.path=clips --workdir WORKDIR

Presets: `configs/facial_video.py` is the paper's, with the faults of the published code mended;
`configs/facial_video.py:released` is the published code: the blink's raw intensity overwrites the
eyes of the drawn face, the light turns against the head, and the first six frames and the last
three of a video all show the seventh. `configs/facial_video.py:smoke` is a tiny one that shows that
all is in place.

50 epochs over every frame, the last 30 with a falling rate: two to three minutes of video are some
200,000 steps of one frame. Perceptual loss: --config.model.vgg=vgg19-dcbb9e9d.pth (torchvision's
file); without it the run says that the term is off. Hardware: a GPU; --config.train.bfloat16 lowers
its memory.
"""

from facejax.settings import default_config


def get_config(preset="paper"):
    """Returns the config: "paper", "released" or "smoke"."""
    config = default_config("facial_video", "paper" if preset == "smoke" else preset)
    config.optim.update(
        gen_lr=1e-4, dis_lr=1e-4, schedule="epochs", constant_epochs=20, decay_epochs=30
    )
    config.train.epochs = 50
    if preset == "released":
        config.data.edges = "released"
    if preset == "smoke":
        _shrink(config)
    return config.lock()


def _shrink(config):
    config.data.update(size=32, batch=2)
    config.model.update(width=2, halvings=2, trunk_residuals=1, residuals=1, dis_width=2)
    config.train.update(steps=4, log_every=1, eval_every=4, checkpoint_every=2, sample_every=4)
    config.eval.update(most_clips=2, most_frames=2)
