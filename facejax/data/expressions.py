"""What Rhythmic Head Motion's Psi learns from: the sound around a frame, and its expression."""

import logging
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from facejax import landmark_basis, performance
from facejax.audio import chunks as sound
from facejax.audio import noise, waveform
from facejax.data import pipeline, records
from facejax.data.performances import Performances
from facejax.data.takes import COLOURED, Config, Take, as_floats
from facejax.errors import InputError
from facejax.landmark_basis import LandmarkBasis, Person
from facejax.performance import Performance
from facejax.system import PyTree


class Expressions(Performances):
    """Psi's batches: audio [B, 7 n], reference [B, K], target [B, K] px."""

    @property
    def length(self) -> int:
        """One frame."""
        return 1

    def _useful(self, takes: list[Take]) -> list[Take]:
        """Leaves out, and names, clips that never show the face from the front."""
        kept = []
        for one in takes:
            first, end = pipeline.frame_range(len(one.seen.motion), self.config.span)
            try:
                performance.key_frame(one.seen.part(first, end), name=f"clip {one.clip_id}")
                kept.append(one)
            except InputError as error:
                if len(takes) == 1 or (not kept and one is takes[-1]):
                    raise
                logging.warning("left out: %s", error)
        return kept

    def _given(self) -> dict[str, Any]:
        self.noises = read_noises(self.config)
        seen = [one.seen for one in self.takes]
        canonical = performance.canonical_face(
            records.open_clips(self.config.path, self.config.split).model
        )
        basis = make_basis(self.config, seen, canonical)
        pairs = [
            _told(basis, one, self.config.identity, take.clip_id)
            for one, take in zip(seen, self.takes, strict=True)
        ]
        self._people = [person for person, _ in pairs]
        self._targets = [target for _, target in pairs]
        frames = [t[one.valid] for t, one in zip(self._targets, seen, strict=True)]
        return {"landmarks": basis._asdict() | {"usual": np.concatenate(frames).mean(0)}}

    def row(self, take: int, first: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Returns audio [7 n], with noise or at another loudness; reference [K]; target [K]."""
        audio = as_floats(self.takes[take].chunks[first : first + sound.WINDOW]).reshape(-1)
        if self.noises:
            audio = noise.add_random_noise(audio, self.noises, rng)
        if self.config.gains:
            audio = audio * 10 ** (float(rng.choice(self.config.gains)) / 20)
        return {
            "audio": audio,
            "reference": self._people[take].reference,
            "target": self._targets[take][first],
        }


def _told(
    basis: LandmarkBasis, seen: Performance, identity: str, name: str
) -> tuple[Person, np.ndarray]:
    person = landmark_basis.person(basis, seen, identity, f"clip {name}")
    return person, landmark_basis.expressions(basis, person, seen.fronts)


def make_basis(config: Config, seen: list[Performance], canonical: np.ndarray) -> LandmarkBasis:
    """Returns the basis that a config names, or that of these performances.

    Raises:
      InputError: see `landmark_basis.load` and `landmark_basis.fit`.
    """
    if config.landmarks:
        return landmark_basis.load(config.landmarks, canonical)
    return landmark_basis.fit(seen, canonical, config.components, config.dimensions)


def read_noises(config: Config) -> list[np.ndarray]:
    """Returns the noises of a config, [m] each at its rate.

    Raises:
      InputError: no such file, or no sound in it.
    """
    if config.noise in ("", COLOURED):
        return noise.coloured(10 * config.rate) if config.noise else []
    path = Path(config.noise)
    if not path.exists():
        raise InputError(f"data.noise is {path}, which is not there; due: sounds, or {COLOURED}")
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    found = [waveform.load(file, config.rate) for file in files]
    if not any(len(one) for one in found):
        raise InputError(f"{path} holds no sound; due: a sound file or a folder of them")
    return [one for one in found if len(one)]


def expression_spec(data: Config, given: dict[str, PyTree], rows: int = 1) -> PyTree:
    """Returns the shapes of a batch of `Expressions`."""
    size = len(given["landmarks"]["axes"])
    samples = sound.WINDOW * sound.samples_a_frame(data.rate, data.fps)

    def leaf(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((rows, *shape), jnp.float32)

    return {"audio": leaf(samples), "reference": leaf(size), "target": leaf(size)}
