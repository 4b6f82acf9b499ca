"""Readers of event-camera files: what a sensor recorded, event by event, in the order of the file.

recording = read_recording("moving_box.aedat")
recording.t, recording.x, recording.y, recording.p  # microseconds, pixels, 0 = off or 1 = on
"""

from .read import decode_recording, decode_recordings, read_recording, read_recordings
from .recording import Recording, Recordings

__all__ = [
    "Recording",
    "Recordings",
    "decode_recording",
    "decode_recordings",
    "read_recording",
    "read_recordings",
]
