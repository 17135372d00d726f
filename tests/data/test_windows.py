import jax
import numpy as np
import pytest

from facejax.data import batches, pipeline, records, shards, windows
from facejax.errors import InputError
from facejax.geometry import shade
from facejax.geometry.mesh import mesh_topology
from tests.data import fake

LENGTHS = (12, 11, 14)  # the last is the test split's


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(fake.folder(tmp_path_factory.mktemp("clips"), LENGTHS, size=16))


def make(folder, rows=None, seed=3, **changes):
    config = windows.Config(path=folder, **{"batch": 2, "size": 8} | changes)
    return windows.Windows(config, seed, rows)


def slow_window(target, first, end, edges):
    frames = [target + k for k in range(-6, 4)]
    if edges == "released" and end - first >= 10 and (frames[0] < first or frames[-1] >= end):
        return [first + k for k in range(10)]
    return [min(max(frame, first), end - 1) for frame in frames]


@pytest.mark.parametrize("edges", windows.EDGES)
@pytest.mark.parametrize("length", [1, 5, 10, 11, 30])
def test_a_window_is_six_frames_its_own_and_three(edges, length):
    targets = np.arange(7, 7 + length)
    found = windows.window(targets, 7, 7 + length, edges)
    due = [slow_window(t, 7, 7 + length, edges) for t in targets]
    np.testing.assert_array_equal(found, due)


def test_the_released_edges_show_the_seventh_frame_six_times_before_and_three_after():
    frames = windows.window(np.arange(20), 0, 20, "released")
    np.testing.assert_array_equal(frames[:, 6], [6] * 6 + list(range(6, 17)) + [6] * 3)


def test_a_batch_has_the_shapes_and_ranges_of_the_contract(folder):
    source = make(folder)
    batch = source.load(0)
    spec = windows.batch_spec(source.config, source.given, rows=2)
    assert jax.tree.map(lambda x: x.shape, batch) == jax.tree.map(lambda x: x.shape, spec)
    shapes = {name: leaf.shape for name, leaf in batches.flatten(batch)}
    assert shapes == {
        "target": (2, 8, 8, 3),
        "motion/identity": (2, 4),
        "motion/expression": (2, 10, 3),
        "motion/pose": (2, 10, 6),
        "motion/blink": (2, 10),
        "speaker": (2,),
    }
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(batch))
    assert -1 <= batch["target"].min() < batch["target"].max() <= 1


def test_the_seventh_of_a_window_is_the_frame_that_is_made(folder):
    source = make(folder, size=16, batch=1)
    for step in range(8):
        batch = source.load(step)
        number = int(batch["speaker"][0])
        clip = fake.clip(f"clip-{number}", LENGTHS[number], 16, seed=number)
        frame = int(np.flatnonzero(np.all(clip.pose == batch["motion"]["pose"][0, 6], axis=1))[0])
        due = records.decode_frame(clip.frames[frame]) / 127.5 - 1
        np.testing.assert_allclose(batch["target"][0], due, atol=1e-6)


@pytest.mark.parametrize(("edges", "count"), [("replicate", 12 + 11), ("released", 3 + 2)])
def test_an_epoch_visits_every_frame_that_it_may_once(folder, edges, count):
    plan = make(folder, batch=1, edges=edges).plan
    assert plan.epoch_end(1) == count
    draws = [plan.draw(step) for step in range(2 * count)]
    seen = [(int(d.clip[0]), int(d.frames[0, 0])) for d in draws]
    margin = (0, 0) if edges == "replicate" else (6, 3)
    due = sorted(
        (clip, frame)
        for clip, length in enumerate(LENGTHS[:2])
        for frame in range(margin[0], length - margin[1])
    )
    assert sorted(seen[:count]) == sorted(seen[count:]) == due
    assert seen[:count] != seen[count:]


def test_iterating_from_any_step_equals_loading_it(folder):
    one, two = make(folder), make(folder)
    for step, batch in enumerate(one.iterate(3, 6), start=3):
        jax.tree.map(np.testing.assert_array_equal, batch, two.load(step))


def test_hosts_share_a_batch_by_rows(folder):
    whole = make(folder, batch=4).load(5)
    parts = [make(folder, slice(k, k + 2), batch=4).load(5) for k in (0, 2)]
    joined = jax.tree.map(lambda *p: np.concatenate(p), *parts)
    jax.tree.map(np.testing.assert_array_equal, joined, whole)


def test_no_window_reaches_beyond_the_span(folder):
    source = make(folder, span=(0.5, 1.0), batch=1, clips="clip-0")
    allowed = fake.clip("clip-0", 12, 16).pose[6:, 1]
    for step in range(12):
        assert np.isin(source.load(step)["motion"]["pose"][0, :, 1], allowed).all()


