r"""PoseGAN narrow enough to train on a CPU in minutes: several people in one net, or one recording.

Five embedded people; of each one's 16 clips, six are held out:

  facejax data synthetic --out talk --size 16 --identities 5 --held-out 1 --frames 600 --clips 16
  facejax train --config configs/posegan_small.py --config.data.path=talk --workdir WORKDIR
  facejax evaluate --workdir WORKDIR --data talk --split train --clips '*-1?'
  facejax evaluate --metrics personalization --workdir WORKDIR --data talk --split train \
      --clips '*-1?'

One short recording, its last fifth held out (`:person`; a video of 7 s or more, preprocessed, or
one of FACIAL's own files, beside which NAME.wav lets it hear something else than DeepSpeech):

  facejax train --config configs/posegan_small.py:person --config.data.path=clips --workdir W
  facejax evaluate --workdir W --data clips --split train --span 0.8,1

FACIAL's own 24 s have room for --config.data.frames=256.

The preset `diverse`: the net is told noise, and who speaks, and is trained by an energy score. No
discriminator: adversarial training wants more steps than a CPU has;
--config.model.lambda_adversarial=0.1 turns it on. The figures to expect are in the README.
Hardware: two CPU cores.
"""

from facejax.settings import default_config


def get_config(kind="people"):
    """Returns the config for embedded people, "people", or for one recording, "person"."""
    if kind not in ("people", "person"):
        raise ValueError(f"no kind {kind!r}; there are: people, person")
    config = default_config("posegan", "diverse")
    config.data.update(batch=16, frames=256, clips="*-0?")
    config.eval.update(split="train", clips="*-1?", most_clips=10)
    config.model.update(
        encoder_widths=(8, 16, 32, 32),
        unet_widths=(64, 64, 96, 96, 96),
        width=64,
        speakers=8,
        discriminator="motion",
        dis_width=16,
        lambda_initial=1.0,
        lambda_adversarial=0.0,
    )
    config.optim.update(gen_lr=1e-3, dis_lr=1e-3, b1=0.9, schedule="linear", constant_part=0.4)
    config.train.update(
        steps=1500, log_every=100, eval_every=500, sample_every=500, checkpoint_every=250
    )
    if kind == "person":
        _shrink(config)
    return config.lock()


def _shrink(config):
    """Few numbers, few steps, noise on the speech: seconds of footage are soon known by heart."""
    config.data.update(batch=8, frames=128, clips="", span=(0.0, 0.8), step=2)
    config.eval.update(clips="", span=(0.8, 1.0), most_clips=0)
    config.model.update(
        encoder_widths=(4, 8, 16, 16),
        unet_widths=(16, 16, 24, 24, 24),
        width=16,
        speakers=0,
        speech_noise=0.5,
    )
    config.train.update(
        steps=300, log_every=50, eval_every=150, sample_every=150, checkpoint_every=150
    )
