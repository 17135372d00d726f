r"""Rhythmic Head Motion's generator at 64 px, narrow enough to train on a CPU."""

from facejax.settings import default_config


def get_config(kind="8"):
    """Returns the config for K references, as "8"."""
    config = default_config("rhythmic", "paper")
    config.data.update(size=64, batch=2, references=int(kind), tau=32)
    config.eval.update(most_clips=8, most_frames=8)
    config.model.update(
        shots=int(kind),
        width=8,
        most_width=64,
        downs=3,
        spectral=False,
        norm="instance",  # a batch of four has no statistics to speak of
        adaptive_levels=2,
        compose_levels=4,
        transposed=False,
        flow_width=8,
        flow_residuals=1,
        flow_gain=5.0,
        flow_target="mesh",
        raw_loss=False,
        dis_width=8,
        dis_layers=3,
        lambda_adversarial=0.0,
        lambda_matching=0.0,
        lambda_vgg=0.0,
        lambda_l1=50.0,
    )
    config.optim.update(
        gen_lr=2e-3,
        dis_lr=2e-3,
        b1=0.9,
        schedule="linear",
        constant_part=0.4,
        ema=0.99,
        flat=True,
        warmup_steps=50,
    )
    config.train.update(
        steps=1000, log_every=100, eval_every=500, sample_every=500, checkpoint_every=500
    )
    return config.lock()