def test_an_invalid_target_gives_way_to_the_nearest_valid_frame_of_the_span(tmp_path):
    valid = np.zeros(8, bool)
    valid[[1, 6]] = True
    clip = fake.clip("x", 8)._replace(valid=valid)
    source = make(write(tmp_path, [clip]), span=(0.5, 1.0), size=16, batch=1)
    due = pipeline.image_of(clip.frames[6], 16)
    for step in range(4):
        np.testing.assert_array_equal(source.load(step)["target"][0], due)


def write(path, clips):
    for clip in clips:
        shards.write_shard(path, "train", clip.clip_id, [clip])
    np.savez(path / records.MODEL, **fake.model_arrays())
    shards.seal(path)
    return str(path)


def test_a_clip_has_one_identity_the_mean_of_its_valid_frames_in_the_span():
    identity = np.arange(32, dtype=np.float32).reshape(8, 4)
    valid = np.array([1, 1, 1, 1, 1, 0, 1, 1], bool)
    clip = fake.clip("x", 8)._replace(identity=identity, valid=valid)
    shot = windows.prepare(clip, (0.5, 1.0))
    np.testing.assert_allclose(shot.identity, identity[[4, 6, 7]].mean(0))
    blind = windows.prepare(clip._replace(valid=np.zeros(8, bool)), (0.0, 0.25))
    np.testing.assert_allclose(blind.identity, identity[:2].mean(0))


def test_what_is_given_says_how_each_speaker_looks(folder):
    source = make(folder, batch=1)
    given = source.given
    look = given["appearance"]
    shapes = {name: value.shape for name, value in look.items()}
    corners = mesh_topology(given["morphable"].faces, 25).corner_table
    assert shapes == {
        "ids": (2,),
        "identity": (2, 4),
        "albedo": (2, 25, 3),
        "light": (2, 9, 3),
        "reference": (2, 8, 8, 3),
        "corners": corners.shape,
    }
    assert look["ids"].tolist() == ["speaker-0", "speaker-1"]
    for number in range(2):
        clip = fake.clip(f"clip-{number}", LENGTHS[number], 16, seed=number)
        first = pipeline.resize(records.decode_frame(clip.frames[0]), 8)
        np.testing.assert_array_equal(look["reference"][number], first)
        np.testing.assert_allclose(look["identity"][number], clip.identity.mean(0), rtol=1e-6)
    named = {float(source.load(step)["speaker"][0]) for step in range(12)}
    assert named == {0.0, 1.0}


def test_more_frames_for_the_appearance_are_spread_over_the_span(tmp_path, monkeypatch):
    looked = []

    def estimate(model, images, identity, expression, pose):
        looked.append(pose[:, 1])
        return windows.appearance.Appearance(np.zeros((25, 3)), np.zeros((9, 3)))

    monkeypatch.setattr(windows.appearance, "estimate", estimate)
    clip = fake.clip("x", 20)
    clip.valid[[0, 9]] = False
    source = make(write(tmp_path, [clip]), span=(0.0, 0.5), appearance_frames=3)
    assert source.given["appearance"]["ids"].tolist() == ["speaker-0"]
    np.testing.assert_array_equal(looked[0], clip.pose[[1, 4, 8], 1])


def test_the_light_of_the_disc_explains_its_pixels(folder):
    look = make(folder).given["appearance"]
    bands = np.asarray(shade.spherical_harmonics(np.array([[0.0, 0.0, 1.0]], np.float32)))[0]
    middle = look["albedo"][0, 12] * (bands @ look["light"][0])
    np.testing.assert_allclose(middle, np.array([220, 160, 120]) / 255, atol=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": "wrap"}, r"data\.edges is 'wrap'; due: replicate or released"),
        ({"batch": 0}, "batch is 0"),
        ({"appearance_frames": 0}, "appearance_frames is 0"),
        ({"span": (0.5, 0.5)}, "span"),
        ({"clips": "nobody"}, "no clip matches"),
        ({"edges": "released", "span": (0.0, 0.5)}, "no clip has 10 frames"),
    ],
)
def test_a_wrong_option_is_named(folder, changes, message):
    with pytest.raises(InputError, match=message):
        make(folder, **changes)


def test_a_speaker_who_is_not_to_be_seen_is_named(tmp_path):
    clip = fake.clip("x", 8)
    clip.pose[:, 3] = 9000
    with pytest.raises(InputError, match=r"speaker speaker-0: no part of the face"):
        _ = make(write(tmp_path, [clip])).given
