import jax
import numpy as np
import pytest

from facejax.data import expressions, head_motions, records
from facejax.errors import InputError
from tests import fake_performances
from tests.data import fake

psi, phi = fake_performances.expressions, fake_performances.head_motions


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("talks")
    return fake_performances.folder(path, {"train": fake_performances.clips()})


@pytest.mark.parametrize(
    ("make", "spec"),
    [(psi, expressions.expression_spec), (phi, head_motions.motion_spec)],
)
def test_a_batch_has_the_shapes_that_were_announced(folder, make, spec):
    source = make(folder)
    batch = source.load(0)
    announced = spec(source.config, source.given, source.config.batch)
    found = {name: (leaf.shape, leaf.dtype) for name, leaf in batch.items()}
    assert found == {name: (leaf.shape, leaf.dtype) for name, leaf in announced.items()}


def test_hosts_read_their_own_rows(folder):
    whole, half = phi(folder).load(3), phi(folder, rows=slice(1, 2)).load(3)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[1:2], b), whole, half)
    noisy = {"noise": "coloured"}
    whole = psi(folder, **noisy).load(3)
    half = psi(folder, rows=slice(2, 4), **noisy).load(3)
    np.testing.assert_array_equal(whole["audio"][2:], half["audio"])


def test_iterating_is_loading(folder):
    source = phi(folder)
    for step, batch in enumerate(source.iterate(1, 3, threads=2), 1):
        jax.tree.map(np.testing.assert_array_equal, batch, source.load(step))


def test_too_short_clips_are_refused_with_their_length(folder):
    with pytest.raises(InputError, match=r"no clip has 77 frames .* longest has 40"):
        phi(folder, tau=64, frames=13)


def test_the_folder_gives_its_face_model(folder):
    given = phi(folder).given
    np.testing.assert_array_equal(given["morphable"].mean, fake.model_arrays()["mean"])
    assert records.open_clips(folder).ids == ["a", "b"]
