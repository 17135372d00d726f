"""Unprojection, judged on held-out clips."""

import jax
import numpy as np
import pytest

from facejax import unprojection_judge
from facejax.data import faces
from facejax.system import System
from facejax.systems.unprojection_inputs import posed_vertices
from facejax.workload import Choice
from tests.data import fake

SIZE = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(fake.folder(tmp_path_factory.mktemp("clips"), (5, 4, 3), size=SIZE))


def judged(folder, offset):
    """The report and sheet of a system that finds every vertex, but for an offset in px."""
    data = faces.Config(path=folder, size=SIZE, batch=2)

    def generate(gen, stats, frozen, inputs):
        vertices = posed_vertices(frozen, inputs["motion"], SIZE) + gen
        marks = vertices[:, frozen["morphable"].landmarks]
        return {"position": 0 * inputs["image"], "vertices": vertices, "landmarks": marks}

    frozen = faces.Faces(data, 0).given
    system = System(None, None, None, generate, frozen)
    judge = unprojection_judge.judge(data, Choice(folder, "train"), system)
    offset = np.asarray(offset, np.float32).reshape(1, 1, 3)
    return judge.look(offset, {}, jax.tree.map(np.asarray, frozen), rows=4)


def test_an_offset_is_found_in_space_and_in_the_image(folder):
    report, sheet = judged(folder, (3.0, 4.0, 12.0))
    model = report["model"]
    np.testing.assert_allclose(model["vertex_px"], 13, rtol=1e-4)
    np.testing.assert_allclose([model["plane_px"], model["landmark_px"]], 5, rtol=1e-4)
    assert report["clip_count"] == 2 and report["frame_count"] == 5 + 4 - 2  # less references
    assert report["mean_face"]["vertex_px"] > report["mean_face_turned"]["vertex_px"] > 0
    assert sheet.dtype == np.uint8 and sheet.ndim == 3
    assert unprojection_judge.WORKLOAD.rank(report) == -model["vertex_px"]
    assert "13.00 px" in unprojection_judge.summary_line(report)


def test_the_mean_face_in_its_place_has_the_true_middle_and_size():
    rng = np.random.default_rng(0)
    truth, used = rng.normal(8, 3, (2, 6, 3)), np.array([1.0, 1, 1, 0, 1, 1])
    mean = rng.normal(0, 1, (2, 6, 3))
    placed = np.asarray(unprojection_judge._placed(mean, truth, used))
    kept = used > 0
    np.testing.assert_allclose(placed[:, kept].mean(1), truth[:, kept].mean(1), atol=1e-5)
    spread = [x[:, kept, :2].var(axis=1).sum(-1) for x in (placed, truth)]
    np.testing.assert_allclose(*spread, rtol=1e-5)
