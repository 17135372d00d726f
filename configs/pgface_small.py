"""Draft."""

from facejax.settings import default_config


def get_config(kind="clips"):
    config = default_config("pgface", "paper")
    config.data.update(batch=32, frames=32, clips="*-0?")
    config.eval.update(split="train", clips="*-1?", most_clips=10)
    config.model.update(speakers=8)
    config.optim.update(gen_lr=2e-3, dis_lr=2e-3, b1=0.9, schedule="linear", constant_part=0.4)
    config.train.update(
        steps=2000, log_every=100, eval_every=500, sample_every=1000, checkpoint_every=500
    )
    return config.lock()
