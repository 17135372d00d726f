"""Clips on disk: one record is one clip, the same for embedded and for preprocessed footage.

A data folder is a TFDS directory of array_record files (it opens with
`tfds.builder_from_directory`) and, beside them, `model.npz`, the morphable model that the motions
refer to. `clips.json` is an index of ids and lengths, made when it is missing. Any clip is read by
its number, without reading those before it. Writing is in `facejax.data.shards`.
"""

import functools
import json
import pathlib
from typing import Any, NamedTuple

import cv2
import numpy as np

from facejax.checks import shapes
from facejax.errors import InputError
from facejax.files import atomic_path

AUDIO_RATE = 16000  # Hz
INDEX = "clips.json"
MODEL = "model.npz"


class Clip(NamedTuple):
    """A bounded stretch of one talking face in a steady crop of S x S pixels.

    `times` are seconds from the clip's start, which is audio sample 0. Points are pixels of the
    crop: x right, y down, z away from the viewer.
    """

    clip_id: str
    speaker_id: str
    fps_num: int
    fps_den: int
    times: np.ndarray  # [T] float64 s
    frames: list[bytes]  # T of them, JPEG or PNG, S x S x 3
    audio: np.ndarray  # [n] int16 mono at AUDIO_RATE; n = 0: silent
    identity: np.ndarray  # [T, I] float32, fitted frame by frame
    expression: np.ndarray  # [T, E] float32
    pose: np.ndarray  # [T, 6] float32 pitch, yaw, roll in radians; x, y, z in millimetres
    blink: np.ndarray  # [T] float32, 0 (open) to 5 (shut)
    landmarks: np.ndarray  # [T, 70, 3] float32 px
    points: np.ndarray  # [T, N, 3] float32 px
    valid: np.ndarray  # [T] bool: a face was found in this frame
    box: np.ndarray  # [4] float32 x0, y0, x1, y1 of the crop in the source's pixels
    source_size: np.ndarray  # [2] int32 height, width of the source
    mask: list[bytes]  # T PNG of S x S x 1, 255 = person; or empty
    licence: str


_ARRAYS: dict[str, tuple[Any, str]] = {
    "times": (np.float64, "T"),
    "audio": (np.int16, "n"),
    "identity": (np.float32, "T I"),
    "expression": (np.float32, "T E"),
    "pose": (np.float32, "T 6"),
    "blink": (np.float32, "T"),
    "landmarks": (np.float32, "T 70 3"),
    "points": (np.float32, "T N 3"),
    "valid": (np.bool_, "T"),
    "box": (np.float32, "4"),
    "source_size": (np.int32, "2"),
}
_TEXTS = ("clip_id", "speaker_id", "licence")
_NUMBERS = ("fps_num", "fps_den")
_IMAGES = ("frames", "mask")


def features(size: int, identity: int, expression: int, points: int) -> Any:
    """Returns the `tfds.features.FeaturesDict` of a clip.

    Arrays are stored as raw bytes: exact float64 times, and one copy to read.

    Args:
      size: side of the square crop in pixels.
      identity: number of identity coefficients, I.
      expression: number of expression coefficients, E.
      points: number of dense points, N.
    """
    import tensorflow_datasets as tfds

    ft = tfds.features
    sizes = {"T": None, "n": None, "I": identity, "E": expression, "N": points}

    def tensor(dtype: Any, axes: str) -> Any:
        shape = tuple(int(a) if a.isdigit() else sizes[a] for a in axes.split())
        return ft.Tensor(shape=shape, dtype=dtype, encoding="bytes")

    spec: dict[str, Any] = {name: tensor(*row) for name, row in _ARRAYS.items()}
    spec |= {name: ft.Text() for name in _TEXTS}
    spec |= {name: ft.Scalar(np.int64) for name in _NUMBERS}
    spec["frames"] = ft.Sequence(ft.Image(shape=(size, size, 3), encoding_format=None))
    spec["mask"] = ft.Sequence(ft.Image(shape=(size, size, 1), encoding_format="png"))
    return ft.FeaturesDict(spec)


def features_of(clip: Clip) -> Any:
    """Returns the features of a folder whose clips are like this one."""
    sizes = dimensions(clip)
    return features(sizes["size"], sizes["identity"], sizes["expression"], sizes["points"])


def dimensions(clip: Clip) -> dict[str, int]:
    """Returns what all clips of one folder share: size, identity, expression, points."""
    return {
        "size": decode_frame(clip.frames[0]).shape[0],
        "identity": clip.identity.shape[1],
        "expression": clip.expression.shape[1],
        "points": clip.points.shape[1],
    }


def example(clip: Clip) -> dict[str, Any]:
    """Returns the clip as a TFDS example, after checking it and casting its arrays.

    Raises:
      ValueError: arrays or frames disagree in length, or the clip is empty.
    """
    arrays = {name: np.asarray(getattr(clip, name), row[0]) for name, row in _ARRAYS.items()}
    total = shapes(**{name: (array, _ARRAYS[name][1]) for name, array in arrays.items()})["T"]
    if not total or len(clip.frames) != total or len(clip.mask) not in (0, total):
        raise ValueError(
            f"clip {clip.clip_id}: {total} times, {len(clip.frames)} frames, {len(clip.mask)} masks"
        )
    return clip._asdict() | arrays


