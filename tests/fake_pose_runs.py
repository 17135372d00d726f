"""Untrained PoseGAN and PGFace runs of two people who are not there."""

from facejax import runs
from facejax.data import sequences
from tests import fake_talks
from tests.fake_runs import make_workdir

PEOPLE = {"ann": 1, "bob": 2}  # and the seeds of their clips
FRAMES = 60


def clips():
    return [fake_talks.clip(who[0], who, FRAMES, seed=seed) for who, seed in PEOPLE.items()]


def folder(path):
    return fake_talks.folder(path, {"train": clips()})


def load(path, data, system, *overrides):
    """The loaded run of a workdir `path` that is written for the people of a data folder."""
    chosen = sequences.Config(path=data, frames=8, span=(0.0, 0.7))
    given = sequences.Sequences(chosen, 0).given
    source = f"configs/{system}.py:smoke"
    overrides = (f"data.path={data}", *overrides)
    model = given.pop("morphable")
    return runs.load(make_workdir(path, model, *overrides, source=source, alive=True, **given))
