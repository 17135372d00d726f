r"""HeadGAN at 64 px (or 128), narrow enough to train on a CPU.

  facejax data synthetic --out heads
  facejax train --config configs/headgan_small.py --config.data.path=heads --workdir WORKDIR

128 px: `--config configs/headgan_small.py:128`. One person's own footage, its last fifth held out,
beginning with the generator that the demo trained (without it: 1.7 dB less, thrice the time):

  facejax preprocess speaker.mp4 --out clips
  facejax train --config configs/headgan_small.py --config.data.path=clips --workdir WORKDIR \
      --config.pretrained=out/demo/run --config.train.steps=600 --config.optim.gen_lr=1e-3 \
      --config.data.span=0,0.8 --config.eval.split=train --config.eval.span=0.8,1
  facejax evaluate --workdir WORKDIR --data clips --split train --span 0.8,1

Only the L1 losses, on the result and on the warped reference: adversarial training wants more steps
than a CPU has; --config.model.lambda_adversarial=1 turns it on. Hardware: two CPU cores, seven
minutes. Number to expect on the demo's held-out people: 25.5 dB, 6.3 above copying the reference.
"""

from facejax.settings import default_config


def get_config(size="64"):
    """Returns the config for images of `size` px."""
    config = default_config("headgan", "paper")
    config.data.update(size=int(size), batch=4, part_frames=0, windows=(1,), references=0)
    config.model.update(
        width=8,
        hidden=16,
        spade_residual=True,  # without it the flow learns half as fast
        spade_gain=0.6,  # the 3-D faces count from the first step on
        use_audio=False,  # raw speech features let a small set be learnt by heart: 0.5 dB less
        from_warped=True,  # R starts from the warped image, and need not learn to copy it
        dis_width=8,
        mouth_size=int(size) // 4,
        lambda_adversarial=0.0,
        lambda_matching=0.0,
        lambda_vgg=0.0,
    )
    config.optim.update(
        gen_lr=2e-3,
        dis_lr=2e-3,
        b1=0.9,
        schedule="linear",
        constant_part=0.4,
        ema=0.99,
        warmup_steps=50,
    )
    config.train.update(
        steps=1700, log_every=100, eval_every=850, sample_every=850, checkpoint_every=850
    )
    return config.lock()
