r"""PGFace on a CPU in minutes: several people in one net, or one recording.

Five embedded people; of each one's 16 clips, six are held out:

  facejax data synthetic --out talk --size 16 --identities 5 --held-out 1 --frames 600 --clips 16
  facejax train --config configs/pgface_small.py --config.data.path=talk --workdir WORKDIR
  facejax evaluate --workdir WORKDIR --data talk --split train --clips '*-1?'

Its pose-free ablation: the same with --config.model.pose=False. One short recording, its last
fifth held out:

  facejax train --config configs/pgface_small.py:person --config.data.path=clips --workdir W
  facejax evaluate --workdir W --data clips --split train --span 0.8,1

The net is that of the supplement, told who speaks. The figures to expect are in the README.
Hardware: two CPU cores, some 20 steps a second.
"""

from facejax.settings import default_config


def get_config(kind="people"):
    """Returns the config for embedded people, "people", or for one recording, "person"."""
    if kind not in ("people", "person"):
        raise ValueError(f"no kind {kind!r}; there are: people, person")
    config = default_config("pgface", "paper")
    config.data.update(batch=16, frames=32, clips="*-0?")
    config.eval.update(split="train", clips="*-1?", most_clips=10)
    config.model.speakers = 8
    config.optim.update(gen_lr=2e-3, dis_lr=2e-3, b1=0.9, schedule="linear", constant_part=0.4)
    config.train.update(
        steps=1200, log_every=200, eval_every=600, sample_every=600, checkpoint_every=600
    )
    if kind == "person":
        _regularise(config)
    return config.lock()


def _regularise(config):
    """Few steps, and noise on the speech: seconds of footage are soon known by heart."""
    config.data.update(clips="", span=(0.0, 0.8), step=2)
    config.eval.update(clips="", span=(0.8, 1.0), most_clips=0)
    config.model.update(widths=(16, 16, 32, 32), hidden=(64, 25), speakers=0, speech_noise=0.5)
    config.train.update(
        steps=300, log_every=50, eval_every=100, sample_every=300, checkpoint_every=100
    )
