"""Single images with exact motions."""

import jax
import numpy as np
import pytest

from facejax.data import faces, records
from facejax.data.synthetic import dataset, head
from facejax.errors import InputError
from facejax.geometry.position_map import map_layout
from facejax.systems.unprojection_inputs import posed_vertices
from tests.data import fake

SIZE = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(fake.folder(tmp_path_factory.mktemp("clips"), (5, 4, 3), size=16))


def make(folder, rows=None, **changes):
    return faces.Faces(faces.Config(path=folder, **{"batch": 3, "size": SIZE} | changes), 1, rows)


def test_a_batch_has_the_shapes_of_its_spec_and_depends_on_the_step_alone(folder):
    source = make(folder)
    first, again = source.load(2), make(folder).load(2)
    spec = faces.batch_spec(source.config, source.given, rows=3)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), first) == jax.tree.map(
        lambda x: (x.shape, x.dtype), spec
    )
    jax.tree.map(np.testing.assert_array_equal, first, again)
    part = make(folder, rows=slice(1, 2)).load(2)
    jax.tree.map(np.testing.assert_array_equal, part, jax.tree.map(lambda x: x[1:2], first))


def test_an_epoch_visits_every_frame_once(folder):
    source = make(folder)
    total = sum(records.open_clips(folder, "train").lengths)
    steps = source.plan.epoch_end(1)
    assert steps == total // 3
    draws = [source.plan.draw(step) for step in range(steps)]
    seen = {
        pair for d in draws for pair in zip(d.clip.tolist(), d.frames[:, 0].tolist(), strict=True)
    }
    assert len(seen) == 3 * steps


def test_the_folder_gives_the_layout_of_its_own_model(folder):
    given = make(folder).given
    model = given["morphable"]
    due = map_layout(model.mean, model.faces, model.landmarks, SIZE)
    jax.tree.map(np.testing.assert_array_equal, given["layout"], due._asdict())


def test_posed_vertices_are_those_that_the_data_set_drew():
    clip = dataset.make_clip(dataset.Config(size=32, frames=3), "test", 0, 0)
    motion = {name: getattr(clip, name) for name in ("identity", "expression", "pose")}
    found = posed_vertices({"morphable": head.model()}, motion, 32)
    np.testing.assert_allclose(found[:, head.model().landmarks], clip.landmarks, atol=1e-3)


def test_a_span_without_frames_is_refused(folder):
    with pytest.raises(InputError, match="no frame lies in span"):
        make(folder, span=(0.0, 0.01))
