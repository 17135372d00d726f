import numpy as np
import pytest

from facejax.geometry.morphable import MorphableModel, face_shape
from facejax.metrics import vertices
from tests.data import fake


def test_errors_are_distances_of_the_faces_that_coefficients_make():
    model = MorphableModel(**fake.model_arrays())
    rng = np.random.default_rng(0)
    frames = vertices.CHUNK + 3
    draw = lambda: (rng.normal(size=(frames, 4)), rng.normal(size=(frames, 3)))
    made, truth = draw(), draw()
    wrong = [(a - b).astype("f4") for a, b in zip(made, truth, strict=True)]
    found = vertices.vertex_errors(*wrong, model)
    assert found.keys() == {"vertices", "mouth", "eyes"}
    shapes = (face_shape(model, *(x.astype("f4") for x in one)) for one in (made, truth))
    apart = np.linalg.norm(np.subtract(*map(np.asarray, shapes)), axis=-1)
    np.testing.assert_allclose(found["vertices"], apart.mean(1), rtol=1e-4)
    mouth = [apart[:, model.landmarks[k]] for k in range(48, 68)]
    np.testing.assert_allclose(found["mouth"], np.mean(mouth, 0), rtol=1e-4)
    eyes = [apart[:, model.landmarks[k]] for k in [*range(36, 48), 68, 69]]
    np.testing.assert_allclose(found["eyes"], np.mean(eyes, 0), rtol=1e-4)


def test_coefficients_of_another_model_are_refused():
    model = MorphableModel(**fake.model_arrays())
    with pytest.raises(ValueError, match="identity"):
        vertices.vertex_errors(np.zeros((2, 5)), np.zeros((2, 3)), model)
