import resource
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from facejax import video
from facejax.audio import waveform
from facejax.errors import InputError
from facejax.video import VideoWriter

SIZE = (48, 64)
NTSC = Fraction(30000, 1001)


def picture(k, size=SIZE):
    """A smooth picture whose brightness tells k."""
    ramp = np.linspace(0, 60, size[1], dtype=np.float32)[None, :, None]
    return np.broadcast_to(40 + (k * 9) % 120 + ramp, (*size, 3)).astype(np.uint8)


def write(path, times, fps, size=SIZE, **kwargs):
    with VideoWriter(path, size, fps=fps, **kwargs) as writer:
        for k, time in enumerate(times):
            writer.write(picture(k, size), time)
    return path


def tone(seconds, rate=16000, hertz=440.0):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)), rate


def times_of(path, *span):
    return [time for time, _ in video.read_frames(path, *span)]


def test_constant_rate_times_come_back_exactly(tmp_path):
    write(tmp_path / "a.mp4", [None] * 40, NTSC)
    assert times_of(tmp_path / "a.mp4") == [k / NTSC for k in range(40)]


def test_variable_rate_times_come_back_exactly(tmp_path):
    base = Fraction(1, 15360)
    times = [k * base for k in (0, 512, 1024, 1300, 2000, 5000, 9000)]
    write(tmp_path / "a.mp4", times, Fraction(30), time_base=base)
    assert times_of(tmp_path / "a.mp4") == times


def test_frames_come_back_in_order_and_nearly_unchanged(tmp_path):
    write(tmp_path / "a.mp4", [None] * 12, 25)
    for k, (_, frame) in enumerate(video.read_frames(tmp_path / "a.mp4")):
        error = np.abs(frame.astype(int) - picture(k).astype(int))
        assert frame.shape == (*SIZE, 3)
        assert error.mean() < 2, k


@pytest.mark.parametrize("color", [(200, 40, 40), (40, 180, 60), (30, 50, 210), (240, 240, 240)])
@pytest.mark.parametrize("size", [(48, 64), (720, 128)])
def test_colors_survive_the_round_trip(tmp_path, color, size):
    with VideoWriter(tmp_path / "a.mp4", size, fps=25) as writer:
        writer.write(np.full((*size, 3), color, np.uint8))
    _, frame = next(video.read_frames(tmp_path / "a.mp4"))
    np.testing.assert_allclose(frame.reshape(-1, 3).mean(0), color, atol=3)


def test_an_odd_size_is_padded_by_its_last_line(tmp_path):
    write(tmp_path / "a.mp4", [None] * 3, 25, size=(47, 63))
    _, frame = next(video.read_frames(tmp_path / "a.mp4"))
    assert frame.shape == (48, 64, 3)


def test_a_span_holds_start_and_leaves_out_end(tmp_path):
    write(tmp_path / "a.mp4", [None] * 100, 25)
    times = times_of(tmp_path / "a.mp4", 2.4, 3.2)
    assert times == [Fraction(k, 25) for k in range(60, 80)]
    first = next(video.read_frames(tmp_path / "a.mp4", 2.4))[1]
    assert abs(first.mean() - picture(60).mean()) < 3


