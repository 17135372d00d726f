r"""PoseGAN at full size: speech and an initial pose -> head poses.

  facejax train --config configs/posegan.py --config.data.path=PERSON --workdir W
  facejax evaluate --workdir W --data PERSON --split train --span 0.9,1

Person-specific, as in the paper: the clips of one person. A general net of many people, then each
one's own from it: train it on all, then `:finetune` with --config.pretrained=GENERAL. `:diverse`
tells the net noise and trains it by an energy score, so that each seed moves in another way;
--config.model.speakers=N tells it who of N speaks, so that one net has the dynamics of all.
`:smoke` is a tiny one that shows that all is in place.

Sequences of 256 frames, one every 5 frames, batches of 64, Adam at 1e-4: the supplement gives the
layers and the 256; the rest is that of FACIAL, by the same authors. Ablations:
--config.model.audio=False, --config.model.initial_pose=False, --config.model.lambda_adversarial=0.

Hardware: one GPU. The paper's tables are not at hand: compare with mean_pose, constant_pose and
shuffled_audio of the report.
"""

from facejax.settings import default_config

GENERAL = "WORKDIR_OF_THE_GENERAL_RUN"  # refused by its name: fine-tuning nothing makes no sense


def get_config(preset="paper"):
    """Returns the config: "paper", "diverse", "finetune" or "smoke"."""
    presets = ("paper", "diverse", "finetune", "smoke")
    if preset not in presets:
        raise ValueError(f"no preset {preset!r}; there are: {', '.join(presets)}")
    config = default_config("posegan", "diverse" if preset == "diverse" else "paper")
    config.data.update(batch=64, frames=256, span=(0.0, 0.9))
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
    config.model.update(
        encoder_widths=(2, 3, 4, 4), unet_widths=(4, 4), width=4, dis_width=2, noise=2, speakers=3
    )
    config.train.update(steps=4, log_every=2, eval_every=4, checkpoint_every=2, sample_every=4)
