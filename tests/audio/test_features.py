import wave as wav
from fractions import Fraction

import av
import numpy as np
import pytest

from facejax.audio import deepspeech, waveform
from facejax.audio.features import speech_features
from facejax.audio.mel import log_mel
from facejax.audio.mfcc import mfcc
from facejax.errors import InputError
from tests import fake_graph

RATE = 16000


def write_wav(path, samples, rate=RATE):
    samples = np.asarray(samples)
    with wav.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def write_aac(path, samples, rate=48_000):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], "fltp", "mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def voice(seconds, rate=RATE):
    """A buzz of 150 Hz through a slowly moving low pass: rich as speech, the same at any rate."""
    t = np.arange(round(seconds * rate)) / rate
    loud = 0.6 + 0.4 * np.sin(2 * np.pi * 2 * t)
    return sum(0.2 * loud ** (k / 10) * np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 20))


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "output_graph.pb"
    path.write_bytes(fake_graph.graph(fake_graph.weights(width=8)))
    return path


@pytest.mark.parametrize("kind,channels", [("mel", 29), ("deepspeech", 29), ("mfcc", 26)])
@pytest.mark.parametrize("fps,due", [(None, 68), (25, 34), (30, 41), (Fraction(30000, 1001), 41)])
def test_every_kind_has_a_row_a_frame(graph, kind, channels, fps, due):
    weights = graph if kind == "deepspeech" else None
    got = speech_features(voice(1.37), kind, fps=fps, weights=weights)
    assert got.shape == (due, channels)
    assert got.dtype == np.float32
    assert np.isfinite(got).all()


def test_the_default_is_log_mel_on_its_own_clock():
    sound = voice(0.5)
    np.testing.assert_array_equal(speech_features(sound), log_mel(sound.astype(np.float32)))
    np.testing.assert_array_equal(speech_features(sound, fps=25), speech_features(sound)[:24:2])


def test_a_loaded_net_serves_as_its_file(graph):
    sound, model = voice(0.5), deepspeech.load(graph)
    due, got = (speech_features(sound, "deepspeech", fps=30, weights=w) for w in (graph, model))
    np.testing.assert_array_equal(got, due)


def test_a_file_and_its_waveform_give_the_same(tmp_path):
    sound = voice(0.5)
    path = write_wav(tmp_path / "a.wav", sound)
    due = speech_features(waveform.load(path), fps=25)
    np.testing.assert_array_equal(speech_features(path, fps=25), due)
    np.testing.assert_array_equal(speech_features(str(path), fps=25), due)


def test_deepspeech_without_its_file_says_where_that_is():
    with pytest.raises(InputError, match=r"output_graph\.pb.*deepspeech-0\.1\.0-models") as caught:
        speech_features(voice(0.5), "deepspeech", fps=25)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"no weights file nowhere\.pb"):
        speech_features(voice(0.5), "deepspeech", fps=25, weights="nowhere.pb")


def test_a_silent_file_gives_the_floor_and_finite_logits(tmp_path, graph):
    path = write_wav(tmp_path / "a.wav", np.zeros(RATE))
    np.testing.assert_allclose(speech_features(path, fps=25), -2.5)
    for kind in ("mfcc", "deepspeech"):
        assert np.isfinite(speech_features(path, kind, fps=25, weights=graph)).all()


def test_sound_beyond_full_scale_gives_what_a_file_clipped_to_it_gives(tmp_path):
    loud = 5 * voice(0.5)
    path = write_wav(tmp_path / "a.wav", loud.clip(-1, 1))
    got, due = speech_features(loud, "mfcc"), mfcc(waveform.load(path))
    np.testing.assert_allclose(got, due, atol=0.5)  # the file's scale is 32767, a step of int16
    assert np.isfinite(speech_features(loud)).all()


def test_50_ms_give_one_frame_at_25_fps_and_two_rows(tmp_path, graph):
    path = write_wav(tmp_path / "a.wav", voice(0.05))
    assert speech_features(path, fps=25).shape == (1, 29)
    assert speech_features(path, "deepspeech", weights=graph).shape == (2, 29)


@pytest.mark.parametrize("seconds,fps,words", [(0.01, 25, "0.010 s.*half a frame at 25 fps"),
                                               (0, None, "0.000 s.*a sample")])  # fmt: skip
