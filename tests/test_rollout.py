import jax.numpy as jnp
import numpy as np
import pytest

from facejax import rollout
from facejax.data import sequences

FRAMES = 8
CALLS = []


def running_sum(gen, stats, frozen, inputs):
    """Attributes that go on from the state by what is heard since: wherever windows lie, the same.

    The second is the frame's own speech, without memory; the third how many rows are not silent.
    """
    CALLS.append(inputs["speech"].shape)
    own = inputs["speech"][..., 8, :1] * gen
    gained = jnp.cumsum(own.at[:, 0].set(0), axis=1)
    total = inputs["state"][:, None, :1] + gained
    heard = jnp.sum(inputs["speech"][..., 0] != 0, axis=-1, keepdims=True).astype(jnp.float32)
    return {"attributes": jnp.concatenate([total, own, heard], axis=-1)}


def run(speech, state=(0.0, 0.0, 0.0), frames=FRAMES):
    roll = rollout.fill(rollout.make_roll(running_sum, frames), 2.0, {}, {})
    rows = sequences.padded(speech)
    return rollout.attributes(roll, rows, np.asarray(state, np.float32), frames)


def speech_of(length):
    return np.random.default_rng(length).normal(1, 0.1, (length, 2)).astype(np.float32)


LENGTHS = (1, 2, 7, 8, 9, 15, 16, 40, 57, 58, 131)  # BLOCK windows of 8 frames cover 57


@pytest.mark.parametrize("length", LENGTHS)
def test_windows_go_on_from_each_other_as_one(length):
    speech = speech_of(length)
    made = run(speech, state=(5.0, 0.0, 0.0))
    assert made.shape == (length, 3) and made.dtype == np.float32
    due = 5 + np.cumsum(np.r_[0, 2 * speech[1:, 0].astype(np.float64)])
    np.testing.assert_allclose(made[:, 0], due, rtol=1e-5)
    np.testing.assert_allclose(made[:, 1], 2 * speech[:, 0], rtol=1e-6)


@pytest.mark.parametrize("length", LENGTHS)
def test_silence_stands_only_before_and_after_the_speech(length):
    made = run(speech_of(length))
    t = np.arange(length)
    due = np.minimum(t + 7, length - 1) - np.maximum(t - 8, 0) + 1
    np.testing.assert_array_equal(made[:, 2], due)


def test_every_length_is_one_program():
    rollout.make_roll.cache_clear()
    run(speech_of(3))
    CALLS.clear()
    for length in LENGTHS:
        run(speech_of(length))
    assert CALLS == []


def test_the_last_window_ends_with_the_speech_and_starts_on_a_frame_that_is_known():
    starts, places = rollout.plan(20, 8)
    assert starts.tolist() == [0, 7, 12] and places.tolist() == [0, 7, 5]
    for length in range(1, 60):
        starts, places = rollout.plan(length, 8)
        assert starts[-1] == max(length - 8, 0) and (np.diff(starts) > 0).all()
        assert places[0] == 0 and (places[1:] > 0).all() and (places < 8).all()


def test_no_speech_at_all_is_refused():
    with pytest.raises(ValueError, match="N at least 1"):
        run(np.zeros((0, 2), np.float32))
