"""TFDS builder of 300W-LP (Zhu et al. 2016, arXiv:1511.07212), for those who have it.

    import tensorflow_datasets as tfds
    import facejax.data.builders.w300lp
    builder = tfds.builder("facejax300w_lp/px256", file_format="array_record")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir="FOLDER")
    )

Photos turned in 3-D, each with the parameters of the Basel Face Model that was fitted to it. All
views of one photo are one clip, in the order of their yaw. `facejax.data.records.open_clips(
builder.data_dir)` opens the result, and `configs/unprojection.py` trains on it.
"""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import tensorflow_datasets as tfds
from scipy.spatial.transform import Rotation

from facejax import crops
from facejax.data import records
from facejax.errors import InputError
from facejax.files import read_image
from facejax.geometry.camera import Camera, camera_from_pose, pose_from_camera, project
from facejax.geometry.morphable import MorphableModel, face_shape
from facejax.morphable_files import import_bfm, save_model
from facejax.morphable_sources import MICROMETRES, load_mat
from facejax.track import crop_pose

FOLDER = "300W_LP"
HELD_OUT = "AFW"  # subset that is the validation split; the others are the training's
MODEL, EXPRESSION, TRIM = "01_MorphableModel.mat", "Model_Expression.mat", "BFM_exp_idx.mat"
LANDMARKS = "landmarks.txt"
PARTS = ("Shape_Para", "Exp_Para", "Pose_Para")
POINTS = 68  # dense points of a clip: of this model, the landmarks
MARGIN = 1.6  # side of the crop over the longer side of the landmarks' box (PRNet)
FPS = 25  # the views stand one after another as if they were frames
LICENCE = "300W-LP's and the Basel Face Model's own: for research, not to be passed on"

HOW_TO_GET = f"""Put into one folder, and give it as manual_dir:
{FOLDER}/ - the data set, from http://www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm;
{MODEL} - the Basel Face Model 2009, from https://faces.dmi.unibas.ch/bfm/ (a form to sign);
{EXPRESSION} (mu_exp, w_exp, sigma_exp) and {TRIM} (trimIndex) - of 3DDFA's code;
{LANDMARKS} - the vertices (from 0, of 53215) of the 68 landmarks, as for facejax model import."""


class Deviations(NamedTuple):
    """Standard deviations of the data set's parameters: it stores them undivided."""

    identity: np.ndarray  # [I]
    expression: np.ndarray  # [E]


class View(NamedTuple):
    """One image's annotation."""

    identity: np.ndarray  # [I] unit variance
    expression: np.ndarray  # [E] unit variance
    pose: np.ndarray  # [6] in the whole image


@dataclasses.dataclass
class Config300wLp(tfds.core.BuilderConfig):
    """The side of the crops, px, and how many coefficients the data set has."""

    size: int = 256
    identity: int = 199
    expression: int = 29


