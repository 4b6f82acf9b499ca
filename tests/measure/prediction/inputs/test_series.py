"""WAV files as the frames of the training."""

import io
import wave

import numpy as np
import pytest
import torch

from asnn.coding.samples import SampleSpec
from asnn.datasets.sources.series.wav_folder import load_wav_folder
from asnn.measure.prediction.inputs.given import samples_given
from asnn.measure.prediction.inputs.reader import reader_of

OPTIONS = {"path": "", "rate": 8000, "steps": 12, "bands": 8, "fit": "stretch", "level": "relative"}
SPEC = SampleSpec("series", (8,), steps=12)


def wav(seconds, seed):
    stream = io.BytesIO()
    values = np.random.default_rng(seed).normal(0, 3000, int(8000 * seconds)).astype("<i2")
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(values.tobytes())
    return stream.getvalue()


@pytest.fixture
def recordings(tmp_path):
    for number, label in enumerate(("no", "yes")):
        (tmp_path / label).mkdir()
        for i in range(2):
            (tmp_path / label / f"{i}.wav").write_bytes(wav(0.3 + 0.1 * i, 2 * number + i))
    return tmp_path


@pytest.mark.parametrize("changed", [{}, {"level": "absolute"}, {"fit": "pad"}])
def test_frames_are_those_of_the_data_set(recordings, changed):
    options = {**OPTIONS, "path": str(recordings), **changed}
    data = load_wav_folder(**options)
    reader = reader_of(SPEC, ["no", "yes"], "wav-folder", options)
    found = list(samples_given(reader, recordings))
    assert [each.expected for each in found] == ["no", "no", "yes", "yes"]
    assert torch.equal(torch.stack([each.value for each in found]), data.train.inputs)


def test_damaged_audio_and_audio_of_an_unknown_kind_are_refused(recordings):
    (recordings / "cut.wav").write_bytes(wav(0.1, 0)[:100])
    reader = reader_of(SPEC, [], "wav-folder", OPTIONS)
    (found,) = samples_given(reader, recordings / "cut.wav")
    assert "cut.wav cannot be read" in found.error.what
    (found,) = samples_given(reader_of(SPEC, []), recordings / "no/0.wav")
    assert "how audio becomes one is not known here" in found.error.why
    assert "the run of a network that was trained on WAV files" in found.error.remedy
