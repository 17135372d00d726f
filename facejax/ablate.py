"""Rhythmic Head Motion's ablations: the variants of Table 3 and K = 1, 8, 32, trained and compared.

  facejax data synthetic --out heads --identities 64 --held-out 8 --frames 72
  facejax ablate --config configs/rhythmic_small.py --config.data.path=heads --out out/ablation

Every variant has the same steps and the same data. Held-out people: SSIM; CSIM, the cosine of
identity embeddings, and LMD, the distance of the mouths' landmarks, by a judge net that is trained
here on the training people's true frames; beside them showing the key frame, or the reference that
the motion matcher chose. Writes table.json, table.md, sheet.png and runs/. Given again, the same
command goes on where it stopped.
"""

import argparse
import json
import logging
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from facejax import ablation_table, few_shot_judge, runs, settings, sheets, train
from facejax.data import pipeline, records, shots
from facejax.errors import InputError
from facejax.files import atomic_path, check_parent, write_errors, write_image
from facejax.metrics import faces, reconstruction
from facejax.metrics.ssim import ssim
from facejax.nets.face_judge import FaceJudge
from facejax.panels import as_bytes
from facejax.progress import progress
from facejax.systems.rhythmic import ABLATIONS
from facejax.workload import Choice

SHOTS = (1, 8, 32)
JUDGE = "judge.msgpack"
JUDGE_FRAMES = 24  # of each training clip, evenly spaced
SHEET_ROWS, SHEET_SIDE = 6, 96
COPY = "copy of "  # begins the names of the baselines
KEY_COPY, MATCHED_COPY = COPY + "the key frame", COPY + "the matched reference"
ROWS = 8  # frames made at a time


class Variant(NamedTuple):
    """One trained row of the table."""

    name: str
    config: ConfigDict
    folder: str


def variants(config: ConfigDict, shots: tuple[int, ...]) -> list[Variant]:
    """Returns Table 3's rows with the config's K, then the full model with each other K."""
    found = []
    for name, changes in ABLATIONS.items():
        own = _copy(config)
        own.model.update(changes)
        found.append(Variant(name, own.lock(), re.sub(r"[^a-z0-9]+", "-", name.lower())))
    for count in shots:
        if count == config.model.shots:
            continue
        own = _copy(config)
        own.model.shots = own.data.references = count
        found.append(Variant(f"K = {count}", own.lock(), f"shots-{count}"))
    return found


def _copy(config: ConfigDict) -> ConfigDict:
    return ConfigDict(config.to_dict())


def pick(found: list[Variant], names: str) -> list[Variant]:
    """Returns the variants of these folders, separated by commas; all if there are none.

    Raises:
      InputError: no such variant.
    """
    known = [one.folder for one in found]
    wanted = names.split(",") if names else known
    for name in wanted:
        if name not in known:
            raise InputError(f"--only names {name!r}; there are: {', '.join(known)}")
    return [one for one in found if one.folder in wanted]


