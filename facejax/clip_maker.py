"""A clip of a video as it is recorded: crops, motion, landmarks and sound, on one clock."""

import os
from typing import NamedTuple

import numpy as np

from facejax import video
from facejax.data import records
from facejax.face_mesh import FaceMesh
from facejax.geometry.morphable import MorphableModel
from facejax.media import Seconds, exact
from facejax.progress import progress
from facejax.track import Choice, Track, crop_frames, track_video

QUALITY = 95  # JPEG of the stored frames


class Maker(NamedTuple):
    """What every clip of a data folder shares."""

    face_mesh: FaceMesh
    model: MorphableModel
    size: int  # px
    choice: Choice
    licence: str


def make_clip(
    maker: Maker,
    path: str | os.PathLike,
    names: tuple[str, str],
    start: Seconds | None,
    end: Seconds | None,
) -> tuple[records.Clip, Track]:
    """Returns the clip from `start` to `end` s of a video, and the track it was made from.

    Args:
      maker: of the data folder.
      path: the video.
      names: clip id, speaker id.
      start: s after the video's first frame.
      end: likewise.

    Raises:
      InputError: see `track.track_video`.
    """
    choice = maker.choice._replace(keep_points=True)
    track = track_video(
        path, maker.face_mesh, maker.model, size=maker.size, start=start, end=end, choice=choice
    )
    crops = progress(crop_frames(path, track, maker.size, end=end), len(track.times), "crop")
    first, last = exact(track.times[0]), exact(track.times[-1]) + 1 / track.fps
    wave = video.read_audio(path, records.AUDIO_RATE, first, last)
    clip = records.Clip(
        clip_id=names[0],
        speaker_id=names[1],
        fps_num=track.fps.numerator,
        fps_den=track.fps.denominator,
        times=track.times - track.times[0],
        frames=[records.encode_frame(crop, QUALITY) for crop in crops],
        audio=np.clip(np.round(wave * 32767), -32768, 32767).astype(np.int16),
        identity=track.identity,
        expression=track.expression,
        pose=track.pose,
        blink=track.blink,
        landmarks=track.landmarks,
        points=track.points,
        valid=track.valid,
        box=track.box,
        source_size=np.array(track.source_size, np.int32),
        mask=[],
        licence=maker.licence,
    )
    return clip, track
