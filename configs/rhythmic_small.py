r"""Rhythmic Head Motion's generator at 64 px, narrow enough to train on a CPU.

  facejax data synthetic --out heads --identities 64 --held-out 8 --frames 72
  facejax train --config configs/rhythmic_small.py --config.data.path=heads --workdir WORKDIR
  facejax evaluate --workdir WORKDIR --data heads

and Table 3's ablations beside K = 1, 8, 32, each with the same steps:

  facejax ablate --config configs/rhythmic_small.py --config.data.path=heads --out out/ablation

K = 1 or 32: `--config configs/rhythmic_small.py:1`. A reference video is the first 32 frames of a
clip here. L1 and the flow of the face's mesh in the place of adversarial and perceptual losses,
which want more steps than a CPU has; instance norm, for a batch of two has no statistics; no
spectral norm. --config.model.lambda_adversarial=1 --config.model.lambda_matching=10 turn the
discriminators on. One person, beginning with a trained generator, on the reference video alone:

  facejax train --config configs/rhythmic_small.py --config.data.path=clips --workdir W2 \
      --config.pretrained=WORKDIR --config.data.targets=references --config.data.clips=NAME \
      --config.optim.trained='fusion/[fs]*,decoder/*' --config.train.steps=70

(`optim.trained` as published: the layers that give weights, and the decoder; leave it out to train
all.)

Hardware: two CPU cores. To expect after 700 steps, on people never trained on: PSNR 23.3 dB, 2.4
above showing the matched reference; README has the ablations'. The published code warps the worst
reference three times in four (data.worst=0.75), which wants a longer training than any reference.
"""

from facejax.settings import default_config


def get_config(kind="8"):
    """Returns the config for K references, as "8"."""
    config = default_config("rhythmic", "paper")
    config.data.update(size=64, batch=2, per_clip=4, references=int(kind), tau=32, worst=0.0)
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
        steps=700, log_every=50, eval_every=350, sample_every=350, checkpoint_every=350
    )
    return config.lock()