def ablate(
    config: ConfigDict,
    out: pathlib.Path,
    split: str,
    shots: tuple[int, ...],
    frames: int,
    only: str = "",
) -> str:
    """Trains, measures and writes; returns the table as text.

    Args:
      config: of the full model.
      out: where all is written.
      split: of the held-out people.
      shots: K to compare.
      frames: of each clip; 0: all.
      only: folders of the variants, separated by commas; "": all.

    Raises:
      InputError: the config is of another system, or a fault in it or in the data.
    """
    if config.system != "rhythmic":
        raise InputError(f"the config is of {config.system}; ablations are those of rhythmic")
    chosen = pick(variants(config, shots), only)
    with write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    for one in chosen:
        logging.info("training: %s", one.name)
        state = train.train(one.config, out / "runs" / one.folder)
        if int(jax.device_get(state.step)) < config.train.steps:
            raise KeyboardInterrupt  # a signal ended the training: the command goes on later
    judge = _judge(config, out / JUDGE)
    rows: dict[str, dict[str, float]] = {}
    pictures: list[dict[str, np.ndarray]] = []
    choice = Choice(config.data.path, split, most_frames=frames)
    for one in chosen:
        found, shown = measure(out / "runs" / one.folder, choice, judge, one.name)
        rows |= {name: row for name, row in found.items() if name not in rows}
        pictures = _beside(pictures, shown)
    if config.model.shots in SHOTS and "full" in rows:
        rows[f"K = {config.model.shots}"] = rows["full"]
    rows = {name: rows[name] for name in sorted(rows, key=lambda name: name.startswith(COPY))}
    held = ablation_table.orderings(rows)
    checked = check_judge(judge, choice, settings.section(config, "data"))
    report = {"steps": config.train.steps, "judge": checked, "rows": rows, "orderings": held}
    with atomic_path(out / "table.json") as partial:
        partial.write_text(json.dumps(report | {"paper": ablation_table.PAPER}, indent=1) + "\n")
    text = ablation_table.markdown(rows, held)
    with atomic_path(out / "table.md") as partial:
        partial.write_text(text)
    columns = len(pictures[0])
    images = [image for row in pictures for image in row.values()]
    labels = [label for row in pictures for label in row]
    write_image(out / "sheet.png", sheets.grid(images, labels, columns=columns))
    return text


def measure(
    workdir: pathlib.Path, choice: Choice, judge: faces.Judge, name: str
) -> tuple[dict[str, dict[str, float]], list[dict[str, np.ndarray]]]:
    """Returns figures {name or "copy ...": {figure: number}} of a run, and pictures of some frames.

    Args:
      workdir: of the run.
      choice: which clips and frames.
      judge: of identity and landmarks.
      name: of the row.
    """
    run = runs.load(workdir)
    data = settings.section(run.config, "data")
    shown: dict[str, list[np.ndarray]] = {name: [], KEY_COPY: [], "truth": []}
    pictures: list[dict[str, np.ndarray]] = []
    for inputs, target, count in _batches(few_shot_judge.FewShotTasks(choice, data), data, name):
        outputs = jax.device_get(run.generate(inputs))
        still = np.broadcast_to(inputs["key_frame"]["image"], target.shape)
        made = {name: outputs["image"], KEY_COPY: still, "truth": target}
        if "matched" in outputs:
            made[MATCHED_COPY] = outputs["matched"]
        for label, images in made.items():
            shown.setdefault(label, []).append(images[:count])
        pictures.append({label: images[0] for label, images in made.items()})
    truth = np.concatenate(shown.pop("truth"))
    said = faces.say(judge, truth)
    rows = {k: _figures(judge, np.concatenate(v), truth, said) for k, v in shown.items()}
    few = [pictures[k] for k in np.linspace(0, len(pictures) - 1, SHEET_ROWS).astype(int)]
    return rows, [{label: _picture(image) for label, image in row.items()} for row in few]


def _batches(
    tasks: few_shot_judge.FewShotTasks, data: shots.Config, label: str
) -> Iterator[tuple[dict[str, Any], np.ndarray, int]]:
    """Yields inputs, true frames and how many of them count; the last are filled up."""
    for task in progress(tasks, len(tasks), label[:20]):
        for first in range(0, len(task.targets), ROWS):
            targets = task.targets[first : first + ROWS]
            full = np.concatenate([targets, np.repeat(targets[-1:], ROWS - len(targets))])
            yield *few_shot_judge.batch_of(task, full, data), len(targets)


def _figures(
    judge: faces.Judge, made: np.ndarray, truth: np.ndarray, said: Any
) -> dict[str, float]:
    ours = faces.say(judge, made)
    errors = reconstruction.summary(
        [reconstruction.frame_errors(jnp.asarray(made), jnp.asarray(truth))]
    )
    alike = np.asarray(jax.jit(ssim)(made, truth))
    distance = faces.mouth_distance(ours.landmarks, said.landmarks)
    cosine = faces.csim(ours.embedding, said.embedding)
    figures = {"ssim": alike.mean(), "csim": cosine.mean(), "lmd": distance.mean()}
    return {k: float(v) for k, v in figures.items()} | errors | {"frames": len(made)}