def test_too_little_sound_is_refused(tmp_path, seconds, fps, words):
    path = write_wav(tmp_path / "a.wav", voice(seconds))
    with pytest.raises(InputError, match=rf"a\.wav lasts {words}"):
        speech_features(path, fps=fps)
    with pytest.raises(InputError, match=f"the waveform lasts {words}"):
        speech_features(voice(seconds), fps=fps)


def test_8_khz_sound_has_the_bands_below_4_khz_and_nothing_above(tmp_path):
    path = write_wav(tmp_path / "a.wav", voice(1, 8_000), 8_000)
    got, due = speech_features(path), speech_features(voice(1))
    np.testing.assert_allclose(got[2:-2, :16], due[2:-2, :16], atol=0.05)
    assert got.shape == due.shape
    assert got[2:-2, 22:].max() < -1.5  # -80 dB; the sound's two ends are edges at any rate
    np.testing.assert_array_equal(speech_features(voice(1, 8_000), rate=8_000).shape, due.shape)


def test_six_channels_are_mixed_to_what_one_gives(tmp_path):
    """Only loudness differs: the front centre alone is 0.707 of either side, in FFmpeg's mix."""
    sound = 0.5 * voice(1)
    six = np.zeros((RATE, 6))
    six[:, 2] = sound
    got = speech_features(write_wav(tmp_path / "a.wav", six))
    due = speech_features(write_wav(tmp_path / "b.wav", sound * 0.5**0.5))
    np.testing.assert_allclose(got[:, :16], due[:, :16], atol=0.02)


def test_what_is_no_sound_is_refused(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(np.random.default_rng(0).bytes(5_000))
    with pytest.raises(InputError, match="not a video or sound file"):
        speech_features(path)
    path.write_bytes(b"RIFF\x24\x00\x00\x00WAVE")
    with pytest.raises(InputError):
        speech_features(path)


def test_a_file_cut_short_or_damaged_is_refused(tmp_path):
    whole = write_aac(tmp_path / "a.m4a", voice(2, 48_000)).read_bytes()
    path = tmp_path / "b.m4a"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cut short"):
        speech_features(path)
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(2_000) + whole[middle + 2_000 :])
    with pytest.raises(InputError, match="damaged"):
        speech_features(path)


def test_a_video_without_sound_and_a_missing_file_are_refused(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="has no sound"):
        speech_features(tmp_path / "a.mp4")
    with pytest.raises(InputError, match="no file"):
        speech_features(tmp_path / "b.wav")


@pytest.mark.parametrize(
    "sound,words",
    [
        (np.zeros((9, 2)), "waveform has shape"),
        (np.zeros(9, np.int16), "waveform is int16"),
        (np.full(9, np.nan), "not finite"),
        (np.full(9, 2e4), "reaches 20000"),
    ],
)
def test_a_waveform_of_another_shape_type_or_range_is_refused(sound, words):
    with pytest.raises(ValueError, match=words):
        speech_features(sound)


@pytest.mark.parametrize("options,words", [({"kind": "lpc"}, "kind is 'lpc'"), ({"fps": 0}, "fps"),
                                           ({"fps": float("nan")}, "fps")])  # fmt: skip
def test_an_unknown_kind_and_an_impossible_rate_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        speech_features(voice(0.5), **options)


def test_real_speech_has_the_frames_of_its_published_features(real_data):
    path = real_data / "facial/speech.wav"
    got = speech_features(path, fps=30)
    assert got.shape == (731, 29)
    assert -1 < got.mean() < 1 and 0.5 < got.std() < 2


@pytest.mark.parametrize("kind", ["mel", "mfcc"])
def test_features_of_real_speech_follow_the_published_logits_in_time(real_data, kind):
    """A linear map from the feature to the logits is best without any shift in time."""
    archive = np.load(real_data / "facial/deepspeech_windows_and_coefficients.npz")
    logits = archive["deepspeech"][:, 8]
    features = speech_features(real_data / "facial/speech.wav", kind, fps=30)

    def explained(shift):
        x = np.stack([np.roll(features, -shift - k, axis=0) for k in (-1, 0, 1)], 1)
        x = np.column_stack([x.reshape(731, -1), np.ones(731)])[20:-20]
        y = logits[20:-20]
        rest = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
        return 1 - rest.var() / y.var()

    scores = [explained(shift) for shift in range(-6, 7)]
    assert abs(int(np.argmax(scores)) - 6) <= 1