def decode_frame(data: bytes) -> np.ndarray:
    """Returns a stored frame as uint8 [S, S, 3] RGB.

    Raises:
      InputError: the bytes are not an image.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise InputError("a stored frame is not a readable JPEG or PNG; build the data folder anew")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def decode_mask(data: bytes) -> np.ndarray:
    """Returns a stored foreground mask as uint8 [S, S], 255 = person."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    if image is None:
        raise InputError("a stored mask is not a readable PNG; build the data folder anew")
    return image


def encode_frame(image: np.ndarray, quality: int = 95) -> bytes:
    """Returns uint8 [S, S, 3] RGB as JPEG bytes; [S, S] (a mask) as PNG bytes."""
    if image.ndim == 2:
        return cv2.imencode(".png", image)[1].tobytes()
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def parse(record: bytes) -> Clip:
    """Returns the clip of one array_record entry; images stay encoded."""
    from tensorflow_datasets.proto import tf_example_pb2

    fields = tf_example_pb2.Example.FromString(record).features.feature
    values: dict[str, Any] = {}
    for name in Clip._fields:
        feature = fields[name]
        if name in _NUMBERS:
            values[name] = int(feature.int64_list.value[0])
        elif name in _IMAGES:
            values[name] = list(feature.bytes_list.value)
        elif name in _TEXTS:
            values[name] = feature.bytes_list.value[0].decode()
        else:
            values[name] = np.frombuffer(feature.bytes_list.value[0], _ARRAYS[name][0])
    total = len(values["times"])
    for name, (_, axes) in _ARRAYS.items():
        letters = axes.split()
        if len(letters) > 1:
            tail = [int(a) if a.isdigit() else -1 for a in letters[1:]]
            values[name] = values[name].reshape(total, *tail)
    return Clip(**values)


class Clips:
    """The clips of one split, read by number. Safe to read from several threads."""

    def __init__(self, folder: pathlib.Path, split: str, files: list[str], lengths: list[int]):
        self.folder, self.split = folder, split
        self._files, self._ends = files, np.cumsum(lengths)
        self._reader = functools.lru_cache(maxsize=256)(open_shard)
        self._index = _index(self)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> Clip:
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        shard = int(np.searchsorted(self._ends, index, side="right"))
        first = int(self._ends[shard - 1]) if shard else 0
        return parse(self._reader(self._files[shard]).read([index - first])[0])

    @property
    def ids(self) -> list[str]:
        """Clip ids, in the order of the records."""
        return [row["id"] for row in self._index]

    @property
    def speakers(self) -> list[str]:
        """Speaker ids, in the order of the records."""
        return [row["speaker"] for row in self._index]

    @property
    def lengths(self) -> list[int]:
        """Frames in each clip."""
        return [row["frames"] for row in self._index]

    @functools.cached_property
    def model(self) -> Any:
        """The `MorphableModel` that the motions refer to, in numpy arrays."""
        from facejax.morphable_files import load_model

        return load_model(self.folder / MODEL)


def open_clips(folder: str | pathlib.Path, split: str = "train") -> Clips:
    """Opens one split of a data folder.

    Raises:
      InputError: the folder is missing, empty, no data folder, incomplete, or lacks the split.
    """
    found = splits(folder)
    if split not in found:
        known = ", ".join(sorted(found)) or "none"
        raise InputError(f"{folder} has no split {split!r}; it has: {known}")
    files = [str(path) for path in found[split].filepaths]
    for path in files:
        if not pathlib.Path(path).is_file():
            raise InputError(f"{path} is missing; build the data folder anew")
    return Clips(pathlib.Path(folder), split, files, list(found[split].shard_lengths))


def splits(folder: str | pathlib.Path) -> Any:
    """Returns the splits of a data folder, name -> `tfds.core.SplitInfo`.

    Raises:
      InputError: the folder is missing, empty, or no data folder.
    """
    import tensorflow_datasets as tfds

    folder = pathlib.Path(folder)
    _check_folder(folder)
    try:
        return tfds.builder_from_directory(str(folder)).info.splits
    except (ValueError, RuntimeError, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{folder} has unreadable metadata ({first}); build it anew") from error


def _check_folder(folder: pathlib.Path) -> None:
    make = "make one with `facejax preprocess`"
    if not folder.exists():
        raise InputError(f"data folder {folder} does not exist; {make}")
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; a data folder is due: {make}")
    if not any(folder.iterdir()):
        raise InputError(f"data folder {folder} is empty; {make}")
    for name in ("dataset_info.json", "features.json", MODEL):
        if not (folder / name).is_file():
            raise InputError(f"{folder} is not a data folder (it has no {name}); {make}")


def open_shard(path: str) -> Any:
    """Returns an array_record reader; each `read([i])` is one seek."""
    from array_record.python import array_record_module

    return array_record_module.ArrayRecordReader(path)


def _index(clips: Clips) -> list[dict[str, Any]]:
    """Reads the index of ids and lengths; makes it when it is missing or stale."""
    path = clips.folder / INDEX
    table = json.loads(path.read_text()) if path.is_file() else {}
    rows = table.get(clips.split, [])
    if len(rows) == len(clips):
        return rows
    table[clips.split] = [index_row(clips[i]) for i in range(len(clips))]
    try:
        with atomic_path(path) as partial:
            partial.write_text(json.dumps(table))
    except (OSError, InputError):  # a read-only folder: the index is made at each start
        pass
    return table[clips.split]


def index_row(clip: Clip) -> dict[str, Any]:
    """Returns the clip's line in the index."""
    return {"id": clip.clip_id, "speaker": clip.speaker_id, "frames": len(clip.times)}
