"""Configs: their sections, their defaults, and how the command line sets them.

A config is a locked `ConfigDict`. Its sections `data`, `optim`, `train`, `eval` and `model` are
the fields of dataclasses, which hold the one default of every number and check its range.
"""

import contextlib
import dataclasses
import difflib
import io
import json
import pathlib
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from absl import flags
from ml_collections import ConfigDict, config_flags

from facejax.data.pipeline import check_span
from facejax.errors import InputError
from facejax.optimisers import Optim
from facejax.systems import SYSTEMS
from facejax.workloads import workload_of

Section = TypeVar("Section")


@dataclasses.dataclass(frozen=True)
class Train:
    """The run. `_every` counts steps; 0 is never."""

    steps: int = 0  # length of the run; 0: `epochs`
    epochs: int = 10
    log_every: int = 100
    eval_every: int = 5000
    checkpoint_every: int = 5000
    sample_every: int = 5000
    keep: int = 2  # newest checkpoints that stay; the best one stays as well
    threads: int = 4  # that decode frames
    bfloat16: bool = False  # of the nets' arithmetic; parameters and geometry stay float32

    def __post_init__(self):
        for name in ("log_every", "keep", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"train.{name} is {getattr(self, name)}; due: 1 or more")
        if self.steps < 1 and self.epochs < 1:
            raise InputError("train.steps and train.epochs are 0; due: one of them 1 or more")


@dataclasses.dataclass(frozen=True)
class Eval:
    """The held-out figures made while training."""

    split: str = "auto"  # "auto": validation where there is one
    span: tuple[float, float] = (0.0, 1.0)  # fraction of each clip
    clips: str = ""  # ids or glob patterns, separated by commas; empty: all
    most_clips: int = 16
    most_frames: int = 16  # of each clip, evenly spaced; 0: all

    def __post_init__(self):
        check_span(self.span)


KINDS: dict[str, type] = {"optim": Optim, "train": Train, "eval": Eval}


def default_config(system: str, preset: str = "paper") -> ConfigDict:
    """Returns the config of a system's preset, every key set, not locked yet.

    Raises:
      InputError: no such system or preset.
    """
    if system not in SYSTEMS:
        raise InputError(f"no system {system!r}; there are: {', '.join(SYSTEMS)}")
    entry = SYSTEMS[system]
    if preset not in entry.presets:
        raise InputError(f"{system} has no preset {preset!r}; it has: {', '.join(entry.presets)}")
    model = dataclasses.asdict(entry.Config(**entry.presets[preset]()))
    del model["bfloat16"]  # train.bfloat16
    sections = {
        "data": dataclasses.asdict(workload_of(system).Data(path="")),
        "optim": dataclasses.asdict(Optim()),
        "train": dataclasses.asdict(Train()),
        "eval": dataclasses.asdict(Eval()),
    }
    top = {"system": system, "preset": preset, "seed": 42, "resume": "", "pretrained": ""}
    return ConfigDict(top | {"model": model} | sections)


def section(config: ConfigDict, name: str) -> Any:
    """Returns one section as its dataclass, checked."""
    kind = workload_of(config.system).Data if name == "data" else KINDS[name]
    return build(kind, name, config[name].to_dict())


def model_config(config: ConfigDict) -> Any:
    """Returns the system's Config."""
    if config.system not in SYSTEMS:
        raise InputError(f"no system {config.system!r}; there are: {', '.join(SYSTEMS)}")
    values = config.model.to_dict() | {"bfloat16": config.train.bfloat16}
    return build(SYSTEMS[config.system].Config, "model", values)


def build(kind: type[Section], name: str, values: dict[str, Any]) -> Section:
    """Returns a dataclass from a section's values.

    Raises:
      InputError: a key that it does not have, or a value out of range.
    """
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise InputError(f"config key {name}.{key} is unknown{_nearest(key, known)}")
    return kind(**values)


