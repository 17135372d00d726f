r"""FACIAL's rendering to video at 64 px (or 128), narrow enough to train on a CPU.

One person of the embedded data set, the last fifth held out:

  facejax data synthetic --out one --size 64 --identities 1 --held-out 1 --frames 400
  facejax train --config configs/facial_video_small.py --config.data.path=one --workdir WORKDIR \
      --config.data.span=0,0.8 --config.eval.split=train --config.eval.span=0.8,1
  facejax evaluate --workdir WORKDIR --data one --split train --span 0.8,1

gives, over 79 held-out frames of 64 px, after 1500 steps (six minutes of one core):

                              all pixels            where the face is
                              L1      PSNR          L1      PSNR
  result                      4.28    26.59 dB      4.19    29.70 dB
  bare render, black behind   86.49    7.22 dB      4.71    28.42 dB
  copying the reference       18.35   15.80 dB      20.60   17.04 dB

Head, hair, shoulders and blinks follow; teeth and irises are still soft. 128 px:
`--config configs/facial_video_small.py:128`. One's own footage: `facejax preprocess speaker.mp4
--out clips`, then the same with clips in the place of one.

Only the L1 loss: adversarial training wants more steps than a CPU has;
--config.model.lambda_adversarial=1 --config.model.lambda_matching=2 turns it on. The appearance is
taken from eight frames, where the paper takes one. Hardware: one CPU core or more.
"""

from facejax.settings import default_config


def get_config(size="64"):
    """Returns the config for images of `size` px."""
    config = default_config("facial_video", "paper")
    config.data.update(size=int(size), batch=2, appearance_frames=8)
    config.model.update(
        width=32,
        halvings=3,
        trunk_residuals=2,
        residuals=1,
        dis_width=8,
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
        steps=1500, log_every=100, eval_every=750, sample_every=750, checkpoint_every=750
    )
    return config.lock()
