r"""PGFace at full size: windows of head poses and speech -> identity and expression.

  facejax train --config configs/pgface.py --config.data.path=PERSON --workdir W
  facejax evaluate --workdir W --data PERSON --split train --span 0.9,1

Sequences of 32 frames, each of which has its window of 16; batches of 64, Adam at 1e-4: the
supplement gives the layers and the window; losses and the rest are our completion. `:finetune`
begins with --config.pretrained=GENERAL; --config.model.speakers=N tells the net who of N speaks;
`:smoke` is a tiny one. Ablation: --config.model.pose=False.

Hardware: any; the net has 48 thousand parameters. The paper's tables are not at hand: compare with
mean_face and nearest_neighbour of the report.
"""

from facejax.settings import default_config

GENERAL = "WORKDIR_OF_THE_GENERAL_RUN"  # refused by its name: fine-tuning nothing makes no sense


def get_config(preset="paper"):
    """Returns the config: "paper", "finetune" or "smoke"."""
    presets = ("paper", "finetune", "smoke")
    if preset not in presets:
        raise ValueError(f"no preset {preset!r}; there are: {', '.join(presets)}")
    config = default_config("pgface", "paper")
    config.data.update(batch=64, frames=32, span=(0.0, 0.9))
    config.eval.update(split="train", span=(0.9, 1.0))
    config.optim.update(gen_lr=1e-4, dis_lr=1e-4, b1=0.9, schedule="constant")
    config.train.update(epochs=50, eval_every=1000, sample_every=1000, checkpoint_every=1000)
    if preset == "finetune":
        config.pretrained = GENERAL
        config.data.batch = 16
        config.optim.update(gen_lr=1e-5, dis_lr=1e-5)
        config.train.epochs = 10
    if preset == "smoke":
        _shrink(config)
    return config.lock()


def _shrink(config):
    config.data.update(batch=4, frames=8, step=2, span=(0.0, 0.7))
    config.eval.update(span=(0.7, 1.0), most_clips=2)
    config.model.update(widths=(3, 3, 4, 4), hidden=(5, 4), speakers=3)
    config.train.update(steps=4, log_every=2, eval_every=4, checkpoint_every=2, sample_every=4)
