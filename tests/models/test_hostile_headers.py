"""Headers of model files that lie: overlaps, names that occur twice, wrong types, NaN."""

import json
import struct

import pytest
import torch

from asnn.cli.app import run
from asnn.core import DataError
from asnn.models import create_model, save_model
from asnn.models.saved import load_model, read_labels


@pytest.fixture
def parts(tmp_path):
    """The header of a model file, and its data."""
    path = tmp_path / "a.safetensors"
    model = create_model("mlp", in_shape=(1, 2, 2), classes=2, features=[4], steps=2)
    save_model(path, model, labels=["a", "b"])
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def write(path, header: str | dict, data: bytes):
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def first_two(header: dict) -> tuple[str, str]:
    """Return the names of two tensors of one shape."""
    by_shape: dict = {}
    for name, entry in header.items():
        if name != "__metadata__":
            by_shape.setdefault((entry["dtype"], *entry["shape"]), []).append(name)
    return next(tuple(names[:2]) for names in by_shape.values() if len(names) > 1)


def overlapping(header):
    a, b = first_two(header)
    return {**header, a: header[b]}


def out_of_bounds(header):
    last = max(header.items(), key=lambda each: each[1].get("data_offsets", [0, 0])[1])[0]
    begin, end = header[last]["data_offsets"]
    return {**header, last: {**header[last], "data_offsets": [begin + 4096, end + 4096]}}


def twice(header):
    a, b = first_two(header)
    return json.dumps(header)[:-1] + f", {json.dumps(a)}: {json.dumps(header[b])}}}"


def other_shape(header):
    name = next(name for name, entry in header.items() if len(entry.get("shape", [])) == 2)
    return {**header, name: {**header[name], "shape": [*header[name]["shape"][::-1], 1]}}


def other_type(header):
    return {n: {**e, "dtype": "I32"} if e.get("dtype") == "F32" else e for n, e in header.items()}


def description(**changes):
    def change(header):
        found = json.loads(header["__metadata__"]["asnn"])
        return {**header, "__metadata__": {"asnn": json.dumps({**found, **changes})}}

    return change


def in_model(text: str):
    """Return a change of the header: the number of features is some JSON text."""

    def change(header):
        found = json.loads(header["__metadata__"]["asnn"])
        found["model"]["features"] = "@"
        return {**header, "__metadata__": {"asnn": json.dumps(found).replace('"@"', text)}}

    return change


OFFSET = "(invalid offset|InvalidOffset)"  # the words of safetensors, and of 0.4
LIES = {
    "overlap": (overlapping, OFFSET),
    "out of bounds": (out_of_bounds, f"{OFFSET}|out of bounds|not fully covered"),
    "a name twice": (twice, f"{OFFSET}|twice"),
    "another shape": (other_shape, "has the shape"),
    "integers for floats": (other_type, "has the type torch.int32, not torch.float32"),
    "NaN in the description": (in_model("NaN"), "it has the number NaN"),
    "a large number": (in_model("[1" + "0" * 400 + "]"), "of 401 digits"),
    "deep lists": (in_model("[" * 50_000 + "]" * 50_000), "nested too deeply"),
    "no network": (description(model=[]), "does not fit|does not describe"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused(parts, tmp_path, lie, capsys):
    header, data = parts
    change, why = LIES[lie]
    assert load_model(write(tmp_path / "good.safetensors", header, data))  # control: unchanged
    path = write(tmp_path / "bad.safetensors", change(header), data)
    with pytest.raises(DataError, match=why):
        load_model(path)
    assert run(["inspect", str(path), "--json"]) in (0, 4)
    out = capsys.readouterr().out
    assert not out or json.loads(out, parse_constant=pytest.fail)


def test_labels_are_a_list(parts, tmp_path):
    header, data = parts
    assert read_labels(write(tmp_path / "good.safetensors", header, data)) == ["a", "b"]
    path = write(tmp_path / "bad.safetensors", description(labels=5)(header), data)
    with pytest.raises(DataError, match="its names of classes are not a list"):
        read_labels(path)


def test_weights_that_are_not_finite(parts, tmp_path):
    header, data = parts
    name, entry = next((n, e) for n, e in header.items() if e.get("dtype") == "F32")
    begin = entry["data_offsets"][0]
    changed = data[:begin] + struct.pack("<f", float("nan")) + data[begin + 4 :]
    assert torch.isfinite(torch.frombuffer(bytearray(data[begin : begin + 4]), dtype=torch.float32))
    with pytest.raises(DataError, match="not finite") as caught:
        load_model(write(tmp_path / "bad.safetensors", header, changed))
    assert name in str(caught.value)
