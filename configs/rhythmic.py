r"""Rhythmic Head Motion's generator at full size, 256 px, K = 8, as the paper trains it.

  facejax train --config configs/rhythmic.py --config.data.path=DATA --workdir WORKDIR

`configs/rhythmic.py:paper-1` and `:paper-32` are for other K: the information exchange and its
gates are for one K. `:released` is the published model that the authors evaluated, whose one set of
weights serves any K; `:released_new` their later recipe; `:smoke` a tiny one that shows that all is
in place.

Data: talking-head clips at 256 px (`facejax preprocess --size 256`), longer than the 64 frames of a
reference video; the paper used VoxCeleb2 and LRS3-TED. Perceptual loss:
--config.model.vgg=vgg19-dcbb9e9d.pth (torchvision's file); without it the run says that the term is
off. Flow has no target unless --config.model.flow_target=mesh, the true flow of the face's mesh,
stands in for FlowNet2. One person, beginning with a trained generator, on the reference video
alone (fs-vid2vid's fine-tuning):

  facejax train --config configs/rhythmic.py --config.data.path=clips --workdir W2 \
      --config.pretrained=WORKDIR --config.data.targets=references --config.data.clips=NAME \
      --config.train.steps=70

Hardware: a GPU; --config.train.bfloat16 and --config.optim.accumulate=4 lower its memory. Numbers
of the paper (Table 2, VoxCeleb2, landmark-driven): SSIM 0.71 / 0.71 / 0.78 and CSIM 0.44 / 0.50 /
0.58 for K = 1 / 8 / 32.
"""

from facejax.settings import default_config


def get_config(kind="paper"):
    """Returns the config: "paper", "paper-1", "paper-32", "released", "released_new" or "smoke"."""
    preset, _, shots = kind.partition("-")
    config = default_config("rhythmic", "paper" if preset == "smoke" else preset)
    config.optim.update(schedule="constant")
    config.train.epochs = 100
    if shots:
        config.data.references = config.model.shots = int(shots)
    if preset.startswith("released"):
        config.data.update(tau_part=0.25, matcher="rotation", batch=56)
        config.optim.update(b1=0.0, dis_lr=8e-4)
    if preset == "smoke":
        _shrink(config)
    return config.lock()


def _shrink(config):
    config.data.update(size=32, batch=2, references=2, tau=4)
    config.model.update(
        shots=2,
        width=2,
        most_width=8,
        downs=3,
        adaptive_levels=2,
        compose_levels=4,
        flow_width=2,
        flow_downs=2,
        flow_residuals=1,
        dis_width=2,
        dis_layers=2,
    )
    config.train.update(steps=4, log_every=1, eval_every=4, checkpoint_every=2, sample_every=4)
    config.eval.update(most_clips=2, most_frames=2)