def test_spans_partition_the_clip(tmp_path):
    write(tmp_path / "a.mp4", [None] * 90, NTSC)
    parts = times_of(tmp_path / "a.mp4", None, 1.3) + times_of(tmp_path / "a.mp4", 1.3)
    assert parts == [k / NTSC for k in range(90)]


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotation_metadata_is_applied(tmp_path, degrees):
    upright = np.zeros((48, 64, 3), np.uint8)
    upright[:24, :32] = 250  # the top left corner is bright
    stored = np.rot90(upright, -degrees // 90)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = *stored.shape[:2], "yuv420p"
        stream.set_display_rotation(degrees)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(stored), "rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    _, frame = next(video.read_frames(tmp_path / "a.mp4"))
    assert video.probe(tmp_path / "a.mp4").size == (48, 64)
    assert np.abs(frame.astype(int) - upright).mean() < 8


def test_probe_states_rate_length_size_and_sound(tmp_path):
    write(tmp_path / "a.mp4", [None] * 60, NTSC, audio=tone(2))
    write(tmp_path / "b.mp4", [None] * 10, 25)
    info = video.probe(tmp_path / "a.mp4")
    assert (info.fps, info.frames, info.size, info.has_audio) == (NTSC, 60, SIZE, True)
    np.testing.assert_allclose(info.duration, float(60 / NTSC), atol=1e-3)
    assert not video.probe(tmp_path / "b.mp4").has_audio


def test_sound_comes_back_at_its_length_and_pitch(tmp_path):
    write(tmp_path / "a.mp4", [None] * 75, 25, audio=tone(5))
    wave = video.read_audio(tmp_path / "a.mp4")
    assert wave.dtype == np.float32 and abs(len(wave) - 3 * 16000) <= 1024
    spectrum = np.abs(np.fft.rfft(wave[:16000]))
    assert spectrum.argmax() == 440


def test_sound_of_a_file_is_cut_where_the_pictures_begin(tmp_path):
    """A click at 2.0 s of the source sounds 0.5 s into a video that starts at 1.5 s."""
    wave = np.zeros(48000, np.float32)
    wave[32000:32040] = 0.9
    write(tmp_path / "a.mp4", [None] * 75, 25, audio=(wave, 16000))
    write(tmp_path / "b.mp4", [None] * 30, 25, audio=tmp_path / "a.mp4", audio_start=1.5)
    heard = np.abs(video.read_audio(tmp_path / "b.mp4")).argmax() / 16000
    np.testing.assert_allclose(heard, 0.5, atol=0.004)


def test_a_silent_video_reads_as_no_samples(tmp_path):
    write(tmp_path / "a.mp4", [None] * 3, 25)
    assert video.read_audio(tmp_path / "a.mp4").shape == (0,)


def test_unusual_sample_rates_are_brought_to_one_that_aac_knows(tmp_path):
    write(tmp_path / "a.mp4", [None] * 50, 25, audio=tone(2, rate=10000))
    wave = video.read_audio(tmp_path / "a.mp4")
    assert np.abs(np.fft.rfft(wave[8000:24000])).argmax() == 440


def flashes_and_beeps(path, seconds, size=(16, 32)):
    """A white frame and a beep at every whole second, at 30000/1001 frames a second."""
    rate, count = 16000, int(seconds * NTSC)
    wave = np.zeros(round(seconds * rate), np.float32)
    for second in range(1, seconds):
        wave[second * rate : second * rate + 160] = 0.8
    with VideoWriter(path, size, fps=NTSC, audio=(wave, rate)) as writer:
        for k in range(count):
            flash = k / NTSC % 1 < 1 / NTSC and k > 0
            writer.write(np.full((*size, 3), 255 * flash, np.uint8))
    return count


def flash_times(path):
    return np.array([float(t) for t, frame in video.read_frames(path) if frame.mean() > 128])


def beep_times(path):
    wave = np.abs(video.read_audio(path))
    loud = np.flatnonzero(wave > 0.4)
    return loud[np.diff(loud, prepend=-10000) > 4000] / 16000


@pytest.mark.parametrize("seconds", [60, pytest.param(1800, marks=pytest.mark.slow)])
def test_sound_and_pictures_drift_by_less_than_a_frame(tmp_path, seconds):
    """After writing, and again after a copy as `animate` makes it."""
    count = flashes_and_beeps(tmp_path / "a.mp4", seconds)
    info = video.probe(tmp_path / "a.mp4")
    copied = tmp_path / "b.mp4"
    with VideoWriter(
        copied, info.size, fps=info.fps, time_base=info.time_base, audio=tmp_path / "a.mp4"
    ) as writer:
        for time, frame in video.read_frames(tmp_path / "a.mp4"):
            writer.write(frame, time)
    for path in (tmp_path / "a.mp4", copied):
        flash, beep = flash_times(path), beep_times(path)
        assert len(flash) == len(beep) == seconds - 1
        assert video.probe(path).frames == count
        assert np.abs(flash - beep).max() < 1 / NTSC, path
        assert np.abs(beep - np.round(beep)).max() < 0.005, path


def test_a_late_sound_track_is_padded_with_silence(tmp_path):
    wave, rate = tone(1)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        sound = container.add_stream("aac", rate=rate)
        sound.layout = "mono"
        for k in range(50):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(k), "rgb24")))
        container.mux(stream.encode())
        for first in range(0, len(wave), 1024):
            block = wave[None, first : first + 1024].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(block, "fltp", "mono")
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = first + rate // 2
            container.mux(sound.encode(frame))
        container.mux(sound.encode())
    heard = video.read_audio(tmp_path / "a.mp4")
    onset = np.flatnonzero(np.abs(heard) > 0.25)[0] / rate
    np.testing.assert_allclose(onset, 0.5, atol=0.01)


