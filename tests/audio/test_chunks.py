import numpy as np
import pytest

from facejax.audio import chunks as sound
from facejax.errors import InputError


def test_chunks_of_the_papers_rates():
    assert sound.samples_a_frame(50000, 25) == 2000 and sound.samples_a_frame(16000, 25) == 640
    assert sound.WINDOW * 2000 == 14000


@pytest.mark.parametrize(("rate", "fps"), [(16000, 30), (16000, 29.97), (10, 25)])
def test_a_frame_without_a_whole_number_of_samples_is_refused(rate, fps):
    with pytest.raises(InputError, match="whole number"):
        sound.samples_a_frame(rate, fps)


def test_a_frame_is_heard_with_three_chunks_before_it_and_three_after():
    wave = np.arange(10 * 4.0)  # ten frames of four samples
    padded = sound.padded_chunks(wave, 4, 10)
    assert padded.shape == (16, 4)
    windows = sound.windows(padded)
    assert windows.shape == (10, 28)
    for frame in range(3, 7):
        np.testing.assert_array_equal(windows[frame], wave[4 * (frame - 3) : 4 * (frame + 4)])


def test_ends_are_repeated_and_not_silent():
    wave = np.arange(40.0)
    padded = sound.padded_chunks(wave, 4, 10)
    np.testing.assert_array_equal(padded[:3].ravel(), wave[:12])
    np.testing.assert_array_equal(padded[-3:].ravel(), wave[-12:])


@pytest.mark.parametrize("samples", [0, 3, 37, 38, 400])
def test_a_sound_of_another_length_is_cut_or_filled_with_silence(samples):
    wave = np.ones(samples)
    padded = sound.padded_chunks(wave, 4, 10)
    own = padded[3:13].ravel()
    assert own[: min(samples, 40)].all() and not own[samples:].any()


@pytest.mark.parametrize("frames", [1, 2])
def test_one_or_two_frames_have_windows_too(frames):
    padded = sound.padded_chunks(np.ones(4 * frames), 4, frames)
    assert sound.windows(padded).shape == (frames, 28)


def test_frames_are_counted_to_the_nearest():
    assert [sound.count(n, 4) for n in (0, 1, 2, 5, 6, 40)] == [0, 0, 1, 1, 2, 10]


def test_windows_of_batches():
    rows = np.random.default_rng(0).normal(size=(2, 9, 5))
    both = sound.windows(rows)
    np.testing.assert_array_equal(both[1], sound.windows(rows[1]))
