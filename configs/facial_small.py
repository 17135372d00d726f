r"""FACIAL-GAN narrow enough to train on a CPU in minutes: several people, then each of them.

Five embedded people, each with an own rhythm, voice and way to blink; of their thirty clips the
last six are held out:

  facejax data synthetic --out talk --size 16 --identities 5 --held-out 1 --frames 300 --clips 30
  facejax train --config configs/facial_small.py:people --config.data.path=talk --workdir GENERAL
  facejax evaluate --workdir GENERAL --data talk --split train --clips '*-2[4-9]'

Each person's own from it, with the paper's schedule of fine-tuning, and whose motion all of it is
taken for:

  for k in 0 1 2 3 4; do facejax train --config configs/facial_small.py:own=train-000$k \
      --config.data.path=talk --config.pretrained=GENERAL --workdir own/train-000$k; done
  facejax evaluate --metrics personalization --workdir GENERAL --data talk --split train \
      --clips '*-2[4-9]'
  facejax evaluate --metrics personalization $(for k in 0 1 2 3 4; do \
      echo --workdir train-000$k=own/train-000$k; done) --data talk --split train --clips '*-2[4-9]'

The figures are in the README. Other clips, the last fifth of each held out: no kind, as in
`--config configs/facial_small.py --config.data.path=clips`, and `--split train --span 0.8,1`.

FACIAL's own file (24 s of one speaker, DeepSpeech features):

  facejax train --config configs/facial_small.py:published --config.data.path=FILE.npz --workdir W
  facejax evaluate --workdir W --data FILE.npz --split train --span 0.8,1

A few seconds of one speaker want as few numbers as that, and more sequences:

  facejax preprocess speaker.mp4 --out clips
  facejax train --config configs/facial_small.py:published --config.data.path=clips \
      --config.data.speech=mel --config.data.step=1 --config.model.speech_noise=0.5 \
      --config.train.steps=300 --workdir SPEECH
  facejax train --config configs/facial_video_small.py:96 --config.data.path=clips \
      --config.data.span=0,0.8 --config.eval.split=train --config.eval.span=0.8,1 \
      --config.train.steps=600 --workdir VIDEO
  facejax animate --audio speaker.mp4 --start 6.4 --workdir SPEECH --renderer-workdir VIDEO \
      --out own_words.mp4 --sheet own_words.png
  facejax evaluate --metrics reenactment --workdir SPEECH --renderer-workdir VIDEO --data clips \
      --split train --span 0.8,1

No discriminator: adversarial training wants more steps than a CPU has, and it is most of the work;
--config.model.lambda_adversarial=0.1 turns it on. A share of the sequences is trained from no
state, as speech begins. Hardware: two CPU cores.
"""

from facejax.settings import default_config

GENERAL = "WORKDIR_OF_THE_GENERAL_RUN"  # refused by its name: fine-tuning nothing makes no sense


def get_config(kind="clips"):
    """Returns the config of a kind: "clips", "people", "own=PERSON" or "published"."""
    kind, _, person = kind.partition("=")
    if kind not in ("clips", "people", "own", "published") or (kind == "own") != bool(person):
        raise ValueError(f"no kind {kind!r}; there are: clips, people, own=PERSON, published")
    config = default_config("facial", "paper")
    config.data.update(batch=16, span=(0.0, 0.8))
    config.eval.update(split="train", span=(0.8, 1.0), most_clips=0)
    config.model.update(
        encoder_widths=(16, 32, 64, 64),
        width=64,
        dis_width=8,
        lambda_adversarial=0.0,
        state_dropout=0.3,
    )
    config.optim.update(gen_lr=1e-3, dis_lr=1e-3, b1=0.9, schedule="linear", constant_part=0.4)
    config.train.update(
        steps=1500, log_every=100, eval_every=500, sample_every=500, checkpoint_every=500
    )
    if kind in ("people", "own"):
        _hold_out_clips(config, person or "*")
    if kind == "own":
        _go_on_with_one_person(config)
    if kind == "published":
        _keep_from_learning_by_heart(config)
    return config.lock()


def _hold_out_clips(config, person):
    """The last six of thirty clips, and not the ends of all: classifiers want 128 frames each."""
    trained = ",".join(f"{person}-{ending}" for ending in ("0?", "1?", "2[0-3]"))
    config.data.update(span=(0.0, 1.0), clips=trained)
    config.eval.update(span=(0.0, 1.0), clips=f"{person}-2[4-9]")


def _go_on_with_one_person(config):
    """The paper's fine-tuning: a tenth of the rate, ten epochs; of a quarter of the sequences."""
    config.pretrained = GENERAL
    config.data.step = 20
    config.optim.update(gen_lr=1e-4, dis_lr=1e-4, schedule="constant")
    config.train.update(steps=0, epochs=10, log_every=130, eval_every=130, sample_every=130)
    config.train.update(checkpoint_every=130)


def _keep_from_learning_by_heart(config):
    """Few numbers, few steps, much noise: 19 s of speech. Chosen on the fifth before the last."""
    config.data.speech = "deepspeech"  # logits of -40 to 20
    config.model.update(
        encoder_widths=(4, 8, 16, 16),
        width=16,
        local_widths=(8, 8, 16, 16),
        features=8,
        state_dropout=1.0,
        speech_noise=5.0,
    )
    config.optim.gen_lr = 5e-4
    config.train.update(steps=100, eval_every=100, sample_every=100, checkpoint_every=100)
