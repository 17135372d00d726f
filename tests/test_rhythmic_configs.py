"""The configs of Psi and Phi, and, in the slow run, training from them to animating."""

import json

import numpy as np
import pytest

from facejax import evaluate, runs, settings, train
from facejax.systems import SYSTEMS
from facejax.workload import Choice
from tests import fake_performances

FILES = {
    "rhythmic_expression": ("paper", "released", "smoke"),
    "rhythmic_motion": ("paper", "released", "smoke"),
    "rhythmic_expression_small": ("",),
    "rhythmic_motion_small": ("",),
}
EACH = [(name, preset) for name, presets in FILES.items() for preset in presets]


def load(name, preset=""):
    return settings.load_config(f"configs/{name}.py" + (f":{preset}" if preset else ""))


@pytest.mark.parametrize(("name", "preset"), EACH)
def test_every_config_is_one_of_its_system_and_builds(name, preset):
    config = load(name, preset)
    assert config.system == name.removesuffix("_small")
    assert isinstance(settings.model_config(config), SYSTEMS[config.system].Config)
    for section in ("data", "optim", "train", "eval"):
        settings.section(config, section)


def test_presets_are_those_of_the_paper_and_of_the_published_code():
    """The table of differences: sound, noise, landmarks, identity, statistics, adversary."""
    psi, psi_released = (load("rhythmic_expression", preset) for preset in ("paper", "released"))
    assert (psi.data.rate, psi.data.noise, psi.data.dimensions) == (50000, "coloured", 3)
    assert (psi.data.identity, psi.data.components) == ("key", 20)
    assert (psi_released.data.dimensions, psi_released.data.identity) == (2, "template")
    assert psi_released.data.noise == "" and psi_released.data.gains[0] == -12
    assert len(psi_released.data.gains) == 7 and psi_released.model.audio_scale == 32768
    phi, phi_released = (load("rhythmic_motion", preset) for preset in ("paper", "released"))
    assert (phi.data.rate, phi.data.tau, phi.data.batch) == (50000, 64, 64)
    assert (phi.model.differences, phi.model.lambda_adversarial) == (False, 0.01)
    assert (phi_released.data.rate, phi_released.data.late) == (16000, 1)
    assert phi_released.data.smooth_sound and phi_released.data.statistics == "published"
    assert (phi_released.model.differences, phi_released.model.lambda_adversarial) == (True, 0)
    assert (phi.optim.gen_lr, phi.optim.weight_decay, phi.optim.schedule) == (3e-4, 2e-5, "halving")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rhythmic_expression", "rhythmic_motion"])
def test_training_ends_in_a_run_that_can_be_judged(tmp_path, name):
    clips = [fake_performances.clip(who, 40, seed=k) for k, who in enumerate("abc")]
    folder = fake_performances.folder(
        tmp_path / "talks", {"train": clips[:2], "validation": clips[2:]}
    )
    source = f"configs/{name}.py:smoke"
    state = train.train(
        settings.load_config(source, [f"--config.data.path={folder}"]), tmp_path / "w"
    )
    assert int(state.step) == 4
    run = runs.load(tmp_path / "w")
    result = evaluate.evaluate(run, Choice(folder, "validation"))
    assert result.report["clip_count"] == 1 and np.isfinite(result.report["model"]["landmarks"])
    lines = (tmp_path / "w" / "metrics.jsonl").read_text().splitlines()
    assert any("eval/model/landmarks" in json.loads(line) for line in lines)
