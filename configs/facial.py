r"""FACIAL-GAN at full size, with the schedules of the paper: speech -> pose, blinks, expression.

A general model of many speakers, then each person's own from it:

  facejax train --config configs/facial.py --config.data.path=CLIPS --workdir GENERAL
  facejax train --config configs/facial.py:finetune --config.data.path=PERSON \
      --config.pretrained=GENERAL --workdir OWN

General: sequences of 128 frames, one every 5 frames, batches of 64, 50 epochs, Adam at 1e-4 (the
published code's base rate; the paper gives none). Fine-tuning: batches of 16, 10 epochs, Adam at
1e-5, from the general generator with a new discriminator, new optimisers and step 0; the poses are
normalised with the new person's own statistics.

Presets: `:released` and `:released_finetune` are the published code's net, loss weights and steps
of 1 frame (11 epochs of fine-tuning); `:smoke` is a tiny one that shows that all is in place.

Data: clips with sound at 30 frames a second (`facejax preprocess`), or FACIAL's own files (a path
that ends in .npz or a folder of them, with --config.data.speech=deepspeech). The paper hears
DeepSpeech v0.1.0: --config.data.speech=deepspeech --config.data.speech_weights=output_graph.pb, and
--config.data.cache=FOLDER keeps what it heard; the default, log-mel bands, needs no file. Held-out
figures need speakers who are trained on: where the validation split has others, hold out the ends
of clips, --config.data.span=0,0.9 --config.eval.split=train --config.eval.span=0.9,1.

Hardware: one GPU; 9 GFLOP a sequence, nearly all of them the discriminator's. The paper's data, 450
clips, was never released, and no table of its figures is at hand: compare with the `person_mean`
and `nearest_neighbour` of the report.
"""

from facejax.settings import default_config

GENERAL = "WORKDIR_OF_THE_GENERAL_RUN"  # refused by its name: fine-tuning nothing makes no sense


def get_config(preset="paper"):
    """Returns the config: "paper", "finetune", "released", "released_finetune" or "smoke"."""
    presets = ("paper", "finetune", "released", "released_finetune", "smoke")
    if preset not in presets:
        raise ValueError(f"no preset {preset!r}; there are: {', '.join(presets)}")
    released = preset.startswith("released")
    config = default_config("facial", "released" if released else "paper")
    config.data.update(batch=64, step=1 if released else 5)
    config.optim.update(gen_lr=1e-4, dis_lr=1e-4, b1=0.9, schedule="constant")
    config.train.update(epochs=50, eval_every=1000, sample_every=1000, checkpoint_every=1000)
    if preset.endswith("finetune"):
        config.pretrained = GENERAL
        config.data.batch = 16
        config.optim.update(gen_lr=1e-5, dis_lr=1e-5)
        config.train.epochs = 11 if released else 10
    if preset == "smoke":
        _shrink(config)
    return config.lock()


def _shrink(config):
    config.data.update(batch=4, frames=8, step=2)
    config.model.update(
        encoder_widths=(2, 3, 4, 4), width=4, local_widths=(3, 3, 4, 4), features=3, dis_width=2
    )
    config.train.update(steps=4, log_every=2, eval_every=4, checkpoint_every=2, sample_every=4)
    config.eval.update(most_clips=2)