def load_config(source: str, overrides: Sequence[str] = ()) -> ConfigDict:
    """Returns the config of a file, with the command line's overrides, locked.

    Args:
      source: path of a Python file with `get_config`, and after a colon its argument.
      overrides: "--config.data.batch=4" or "--config.data.batch", "4".

    Raises:
      InputError: no such file, a fault in it, an unknown key or a value of the wrong type.
    """
    path = source.partition(":")[0]
    if not pathlib.Path(path).is_file():
        raise InputError(f"no config file {path}; try one of configs/, as configs/headgan_small.py")
    known = _flat(_read(source))
    for override in overrides:
        _check_key(override, known, source)
    values = flags.FlagValues()  # our own: the process's flags stay untouched
    arguments = ["facejax", f"--config={source}", *overrides]
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=arguments)
    try:
        rest = values(arguments)[1:]
    except (flags.Error, ValueError, TypeError) as error:
        raise InputError(" ".join(str(error).split())) from error
    if rest:
        raise InputError(f"unknown argument {rest[0]!r}; a config key is set as --config.key=value")
    return values.config


def write_config(path: str | pathlib.Path, config: ConfigDict) -> None:
    """Writes a config as JSON."""
    from facejax.files import atomic_path

    with atomic_path(path) as partial:
        partial.write_text(json.dumps(config.to_dict(), indent=1) + "\n")


def read_config(path: str | pathlib.Path) -> ConfigDict:
    """Returns a config that `write_config` wrote, locked.

    Raises:
      InputError: the file is missing or is not such a config.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"{path.parent} is no workdir: it has no {path.name}; train one first")
    try:
        values = _tuples(json.loads(path.read_text()))
        if not isinstance(values, dict):
            raise ValueError("no dictionary")
        config = ConfigDict(values)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is not a config ({error}); train anew or restore it") from error
    missing = [name for name in ("system", "model", "data", *KINDS) if name not in config]
    if missing:
        raise InputError(f"{path} is not a config of a run: it has no {missing[0]!r}")
    return config.lock()


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples that they were."""
    if isinstance(value, dict):
        return {key: _tuples(inner) for key, inner in value.items()}
    return tuple(value) if isinstance(value, list) else value


def differences(one: ConfigDict, other: ConfigDict) -> list[str]:
    """Returns "train.steps: 100 -> 200" for every key in which two configs differ."""
    a, b = _flat(one), _flat(other)
    return [
        f"{key}: {a.get(key)} -> {b.get(key)}"
        for key in sorted(a.keys() | b.keys())
        if a.get(key) != b.get(key)
    ]


def _read(source: str) -> ConfigDict:
    """Runs a config file, without overrides."""
    values = flags.FlagValues()
    arguments = ["facejax", f"--config={source}"]
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=arguments)
            values(arguments)
            config = values.config
        if not isinstance(config, ConfigDict):
            raise TypeError("get_config returned no ConfigDict")
    except Exception as error:  # a config file is the user's code: anything may come
        lines = [*traceback.format_exception_only(error), *str(error).splitlines()]
        last = [line.strip() for line in lines if line.strip()][-1]
        last = last.removeprefix(f"{InputError.__module__}.{InputError.__name__}: ")
        raise InputError(f"config file {source} fails: {last}") from error
    return config


def _flat(config: ConfigDict, prefix: str = "") -> dict[str, Any]:
    return dict(_leaves(config, prefix))


def _leaves(config: ConfigDict, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _check_key(override: str, known: dict[str, Any], source: str) -> None:
    """Refuses --config.key where the config has no such key, and names the nearest."""
    if not override.startswith("-"):
        return  # the value of the key before
    name = override.lstrip("-").split("=")[0]
    name = name.removeprefix("no") if name.startswith("noconfig.") else name
    if not name.startswith("config."):
        raise InputError(f"unknown argument {override}; a config key is set as --config.key=value")
    key = name.removeprefix("config.")
    if key == "preset":
        file = source.partition(":")[0]
        raise InputError(f"the preset is chosen with the config file: --config {file}:released")
    if key not in known:
        raise InputError(f"config key {key} is unknown{_nearest(key, list(known))}")


def _nearest(key: str, known: Sequence[str]) -> str:
    """Returns "; did you mean x?", or the keys there are when they are few."""
    last = {name.split(".")[-1]: name for name in known}
    found = difflib.get_close_matches(key, known, 1) or [
        last[name] for name in difflib.get_close_matches(key.split(".")[-1], list(last), 1)
    ]
    return f"; did you mean {found[0]}?" if found else "; see the config file for the keys"
