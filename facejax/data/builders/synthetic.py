"""TFDS builder of the embedded data set.

    import tensorflow_datasets as tfds
    import facejax.data.builders.synthetic
    builder = tfds.builder("facejax_synthetic/px64", file_format="array_record")
    builder.download_and_prepare()

Nothing is downloaded. `facejax.data.records.open_clips(builder.data_dir)` opens the result too.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from facejax.data import records
from facejax.data.synthetic import dataset, head
from facejax.morphable_files import save_model


@dataclasses.dataclass
class SyntheticConfig(tfds.core.BuilderConfig):
    """A named choice of `dataset.Config`."""

    data: dataset.Config = dataclasses.field(default_factory=dataset.Config)


class FacejaxSynthetic(tfds.core.GeneratorBasedBuilder):
    """Procedural talking heads with exact pose, expression, landmarks, masks and speech."""

    name = "facejax_synthetic"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [  # noqa: RUF012 - TFDS reads a plain list
        SyntheticConfig(name=f"px{size}", data=dataset.Config(size=size)) for size in (64, 128, 256)
    ]
    # TFDS would look for files of checksums beside this one with a package it does not require.
    code_path = None

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config.data
        model = head.model()
        return self.dataset_info_from_configs(
            features=records.features(
                config.size,
                len(model.identity_basis),
                len(model.expression_basis),
                len(model.points),
            ),
            description=self.__doc__,
            license=dataset.LICENCE,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        return {split: self._generate_examples(split) for split in dataset.SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for clip in dataset.clips(self.builder_config.data, split):
            yield clip.clip_id, records.example(clip)

    def download_and_prepare(self, **options: Any) -> None:
        """Writes the clips, and the morphable model beside them."""
        super().download_and_prepare(**options)
        save_model(self.data_path / records.MODEL, head.model())