def _picture(image: np.ndarray) -> np.ndarray:
    return pipeline.resize(as_bytes(image), max(SHEET_SIDE, len(image)))


def _beside(
    rows: list[dict[str, np.ndarray]], new: list[dict[str, np.ndarray]]
) -> list[dict[str, np.ndarray]]:
    """Puts each new column beside those there are: copies first, the true frame last."""
    rows = rows or [{} for _ in new]
    merged = []
    for row, more in zip(rows, new, strict=True):
        both = more | row  # what both have shows the same
        last = {"truth": 2} | {label: 0 for label in both if label.startswith(COPY)}
        merged.append({k: both[k] for k in sorted(both, key=lambda k: last.get(k, 1))})
    return merged


def _judge(config: ConfigDict, path: pathlib.Path) -> faces.Judge:
    """Returns the judge of the training people's true frames; trains it once."""
    data = settings.section(config, "data")
    clips = records.open_clips(data.path, data.split)
    people = sorted(set(clips.speakers))
    if path.is_file():
        params = flax.serialization.msgpack_restore(path.read_bytes())
        return faces.Judge(FaceJudge(len(people)), params)
    logging.info("training: the judge of identity and landmarks, of %d people", len(people))
    images, landmarks, person = _true_frames(clips, data.size)
    judge = faces.train(images, landmarks, person)
    with atomic_path(path) as partial:
        partial.write_bytes(flax.serialization.msgpack_serialize(judge.params))
    return judge


def _true_frames(clips: records.Clips, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns images uint8 [F, S, S, 3], landmarks [F, 68, 2] px and people [F] of all clips."""
    people = sorted(set(clips.speakers))
    images, landmarks, person = [], [], []
    for number in range(len(clips)):
        clip = clips[number]
        known = np.flatnonzero(clip.valid)
        for k in few_shot_judge.evenly_spaced(known, min(JUDGE_FRAMES, len(known))):
            frame = records.decode_frame(clip.frames[k])
            images.append(pipeline.resize(frame, size))
            landmarks.append(clip.landmarks[k, :68, :2] * size / len(frame))
            person.append(people.index(clip.speaker_id))
    return np.stack(images), np.stack(landmarks), np.asarray(person)


def check_judge(judge: faces.Judge, choice: Choice, data: shots.Config) -> dict[str, float]:
    """Returns what the judge is worth on people it never saw.

    told_apart: how often two frames of one person are more alike than two of different people;
    mouth_distance: LMD of its landmarks from the true ones, px.
    """
    clips = records.open_clips(choice.path, choice.split)
    images, landmarks, person = _true_frames(clips, data.size)
    said = faces.say(judge, images.astype(np.float32) / 127.5 - 1)
    worth = {"mouth_distance": float(faces.mouth_distance(said.landmarks, landmarks).mean())}
    if len(set(person.tolist())) > 1:
        worth["told_apart"] = faces.told_apart(said.embedding, person)
    return worth


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments; the rest are overrides of the config."""
    parser.add_argument("--config", required=True, metavar="FILE[:ARG]")
    parser.add_argument("--out", required=True, metavar="DIR", help="where all is written")
    parser.add_argument("--split", default="test", help="held-out people (default: test)")
    parser.add_argument("--shots", default="1,8,32", help="K to compare (default: 1,8,32)")
    parser.add_argument("--frames", type=int, default=16, help="of each clip; 0: all (default: 16)")
    parser.add_argument(
        "--only", default="", metavar="A,B", help="variants, by their folders (default: all)"
    )
    parser.set_defaults(overrides=[])


def run(args: argparse.Namespace) -> int:
    """Trains and compares, and says the table."""
    try:
        shots = tuple(int(part) for part in args.shots.split(","))
    except ValueError as error:
        raise InputError(f"--shots is {args.shots!r}; due: numbers, as 1,8,32") from error
    config = settings.load_config(args.config, args.overrides)
    runs.use_compile_cache()
    out = check_parent(args.out)
    text = ablate(config, out, args.split, shots, args.frames, args.only)
    sys.stdout.write(f"{text}{out / 'table.json'} {out / 'sheet.png'}\n")
    return 0
