import numpy as np
import pytest

from facejax import landmark_basis
from facejax.errors import InputError
from facejax.landmark_basis import LandmarkBasis
from facejax.performance import Performance, open_rate

TEMPLATE = np.random.default_rng(0).normal(0, 40, (68, 3)).astype(np.float32)
MOVES = np.random.default_rng(1).normal(size=(4, 68, 3))


def performed(seed=0, frames=50):
    """A person of its own shape whose mouth is shut in frame 0, which alone is frontal."""
    rng = np.random.default_rng([seed, 7])
    rest = TEMPLATE + rng.normal(0, 5, (68, 3))
    for a, b in ((61, 67), (62, 66), (63, 65)):
        rest[a] = rest[b]
    amounts = rng.normal(size=(frames, 4)) * [8, 4, 2, 1]
    amounts[0] = 0
    fronts = rest + np.einsum("tk,knc->tnc", amounts, MOVES)
    motion = np.zeros((frames, 6))
    motion[1:, 1] = 0.2
    return Performance(
        fronts.astype(np.float32), motion.astype("f4"), fronts.astype("f4"), np.ones(frames, bool)
    )


@pytest.fixture(scope="module")
def people():
    return [performed(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def basis(people):
    return landmark_basis.fit(people, TEMPLATE, 6)


def test_axes_are_orthonormal_and_sorted(basis):
    np.testing.assert_allclose(basis.axes @ basis.axes.T, np.eye(6), atol=1e-5)
    assert (np.diff(basis.deviations) <= 0).all() and basis.dimensions == 3


def test_axes_span_what_people_do_and_not_who_they_are(basis):
    moves = MOVES.reshape(4, -1)
    rest = moves - moves @ basis.axes.T @ basis.axes
    assert np.linalg.norm(rest) < 1e-3 * np.linalg.norm(moves)
    assert basis.deviations[3] > 0.5 and basis.deviations[4] < 1e-2


@pytest.mark.parametrize("identity", landmark_basis.IDENTITIES)
def test_what_the_basis_spans_is_said_and_shown_exactly(people, basis, identity):
    seen = people[1]
    person = landmark_basis.person(basis, seen, identity)
    said = landmark_basis.expressions(basis, person, seen.fronts)
    shown = landmark_basis.with_expressions(basis, person, said)
    np.testing.assert_allclose(shown, seen.fronts, atol=2e-3)


def test_of_a_key_frame_the_expressions_are_differences_of_components(people, basis):
    seen = people[2]
    person = landmark_basis.person(basis, seen, "key")
    np.testing.assert_allclose(person.base, seen.fronts[0])
    np.testing.assert_allclose(person.reference, basis.project(seen.fronts[0]), atol=1e-3)
    due = basis.project(seen.fronts) - basis.project(seen.fronts[:1])
    said = landmark_basis.expressions(basis, person, seen.fronts)
    np.testing.assert_allclose(said, due, atol=2e-3)


def test_of_a_template_the_reference_is_everyones_and_the_shut_mouth_is_the_template(people, basis):
    persons = [landmark_basis.person(basis, one, "template") for one in people]
    np.testing.assert_array_equal(persons[0].reference, persons[1].reference)
    for seen, person in zip(people, persons, strict=True):
        shut = np.argmin(open_rate(seen.fronts))
        assert shut == 0
        said = landmark_basis.expressions(basis, person, seen.fronts[shut][None])
        np.testing.assert_allclose(said[0], person.reference, atol=2e-3)


def test_two_dimensions_leave_depth_alone(people):
    flat = landmark_basis.fit(people, TEMPLATE, 6, dimensions=2)
    assert flat.axes.shape == (6, 136)
    person = landmark_basis.person(flat, people[0], "template")
    said = landmark_basis.expressions(flat, person, people[0].fronts)
    shown = landmark_basis.with_expressions(flat, person, said)
    np.testing.assert_allclose(shown[..., :2], people[0].fronts[..., :2], atol=2e-3)
    depth = np.broadcast_to(people[0].fronts[0, :, 2], shown.shape[:2])
    np.testing.assert_allclose(shown[..., 2], depth, atol=1e-3)


def test_frames_without_a_face_do_not_count(people, basis):
    spoilt = people[0].fronts.copy()
    spoilt[10:20] = 1e4
    valid = np.ones(50, bool)
    valid[10:20] = False
    hidden = [people[0]._replace(fronts=spoilt, valid=valid), *people[1:]]
    assert landmark_basis.fit(hidden, TEMPLATE, 6).deviations[0] < 2 * basis.deviations[0]


def test_too_little_footage_is_refused(people):
    with pytest.raises(InputError, match="5 frames with a face are too few for 20 components"):
        landmark_basis.fit([people[0].part(0, 5)], TEMPLATE)
    with pytest.raises(InputError, match="components"):
        landmark_basis.fit(people, TEMPLATE, 300)


def test_a_file_gives_the_basis_back(tmp_path, basis):
    landmark_basis.save(tmp_path / "b.npz", basis)
    for ours, theirs in zip(landmark_basis.load(tmp_path / "b.npz"), basis, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_published_basis_is_read(real_data):
    path = real_data / "rhythmic" / "U_lrw1.npy"
    found = landmark_basis.load(path)
    assert found.axes.shape == (20, 136) and found.dimensions == 2
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(20), atol=1e-5)
    # Its components, the columns, explain fronts of a video that it never saw; its rows do not.
    fronts = np.load(real_data / "rhythmic" / "00025_front.npy")[..., :2]
    mean = found.mean.reshape(68, 2)
    fronts = fronts - fronts.mean((0, 1))
    fronts = fronts * np.linalg.norm(mean - mean.mean(0)) / np.linalg.norm(fronts.mean(0))
    moves = (fronts - fronts.mean(0)).reshape(len(fronts), -1)
    rows = np.load(path)[:20]
    kept = [np.square(moves @ axes.T).sum() / np.square(moves).sum() for axes in (found.axes, rows)]
    assert kept[0] > 0.6 > 0.2 > kept[1]


def test_a_published_basis_is_brought_to_the_templates_size_and_place(tmp_path):
    mean, axes = TEMPLATE[:, :2] / 100, np.eye(136)
    np.save(tmp_path / "mean_x.npy", mean.reshape(-1))
    np.save(tmp_path / "U_x.npy", axes)
    found = landmark_basis.load(tmp_path / "U_x.npy", TEMPLATE)
    np.testing.assert_allclose(found.mean.reshape(68, 2), TEMPLATE[:, :2], atol=1e-3)
    np.testing.assert_array_equal(found.template, TEMPLATE)


@pytest.mark.parametrize(
    ("name", "arrays", "told"),
    [
        ("b.npz", {"mean": np.zeros(204)}, "no landmark basis"),
        ("b.npz", {"mean": np.zeros(10), "axes": np.zeros((3, 10))}, r"mean \[10\]"),
        ("b.npz", {"mean": np.zeros(204), "axes": np.zeros((3, 136))}, "axes"),
    ],
)
def test_other_files_are_refused(tmp_path, name, arrays, told):
    np.savez(tmp_path / name, **arrays)
    with pytest.raises(InputError, match=told):
        landmark_basis.load(tmp_path / name)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match="no file"):
        landmark_basis.load(tmp_path / "none.npz")
    np.save(tmp_path / "U_x.npy", np.eye(136))
    with pytest.raises(InputError, match="mean_x"):
        landmark_basis.load(tmp_path / "U_x.npy")
    np.save(tmp_path / "other.npy", np.eye(136))
    with pytest.raises(InputError, match="U_"):
        landmark_basis.load(tmp_path / "other.npy")


def test_a_basis_is_a_tuple_of_arrays_in_the_files_order():
    assert LandmarkBasis._fields == ("mean", "axes", "deviations", "template")
