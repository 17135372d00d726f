"""Writing data folders shard by shard: one shard a source video, so that a run can be resumed.

A shard appears whole or not at all, first under `pending/`. `seal` gives every shard its TFDS name
(clips-train.array_record-00000-of-00002) and writes the TFDS metadata; more shards can be added
and sealed later. `shards.json` lists sources in shard order and is written first, so that a seal
that was cut short is finished by the next one.
"""

import contextlib
import errno
import itertools
import json
import os
import pathlib
import urllib.parse
from collections.abc import Iterable, Iterator
from typing import Any

from facejax.data import records
from facejax.errors import InputError
from facejax.files import atomic_path

SPLITS = ("train", "validation", "test")
_PENDING = "pending"
_MANIFEST = "shards.json"
_NAME = "clips"
_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"


def write_shard(
    folder: str | pathlib.Path, split: str, source: str, clips: Iterable[records.Clip]
) -> int:
    """Writes one source's clips as a pending shard and returns how many there were.

    The shard is written beside its place and renamed at the end. No clips: no shard.

    Raises:
      InputError: the place cannot be written.
      ValueError: an unknown split, or a malformed clip.
    """
    from array_record.python import array_record_module

    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; due: one of {', '.join(SPLITS)}")
    clips = iter(clips)
    first = next(clips, None)
    if first is None:
        return 0
    path = _pending_path(pathlib.Path(folder), split, source)
    path.parent.mkdir(parents=True, exist_ok=True)
    features = records.features_of(first)
    count = 0
    with atomic_path(path) as partial, _system_errors():
        writer = array_record_module.ArrayRecordWriter(str(partial), "group_size:1")
        try:
            for clip in itertools.chain([first], clips):
                writer.write(features.serialize_example(records.example(clip)))
                count += 1
        finally:
            writer.close()
    return count


def sources(folder: str | pathlib.Path) -> dict[str, str]:
    """Returns {source: split} of every shard written so far, sealed or pending."""
    folder = pathlib.Path(folder)
    found = {source: split for split, known in _manifest(folder).items() for source in known}
    return found | dict(_pending(folder))


def seal(folder: str | pathlib.Path, description: str = "") -> dict[str, int]:
    """Makes the folder a TFDS directory of all its shards; returns {split: clips}.

    Also rewrites the index. `model.npz` is the caller's to put there.

    Raises:
      InputError: there is nothing to seal, or shards differ in crop size or in the sizes of
        their motions.
    """
    folder = pathlib.Path(folder)
    manifest = _manifest(folder)
    for source, split in sources(folder).items():
        known = manifest.setdefault(split, [])
        known += [source] if source not in known else []
    if not manifest:
        raise InputError(f"{folder} has no clips to seal; preprocess at least one video first")
    _write_json(folder / _MANIFEST, manifest)
    shards = {split: _rename(folder, split, known) for split, known in manifest.items()}
    features, index, lengths = _survey(shards)
    _write_json(folder / records.INDEX, index)
    _write_metadata(features, shards, lengths, description)
    return {split: len(rows) for split, rows in index.items()}


@contextlib.contextmanager
def _system_errors() -> Iterator[None]:
    """Turns array_record's RuntimeErrors into the OSErrors that they tell of (disk full, ...)."""
    try:
        yield
    except RuntimeError as error:
        for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
            if os.strerror(code) in str(error):
                raise OSError(code, os.strerror(code)) from error
        raise


def _pending_path(folder: pathlib.Path, split: str, source: str) -> pathlib.Path:
    return folder / _PENDING / f"{split}.{urllib.parse.quote(source, safe='')}.array_record"


def _manifest(folder: pathlib.Path) -> dict[str, list[str]]:
    path = folder / _MANIFEST
    return json.loads(path.read_text()) if path.is_file() else {}


def _pending(folder: pathlib.Path) -> Iterable[tuple[str, str]]:
    for path in sorted((folder / _PENDING).glob("*.array_record")):
        split, name = path.name.removesuffix(".array_record").split(".", 1)
        yield urllib.parse.unquote(name), split


def _rename(folder: pathlib.Path, split: str, known: list[str]) -> list[pathlib.Path]:
    """Gives every shard of a split its final name; returns them in order."""
    paths = []
    for number, source in enumerate(known):
        pending = _pending_path(folder, split, source)
        sealed = sorted(folder.glob(f"{_NAME}-{split}.array_record-{number:05d}-of-*"))
        target = folder / f"{_NAME}-{split}.array_record-{number:05d}-of-{len(known):05d}"
        if pending.is_file():  # new, or written anew
            for old in sealed:
                old.unlink()
            pending.replace(target)
        elif sealed:
            sealed[0].replace(target)
        else:
            raise InputError(f"{folder} has lost the shard of {source!r}; preprocess it again")
        paths.append(target)
    return paths


def _survey(shards: dict[str, list[pathlib.Path]]) -> tuple[Any, dict, dict[str, list[int]]]:
    """Reads every clip once: the folder's features, its index, and the clips in each shard."""
    features, sizes = None, {}
    index: dict[str, list] = {}
    lengths: dict[str, list[int]] = {}
    for split, paths in shards.items():
        index[split], lengths[split] = [], []
        for path in paths:
            reader = records.open_shard(str(path))
            lengths[split].append(reader.num_records())
            for number in range(reader.num_records()):
                clip = records.parse(reader.read([number])[0])
                here = records.dimensions(clip)
                if features is None:
                    features, sizes = records.features_of(clip), here
                if here != sizes:
                    raise InputError(
                        f"clip {clip.clip_id} has {here}, the others {sizes}; a folder holds one "
                        f"kind: preprocess into another --out, or all with the same options"
                    )
                index[split].append(records.index_row(clip))
    return features, index, lengths


def _write_metadata(
    features: Any,
    shards: dict[str, list[pathlib.Path]],
    lengths: dict[str, list[int]],
    description: str,
) -> None:
    import tensorflow_datasets as tfds
    from etils import epath

    folder = next(iter(shards.values()))[0].parent
    infos = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=lengths[split],
            num_bytes=sum(path.stat().st_size for path in paths),
            filename_template=tfds.core.ShardedFileTemplate(
                data_dir=epath.Path(folder),
                dataset_name=_NAME,
                split=split,
                filetype_suffix="array_record",
            ),
        )
        for split, paths in shards.items()
    ]
    tfds.folder_dataset.write_metadata(
        data_dir=str(folder),
        features=features,
        split_infos=infos,
        filename_template=_TEMPLATE,
        check_data=False,
        description=description or "Talking-head clips (facejax.data.records).",
    )


def _write_json(path: pathlib.Path, value: Any) -> None:
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(value, indent=1))
