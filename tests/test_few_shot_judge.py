import jax.numpy as jnp
import numpy as np
import pytest

from facejax import few_shot_judge
from facejax.data import few_shot, shots
from facejax.errors import InputError
from facejax.system import System
from facejax.workload import Choice
from tests.data import fake


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return fake.folder(tmp_path_factory.mktemp("clips"), lengths=(12, 14, 9), test=2)


def data(folder, **options):
    return shots.Config(path=str(folder), size=16, references=3, tau=6, **options)


def copier():
    """A system that shows the matched reference."""

    def generate(gen, stats, frozen, inputs):
        chosen = inputs["references"][0, inputs["matched"].astype(jnp.int32)]
        still = jnp.broadcast_to(inputs["key_frame"]["image"], chosen.shape)
        return {"image": chosen, "matched": chosen, "warped": chosen, "projection": still,
                "warped_projection": still, "sketch": chosen[..., :1]}  # fmt: skip

    return System(None, None, None, generate, {})


def test_frames_after_the_reference_video_are_made_and_measured(folder):
    judge = few_shot_judge.judge(data(folder), Choice(str(folder)), copier())
    report, sheet = judge.look({}, {}, {})
    assert report["clip_count"] == 2
    assert report["frame_count"] == (14 - 6) + (9 - 6)
    for name in ("warped", "copy_matched"):
        assert report[name] == report["model"]
    assert report["copy_reference"]["l1"] > 0
    assert {"projection", "warped_projection"} <= report.keys()
    assert sheet.dtype == np.uint8


def test_references_are_spread_over_the_reference_video_and_one_is_the_key_frame(folder):
    (task, _) = few_shot_judge.FewShotTasks(Choice(str(folder)), data(folder))
    frames = [few_shot.pipeline.image_of(task.shot.frames[k], 16) for k in range(6)]
    inputs, target = few_shot_judge.batch_of(task, task.targets[:2], data(folder))
    np.testing.assert_array_equal(inputs["references"][0], np.stack(frames)[[0, 2, 5]])
    assert target.shape == (2, 16, 16, 3)
    inputs, _ = few_shot_judge.batch_of(task, task.targets[:2], data(folder), references=1)
    np.testing.assert_array_equal(inputs["references"][0, 0], frames[task.shot.key])
    np.testing.assert_array_equal(inputs["matched"], 0)


def test_clips_that_end_with_their_reference_video_are_refused(folder):
    long = shots.Config(path=str(folder), size=16, references=3, tau=40)
    with pytest.raises(InputError, match="no clip goes on after the 40 frames"):
        few_shot_judge.FewShotTasks(Choice(str(folder)), long)