class Facejax300wLp(tfds.core.GeneratorBasedBuilder):
    """300W-LP's photos and their turned views, with the face model fitted to each."""

    name = "facejax300w_lp"
    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = HOW_TO_GET
    BUILDER_CONFIGS = [  # noqa: RUF012 - TFDS reads a plain list
        Config300wLp(name=f"px{size}", size=size) for size in (64, 128, 256)
    ]
    # TFDS would look for files of checksums beside this one with a package it does not require.
    code_path = None

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        sizes = (config.size, config.identity, config.expression, POINTS)
        return self.dataset_info_from_configs(
            features=records.features(*sizes),
            description=self.__doc__,
            license=LICENCE,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        folder = Path(dl_manager.manual_dir)
        self._model, deviations = read_model(folder)
        config = self.builder_config
        for name, values in deviations._asdict().items():
            if len(values) != getattr(config, name):
                raise InputError(
                    f"the face model in {folder} has {len(values)} coefficients of {name}; due: "
                    f"{getattr(config, name)}, as 300W-LP has"
                )
        groups = photos(folder / FOLDER)

        def examples(held_out: bool) -> Iterator[tuple[str, dict[str, Any]]]:
            for name, files in groups.items():
                if name.startswith(HELD_OUT) == held_out:
                    clip = make_clip(name, files, self._model, deviations, config.size)
                    yield name, records.example(clip)

        return {"train": examples(False), "validation": examples(True)}

    def _generate_examples(self) -> Iterator:
        raise NotImplementedError("the splits have their own")

    def download_and_prepare(self, **options: Any) -> None:
        """Writes the clips, and the morphable model beside them."""
        super().download_and_prepare(**options)
        if hasattr(self, "_model"):
            save_model(self.data_path / records.MODEL, self._model)


def read_model(folder: Path) -> tuple[MorphableModel, Deviations]:
    """Returns the face model of a folder, and the deviations of its parameters.

    Raises:
      InputError: a file is missing; the message says which files are due and where they come from.
    """
    for name in (FOLDER, MODEL, EXPRESSION, LANDMARKS):
        if not (folder / name).exists():
            raise InputError(f"{folder} has no {name}. {HOW_TO_GET}")
    model = import_bfm(folder / MODEL, expression=folder / EXPRESSION, landmarks=folder / LANDMARKS)
    shape = load_mat(folder / MODEL, ("shapeEV",), "BFM 2009")["shapeEV"]
    sigma = load_mat(folder / EXPRESSION, ("sigma_exp",), EXPRESSION)["sigma_exp"]
    return model, Deviations(np.ravel(shape), np.ravel(sigma))


def photos(folder: Path) -> dict[str, list[Path]]:
    """Returns the images of each photo, {"AFW-AFW_134212_1": [..._0.jpg, ..._1.jpg, ...]}.

    Raises:
      InputError: there are none.
    """
    groups: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.jpg")):
        if path.with_suffix(".mat").is_file():
            photo = re.sub(r"_\d+$", "", path.stem)
            groups.setdefault(f"{path.parent.name}-{photo}", []).append(path)
    if not groups:
        raise InputError(f"{folder} holds no .jpg with a .mat beside it. {HOW_TO_GET}")
    return groups


def read_view(path: Path, deviations: Deviations, height: int, width: int) -> View:
    """Returns the annotation of an image of this size.

    Pose_Para holds pitch, yaw, roll of R = Rx(-pitch) Ry(-yaw) Rz(-roll), the translation and the
    scale: pixels from 1, y up, p = f R v + t of vertices v in micrometres.

    Raises:
      InputError: the .mat has not these arrays, or another number of coefficients.
    """
    arrays = load_mat(path, PARTS, "an annotation of 300W-LP")
    shape, expression, pose = (np.ravel(arrays[name]).astype(np.float64) for name in PARTS)
    for name, values, due in zip(PARTS, (shape, expression), deviations, strict=False):
        if len(values) != len(due):
            raise InputError(f"`{name}` in {path} has {len(values)} numbers; due: {len(due)}")
    if len(pose) != 7:
        raise InputError(f"`Pose_Para` in {path} has {len(pose)} numbers; due: 7")
    rotation = Rotation.from_euler("XYZ", -pose[:3]).as_matrix() * [[1], [-1], [-1]]
    camera = Camera(
        scale=jnp.asarray(pose[6] / MICROMETRES, jnp.float32),
        rotation=jnp.asarray(rotation, jnp.float32),
        translation=jnp.asarray([pose[3] - 0.5, height + 0.5 - pose[4], 0.0], jnp.float32),
    )
    return View(
        shape / deviations.identity,
        expression / deviations.expression,
        np.asarray(pose_from_camera(camera, height, width)),
    )


def make_clip(
    name: str, files: list[Path], model: MorphableModel, deviations: Deviations, size: int
) -> records.Clip:
    """Returns all views of one photo as a clip, in the order of their yaw."""
    frames, views, boxes, seen = [], [], [], []
    for path in files:
        image = read_image(path)
        view = read_view(path.with_suffix(".mat"), deviations, *image.shape[:2])
        box = _box(_vertices(model, view, *image.shape[:2])[model.landmarks])
        view = view._replace(pose=crop_pose(view.pose, image.shape[:2], box))
        frames.append(records.encode_frame(crops.extract(image, box, size)))
        views.append(view)
        boxes.append(box)
        seen.append(_vertices(model, view, size, size))
    order = np.argsort([view.pose[1] for view in views], kind="stable")
    identity, expression, pose = (
        np.stack([np.asarray(view[k], np.float32) for view in views])[order] for k in range(3)
    )
    vertices, count = np.stack(seen)[order], len(files)
    return records.Clip(
        clip_id=name,
        speaker_id=name,
        fps_num=FPS,
        fps_den=1,
        times=np.arange(count) / FPS,
        frames=[frames[k] for k in order],
        audio=np.zeros(0, np.int16),
        identity=identity,
        expression=expression,
        pose=pose,
        blink=np.zeros(count, np.float32),
        landmarks=vertices[:, model.landmarks],
        points=vertices[:, model.points],
        valid=np.ones(count, bool),
        box=boxes[order[0]],
        source_size=np.asarray(image.shape[:2], np.int32),
        mask=[],
        licence=LICENCE,
    )


def _vertices(model: MorphableModel, view: View, height: int, width: int) -> np.ndarray:
    """The vertices in an image, [V, 3] px."""
    coefficients = (jnp.asarray(part, jnp.float32) for part in view[:2])
    shape = face_shape(model, *coefficients)
    camera = camera_from_pose(jnp.asarray(view.pose, jnp.float32), height, width)
    return np.asarray(project(shape, camera))


def _box(landmarks: np.ndarray) -> np.ndarray:
    """The square around landmarks [N, 3] px, x0, y0, x1, y1."""
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    half = MARGIN * (high - low).max() / 2
    middle = (low + high) / 2
    return np.concatenate([middle - half, middle + half]).astype(np.float32)
