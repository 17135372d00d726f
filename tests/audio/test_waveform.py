import wave as wav

import av
import numpy as np
import pytest

from facejax.audio import waveform
from facejax.errors import InputError


def write_wav(path, samples, rate):
    samples = np.asarray(samples)
    with wav.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def sine(seconds, rate, hertz=440):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def test_equal_rates_come_back_sample_for_sample(tmp_path):
    due = np.random.default_rng(0).uniform(-0.9, 0.9, 30011)
    got = waveform.load(write_wav(tmp_path / "a.wav", due, 16000))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, due, atol=1e-4)


@pytest.mark.parametrize("rate", [44100, 48000, 8000, 22050])
def test_resampling_keeps_length_pitch_and_phase(tmp_path, rate):
    path = write_wav(tmp_path / "a.wav", sine(1.5, rate), rate)
    got, due = waveform.load(path), sine(1.5, 16000)
    assert abs(len(got) - len(due)) <= 1
    np.testing.assert_allclose(got[800:23000], due[800:23000], atol=2e-3)


def test_resampling_whole_and_in_blocks_agree(tmp_path):
    path = write_wav(tmp_path / "a.wav", sine(1, 44100), 44100)
    whole = waveform.resample(sine(1, 44100), 44100)
    np.testing.assert_allclose(waveform.load(path)[400:15600], whole[400:15600], atol=2e-3)


def test_frequencies_above_the_new_band_do_not_fold(tmp_path):
    path = write_wav(tmp_path / "a.wav", sine(1, 44100, 11000), 44100)
    assert np.abs(waveform.load(path)[500:-500]).max() < 1e-2


def test_channels_are_averaged(tmp_path):
    left = sine(1, 16000)
    path = write_wav(tmp_path / "a.wav", np.stack([left, -0.5 * left], axis=1), 16000)
    np.testing.assert_allclose(waveform.load(path), 0.25 * left, atol=1e-4)


@pytest.mark.parametrize("start,end", [(0.25, 0.75), (0, 0.1), (1.1, None)])
def test_a_span_is_cut_to_the_sample(tmp_path, start, end):
    due = np.random.default_rng(0).uniform(-0.9, 0.9, 24000)
    path = write_wav(tmp_path / "a.wav", due, 16000)
    last = None if end is None else round(end * 16000)
    got = waveform.load(path, start=start, end=end)
    np.testing.assert_allclose(got, due[round(start * 16000) : last], atol=1e-4)


def test_a_start_past_the_end_is_empty(tmp_path):
    path = write_wav(tmp_path / "a.wav", sine(1, 16000), 16000)
    assert waveform.load(path, start=5).shape == (0,)


def test_no_sound_file_is_refused(tmp_path):
    (tmp_path / "a.wav").write_text("hello")
    with pytest.raises(InputError, match="text file"):
        waveform.load(tmp_path / "a.wav")


def test_blocks_are_the_whole_in_pieces(tmp_path):
    path = write_wav(tmp_path / "a.wav", sine(1.5, 44100), 44100)
    pieces = list(waveform.load_blocks(path))
    assert len(pieces) > 2
    np.testing.assert_array_equal(np.concatenate(pieces), waveform.load(path))


def write_surround(path, samples):
    """[6, n] as FLAC, whose header states the layout: left, right, centre, low, two at the side."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=16000, layout="5.1")
        packed = np.ascontiguousarray((samples * 32767).astype("<i2").T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, "s16", "5.1")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    "channel,gain", [(0, 0.5), (1, 0.5), (2, 0.5**0.5), (3, 0), (4, 0.5**1.5), (5, 0.5**1.5)]
)
def test_surround_is_mixed_down_with_the_voice_of_the_centre_strongest(tmp_path, channel, gain):
    samples = np.zeros((6, 16000))
    samples[channel] = sine(1, 16000)
    got = waveform.load(write_surround(tmp_path / "a.flac", samples))
    np.testing.assert_allclose(got, gain * samples[channel], atol=1e-4)


def test_a_loud_mix_stays_in_its_range(tmp_path):
    samples = np.tile(1.8 * sine(1, 16000), (6, 1))
    got = waveform.load(write_surround(tmp_path / "a.flac", samples))
    assert np.abs(got).max() == 1
