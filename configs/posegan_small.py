"""Draft."""

from facejax.settings import default_config


def get_config(kind="clips"):
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
        steps=2000, log_every=100, eval_every=500, sample_every=1000, checkpoint_every=500
    )
    return config.lock()
