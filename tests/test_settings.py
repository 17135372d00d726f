import pathlib

import pytest
from ml_collections import ConfigDict

from facejax import optimisers, settings
from facejax.data import pipeline
from facejax.errors import InputError
from facejax.systems import SYSTEMS

FOLDER = pathlib.Path(__file__).parent.parent / "configs"
PRESETS = ["", ":paper", ":released", ":smoke"]
ARGUMENTS = {
    "headgan": PRESETS,
    "headgan_small": ["", ":128"],
    "facial_video": PRESETS,
    "posegan": ["", ":diverse", ":finetune", ":smoke"],
    "posegan_small": ["", ":person"],
    "pgface": ["", ":finetune", ":smoke"],
    "pgface_small": ["", ":person"],
    "facial_video_small": ["", ":128"],
}
CONFIGS = [
    f"{path.name}{argument}"
    for path in sorted(FOLDER.glob("*.py"))
    for argument in ARGUMENTS.get(path.stem, [""])
]
FULL = str(FOLDER / "headgan.py")


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_builds_its_parts_and_is_locked(name):
    config = settings.load_config(str(FOLDER / name))
    for kind in ("data", *settings.KINDS):
        settings.section(config, kind)
    settings.model_config(config)
    assert config.is_locked
    doc = (FOLDER / name.partition(":")[0]).read_text().split('"""')[1]
    assert "facejax train --config" in doc and "Hardware" in doc


def test_the_defaults_are_those_of_the_dataclasses():
    config = settings.default_config("headgan")
    assert settings.section(config, "optim") == optimisers.Optim()
    assert settings.section(config, "data") == pipeline.Config(path="")
    assert settings.model_config(config) == SYSTEMS["headgan"].Config()


def test_the_papers_schedule_is_the_full_configs():
    config = settings.load_config(FULL)
    data = settings.section(config, "data")
    assert (data.batch, data.size, data.part_frames, data.references) == (6, 256, 50, 8)
    assert data.windows == (6, 6, 12, 24, 48) and config.train.epochs == 10
    optim = settings.section(config, "optim")
    assert (optim.gen_lr, optim.dis_lr, optim.b1, optim.b2) == (2e-4, 2e-4, 0.5, 0.999)
    assert (optim.dis_every, optim.zero_last, data.id_source) == (1, False, "reference")


def test_the_released_preset_differs_as_the_published_code_does():
    config = settings.load_config(f"{FULL}:released")
    assert config.optim.dis_every == 4 and config.optim.zero_last
    assert config.data.audio == "lowlevel_ahead"
    assert config.data.id_source == "frame" and config.model.mask_head


def test_bfloat16_is_a_switch_of_the_run():
    config = settings.load_config(FULL, ["--config.train.bfloat16"])
    assert settings.model_config(config).bfloat16
    assert "bfloat16" not in config.model


@pytest.mark.parametrize(
    ("arguments", "due"),
    [
        (["--config.data.windows=1,2,3"], (1, 2, 3)),
        (["--config.data.windows=4"], (4,)),
        (["--config.data.windows", "4,5"], (4, 5)),
    ],
)
def test_a_list_is_set_from_the_command_line(arguments, due):
    assert settings.load_config(FULL, arguments).data.windows == due


def test_a_span_and_clips_are_set_from_the_command_line():
    arguments = ["--config.data.span=0,0.8", "--config.data.clips=a*,b"]
    data = settings.section(settings.load_config(FULL, arguments), "data")
    assert data.span == (0, 0.8) and data.clips == "a*,b"


def test_a_config_survives_its_file(tmp_path):
    config = settings.load_config(FULL, ["--config.data.path=x"])
    settings.write_config(tmp_path / "config.json", config)
    found = settings.read_config(tmp_path / "config.json")
    assert found == config and found.is_locked
    assert settings.differences(config, found) == []
    with found.unlocked():
        found.train.steps = 5
    assert settings.differences(config, found) == ["train.steps: 0 -> 5"]


@pytest.mark.parametrize(
    ("text", "message"), [("", "is not a config"), ("{}", "has no 'system'"), ("[1]", "is not a")]
)
def test_a_damaged_config_is_named(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=message):
        settings.read_config(tmp_path / "config.json")
    with pytest.raises(InputError, match="is no workdir"):
        settings.read_config(tmp_path / "nowhere" / "config.json")


def test_a_key_of_another_version_is_named():
    config = settings.default_config("headgan")
    config.model = ConfigDict(config.model.to_dict() | {"wdith": 3})
    with pytest.raises(InputError, match=r"model.wdith is unknown; did you mean width\?"):
        settings.model_config(config)


def test_an_unknown_system_or_preset_lists_those_there_are():
    with pytest.raises(InputError, match="no system 'gan'; there are: headgan"):
        settings.default_config("gan")
    with pytest.raises(InputError, match="no preset 'x'; it has: paper, released"):
        settings.default_config("headgan", "x")
    with pytest.raises(InputError, match="fails: headgan has no preset 'x'"):
        settings.load_config(f"{FULL}:x")
