import pytest

from facejax import personal_clips
from facejax.errors import InputError

PARTS = personal_clips.PARTS


def clips(*counts):
    return {f"p{k}": [f"p{k}-{n}" for n in range(count)] for k, count in enumerate(counts)}


@pytest.mark.parametrize("counts", [(3, 3), (4, 10, 7), (30, 3, 12), (450, 100)])
def test_no_clip_is_in_two_parts_and_everyone_is_in_all(counts):
    given = clips(*counts)
    parts = personal_clips.divide(given)
    for person, ids in given.items():
        own = [parts[part][person] for part in PARTS]
        # Once each, and the held-out ones last: furthest from those that teach.
        assert all(own) and [*own[0], *own[1], *own[2]] == ids
        assert len(own[0]) >= len(own[1]) == len(own[2]) == max(1, round(len(ids) / 5))


def test_the_held_out_clips_are_those_asked_for():
    parts = personal_clips.divide(clips(5, 4), ["p0-0", "p0-3", "p1-1"])
    assert parts["test"] == {"p0": ["p0-0", "p0-3"], "p1": ["p1-1"]}
    assert parts["validation"] == {"p0": ["p0-4"], "p1": ["p1-3"]}
    assert parts["train"] == {"p0": ["p0-1", "p0-2"], "p1": ["p1-0", "p1-2"]}


@pytest.mark.parametrize(
    ("counts", "held", "message"),
    [
        ((2, 5), [], "speaker 'p0' has 1 held-out clips and 1 others"),
        ((5, 5), ["p0-1"], "speaker 'p1' has 0 held-out clips and 5 others"),
        ((3, 5), ["p0-1", "p0-2", "p1-0"], "speaker 'p0' has 2 held-out clips and 1 others"),
    ],
)
def test_too_few_clips_are_refused(counts, held, message):
    with pytest.raises(InputError, match=message) as caught:
        personal_clips.divide(clips(*counts), held)
    assert "\n" not in str(caught.value) and "facejax preprocess --part" in str(caught.value)