def test_nothing_is_left_behind_when_the_writing_block_raises(tmp_path):
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "a.mp4", SIZE, fps=25) as writer:
        writer.write(picture(0))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_another_size_or_an_old_time_is_refused(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", SIZE, fps=25) as writer:
        writer.write(picture(0), 1)
        with pytest.raises(ValueError, match="does not come after"):
            writer.write(picture(1), 0.5)
        with pytest.raises(ValueError, match=r"\(48, 64, 3\)"):
            writer.write(picture(1, (50, 64)))


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    """A limit on the file size makes every write fail as a full disk does."""
    code = f"""
import resource, sys, numpy as np
from facejax.errors import InputError
from facejax.video import VideoWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, {resource.RLIM_INFINITY}))
noise = np.random.default_rng(0)
try:
    with VideoWriter({str(tmp_path / "a.mp4")!r}, (64, 64), fps=25) as writer:
        for _ in range(60):
            writer.write(noise.integers(0, 255, (64, 64, 3)).astype(np.uint8))
except InputError as error:
    sys.exit(str(error))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1 and "cannot write" in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["talk.gif", "talk", "talk.mkv"])
def test_an_unknown_suffix_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"must end in \.mp4"):
        VideoWriter(tmp_path / name, SIZE, fps=25)


def test_a_text_file_named_mp4_is_called_a_text_file(tmp_path):
    (tmp_path / "a.mp4").write_text("no video\n" * 99)
    with pytest.raises(InputError, match="is a text file"):
        video.probe(tmp_path / "a.mp4")


@pytest.mark.parametrize("faststart", [True, False])
def test_a_truncated_file_is_refused_before_any_frame(tmp_path, faststart):
    write(tmp_path / "a.mp4", [None] * 200, 25)
    whole = (tmp_path / "a.mp4").read_bytes()
    if not faststart:  # the index comes last: put the file into that order
        source, copy = av.open(str(tmp_path / "a.mp4")), av.open(str(tmp_path / "c.mp4"), "w")
        with source, copy:
            stream = copy.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    copy.mux(packet)
        whole = (tmp_path / "c.mp4").read_bytes()
    (tmp_path / "b.mp4").write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(InputError, match="cut short"):
        video.probe(tmp_path / "b.mp4")
    with pytest.raises(InputError, match="cut short"):
        next(video.read_frames(tmp_path / "b.mp4"))


def test_too_few_frames_are_counted(tmp_path):
    write(tmp_path / "a.mp4", [None], 25)
    assert video.probe(tmp_path / "a.mp4").frames == 1
    with pytest.raises(InputError, match="has 1 frame; at least 2"):
        video.probe(tmp_path / "a.mp4", least_frames=2)


def test_a_sound_file_is_no_video(tmp_path):
    write(tmp_path / "a.mp4", [None] * 50, 25, audio=tone(2))
    with av.open(str(tmp_path / "a.m4a"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        stream.layout = "mono"
        block = np.zeros((1, 1024), np.float32)
        frame = av.AudioFrame.from_ndarray(block, "fltp", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(InputError, match="has no video in it"):
        video.probe(tmp_path / "a.m4a")
    with pytest.raises(InputError, match="has no sound"):
        waveform.load(write(tmp_path / "b.mp4", [None] * 2, 25))


def test_a_missing_file_names_itself(tmp_path):
    with pytest.raises(InputError, match=r"no file .*gone\.mp4"):
        video.probe(tmp_path / "gone.mp4")


@pytest.mark.parametrize(
    "name,codec,sound",
    [
        ("a.avi", "mpeg4", "mp2"),
        ("a.ts", "libx264", "aac"),
        ("a.mkv", "libx264", "aac"),
        ("a.mpg", "mpeg2video", "mp2"),
    ],
)
def test_other_containers_are_read_on_one_clock(tmp_path, name, codec, sound):
    """Whatever offsets the streams have: a flash and a beep at half a second stay there."""
    rate = 48000
    wave = np.zeros((1, rate), np.float32)
    wave[:, rate // 2 : rate // 2 + 60] = 0.9
    with av.open(str(tmp_path / name), "w") as container:
        stream, track = container.add_stream(codec, rate=NTSC), container.add_stream(sound, rate)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        track.layout = "mono"
        for k in range(30):
            picture = np.full((48, 64, 3), 250 if k == 15 else 20, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = k, 1 / NTSC
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        size = track.codec_context.frame_size
        for first in range(0, rate, size):
            block = np.ascontiguousarray(wave[:, first : first + size])
            frame = av.AudioFrame.from_ndarray(block, "fltp", "mono")
            frame.sample_rate, frame.pts = rate, first
            frame.time_base = Fraction(1, rate)
            container.mux(track.encode(frame))
        container.mux(track.encode())
    info = video.probe(tmp_path / name)
    assert info.frames == 30 and abs(info.duration - 1) < 0.05
    assert times_of(tmp_path / name)[0] == 0
    np.testing.assert_allclose(flash_times(tmp_path / name), [0.5005], atol=1e-3)
    heard = np.abs(video.read_audio(tmp_path / name)).argmax() / 16000
    np.testing.assert_allclose(heard, 0.5, atol=0.015)  # AVI states no encoder delay
