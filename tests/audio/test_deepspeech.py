import jax
import numpy as np
import pytest

from facejax.audio import deepspeech
from facejax.audio.mfcc import Stats, mfcc, net_input
from facejax.errors import InputError
from tests import fake_graph


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "output_graph.pb"
    path.write_bytes(fake_graph.graph(fake_graph.weights(width=8)))
    return path


@pytest.fixture(scope="module")
def cepstra():
    return mfcc(0.1 * np.random.default_rng(0).normal(size=16_000))


def test_a_file_gives_the_logits_of_its_net(file, cepstra):
    model = deepspeech.load(file)
    assert model.net.width == 8
    due = jax.jit(model.net.apply)({"params": model.params}, net_input(cepstra)[None])[0]
    got = deepspeech.logits(model, cepstra)
    assert got.shape == (50, 29)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, due, rtol=1e-4, atol=1e-5)


def test_rounding_the_length_up_changes_nothing(file, cepstra, monkeypatch):
    model = deepspeech.load(file)
    due = deepspeech.logits(model, cepstra)
    monkeypatch.setattr(deepspeech, "BUCKET", 64)
    np.testing.assert_allclose(deepspeech.logits(model, cepstra), due, rtol=1e-4, atol=1e-5)


def test_statistics_are_handed_on_and_no_sound_has_no_rows(file, cepstra):
    model = deepspeech.load(file)
    own = deepspeech.logits(model, cepstra)
    assert not np.allclose(own, deepspeech.logits(model, cepstra, Stats(1.0, 3.0)))
    assert deepspeech.logits(model, cepstra[:0]).shape == (0, 29)


def test_a_net_outlives_its_file(tmp_path, cepstra):
    path = tmp_path / "output_graph.pb"
    path.write_bytes(fake_graph.graph(fake_graph.weights(width=8)))
    model = deepspeech.load(path)
    due = deepspeech.logits(model, cepstra)
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    np.testing.assert_array_equal(deepspeech.logits(model, cepstra), due)


@pytest.mark.parametrize(
    "sizes,words",
    [({"inputs": 400}, "maps 400 numbers to 29"), ({"labels": 40}, "maps 494 numbers to 40")],
)
def test_the_net_of_another_input_or_alphabet_is_refused(tmp_path, sizes, words):
    path = tmp_path / "output_graph.pb"
    path.write_bytes(fake_graph.graph(fake_graph.weights(**sizes)))
    with pytest.raises(InputError, match=words):
        deepspeech.load(path)


def test_another_graph_is_refused_with_the_way_to_the_right_one(tmp_path):
    path = tmp_path / "output_graph.pb"
    path.write_bytes(fake_graph.graph({"layer_1/weights": np.zeros((494, 4), np.float32)}))
    with pytest.raises(InputError, match=r"no constant 'h1'.*deepspeech-0\.1\.0-models") as caught:
        deepspeech.load(path)
    assert "\n" not in str(caught.value)
