"""Invalid and hostile NIR, ONNX, safetensors and NumPy files, each with a part of its message."""

import gzip
import os
import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from asnn.core import DataError
from asnn.inspection import inspect

from .format_files import (
    WEIGHTS,
    entry,
    full,
    npy_bytes,
    npz_bytes,
    onnx_model,
    safetensors,
    write_nir,
    zip_bytes,
)


def _nir_with(change):
    """Return a function that writes a NIR file and modifies it as an open HDF5 file."""

    def write(path: Path) -> None:
        write_nir(path)
        with h5py.File(path, "r+") as file:
            change(file)

    return write


def _replaced(name: str, value, **options):
    def change(file):
        del file[name]
        file.create_dataset(name, data=value, **options)

    return _nir_with(change)


def _linked(name: str, link):
    def change(file):
        del file[name]
        file[name] = link

    return _nir_with(change)


def _group_cycle(file):
    file["node/nodes/lif/metadata"] = file["node/nodes"]


def _billion_laughs(file):
    group = file["node"].create_group("metadata/a")
    for _ in range(30):
        inner = group.create_group("a")
        group["b"] = inner
        group = inner


def _deep_groups(file):
    group = file["node/metadata"]
    for _ in range(500):
        group = group.create_group("g")


def _virtual(file):
    layout = h5py.VirtualLayout(shape=(10,), dtype="f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(10,))
    del file["node/nodes/affine/bias"]
    file.create_virtual_dataset("node/nodes/affine/bias", layout)


def _external(file):
    del file["node/nodes/affine/bias"]
    file.create_dataset(
        "node/nodes/affine/bias", shape=(10,), dtype="f4", external=[("/etc/passwd", 0, 40)]
    )


def _huge(**options):
    def change(file):
        del file["node/nodes/affine/weight"]
        file.create_dataset("node/nodes/affine/weight", shape=(1 << 38,), dtype="f4", **options)

    return _nir_with(change)


def _deep_graphs(file):
    group = file["node/nodes"]
    for _ in range(12):
        inner = group.create_group("inner")
        inner["type"], inner["edges"] = "NIRGraph", np.zeros((0, 2))
        group = inner.create_group("nodes")


def _nir_without(name: str):
    return _nir_with(lambda file: file.__delitem__(name))


LIF, AFFINE, EDGES = "node/nodes/lif", "node/nodes/affine", "node/edges"
STRINGS = h5py.string_dtype()
TOO_LARGE = "too large for a file of this size"
HOSTILE_NIR = {
    "external link": (_linked(AFFINE, h5py.ExternalLink("other.nir", "/node")), "another file"),
    "soft link": (_linked(AFFINE, h5py.SoftLink("/version")), "soft link"),
    "soft link cycle": (_linked(AFFINE, h5py.SoftLink("/node/nodes/affine")), "soft link"),
    "soft root": (_linked("node", h5py.SoftLink("/node")), "soft link"),
    "hard link cycle": (_nir_with(_group_cycle), "linked twice, or holds itself"),
    "billion laughs": (_nir_with(_billion_laughs), "linked twice"),
    "deep groups": (_nir_with(_deep_groups), "nested more than"),
    "deep graphs": (_nir_with(_deep_graphs), "nested more than"),
    "virtual dataset": (_nir_with(_virtual), "in other files"),
    "external storage": (_nir_with(_external), "in other files"),
    "1 TiB, chunked": (
        _huge(chunks=(1 << 16,), compression="gzip"),
        TOO_LARGE,
    ),
    "1 TiB, contiguous": (_huge(), TOO_LARGE),
    "compressed zeros": (
        _replaced(f"{AFFINE}/weight", np.zeros(160 << 20, "u1"), compression="gzip"),
        TOO_LARGE,
    ),
    "NaN": (_replaced(f"{AFFINE}/weight", np.full((10, 256), np.nan)), "not finite"),
    "infinity": (_replaced(f"{LIF}/r", full(np.inf)), "not finite"),
    "negative tau": (_replaced(f"{LIF}/tau", full(-1)), "which is no valid time"),
    "tau of zero": (_replaced(f"{LIF}/tau", full(0)), "which is no valid time"),
    "complex": (_replaced(f"{LIF}/r", full(1).astype("c8")), "has the type complex64"),
    "text for a number": (_replaced(f"{LIF}/r", "one", dtype=STRINGS), "is not a number"),
    "a compound type": (
        _replaced(f"{LIF}/r", np.zeros(3, [("a", "f4")])),
        "neither numbers nor strings",
    ),
    "an empty dataset": (_replaced(f"{LIF}/r", h5py.Empty("f4")), "holds nothing"),
    "uneven shapes": (_replaced(f"{LIF}/r", full(1, 3)), "different shapes"),
    "bias that does not fit": (_replaced(f"{AFFINE}/bias", full(1, 3)), "not [10]"),
    "vector weight": (_replaced(f"{AFFINE}/weight", full(1, 256)), "has the shape [256]"),
    "stride of zero": (_replaced("node/nodes/conv/stride", [0, 0]), "is [0, 0]"),
    "odd padding": (_replaced("node/nodes/conv/padding", "all", dtype=STRINGS), "is 'all'"),
    "groups": (_replaced("node/nodes/conv/groups", 3), "4 outputs in 3 groups"),
    "half a stride": (_replaced("node/nodes/conv/stride", 0.5), "does not hold integers"),
    "negative shape": (_replaced("node/nodes/input/shape", [1, -8, 8]), "is [1, -8, 8]"),
    "vast shape": (
        _replaced("node/nodes/input/shape", [2**30, 2**30]),
        "more than 2,147,483,648 values",
    ),
    "unknown type": (_replaced(f"{LIF}/type", "Magic", dtype=STRINGS), "unknown type 'Magic'"),
    "no type": (_nir_without(f"{LIF}/type"), "has no type"),
    "no tau": (_nir_without(f"{LIF}/tau"), "has no tau"),
    "unknown field": (_nir_with(lambda f: f[LIF].create_dataset("x", data=1)), "unknown field"),
    "missing node": (_nir_without(LIF), "which is missing"),
    "edge to a missing node": (
        _replaced(EDGES, [["input", "x"]], dtype=STRINGS),
        "which is missing",
    ),
    "double edge": (_replaced(EDGES, [["input", "conv"]] * 2, dtype=STRINGS), "is stored twice"),
    "edges of numbers": (_replaced(EDGES, np.zeros((3, 2))), "not pairs of names"),
    "no input": (
        _nir_with(lambda f: [f.__delitem__("node/nodes/input"), f.__delitem__(EDGES)]),
        "no Input node",
    ),
    "no nodes": (_nir_without("node/nodes"), "has no nodes"),
    "no node group": (_nir_without("node"), "no group `node`"),
    "node is an array": (_replaced("node", np.zeros(3)), "no group `node`"),
    "a control sequence": (_replaced(f"{LIF}/type", "\x1b[2J", dtype=STRINGS), r"\x1b[2J"),
}


def _tensor(**fields) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 3])
    tensor.raw_data = bytes(48)
    for name, value in fields.items():
        if isinstance(value, list):
            del getattr(tensor, name)[:]
            getattr(tensor, name).extend(value)
        else:
            setattr(tensor, name, value)
    return tensor


BIAS = numpy_helper.from_array(np.zeros(4, np.float32), "b")


def _onnx_with(tensor=None, **options):
    tensors = None if tensor is None else [tensor, BIAS]
    return lambda path: path.write_bytes(onnx_model(tensors, **options).SerializeToString())


def _external_tensor() -> TensorProto:
    tensor = _tensor(data_location=TensorProto.EXTERNAL)
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


def _onnx_with_constant(tensor: TensorProto):
    node = helper.make_node("Constant", [], ["y"], name="c")
    node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(tensor)
    return _onnx_with(nodes=[node])


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def _nested_graphs(path: Path) -> None:
    graph = b""
    for _ in range(200):
        for tag in (b"\x32", b"\x2a", b"\x0a"):  # graph in attribute in node in graph
            graph = tag + _varint(len(graph)) + graph
    path.write_bytes(b"\x08\x0a\x3a" + _varint(len(graph)) + graph)


def _empty_nodes(path: Path, count: int = 1_000_000) -> None:
    path.write_bytes(b"\x08\x0a\x3a" + _varint(2 * count) + b"\x0a\x00" * count)


def _packed_numbers(path: Path, count: int = 20 << 20) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.INT64, dims=[count]).SerializeToString()
    tensor += b"\x3a" + _varint(count) + bytes(count)
    graph = b"\x2a" + _varint(len(tensor)) + tensor
    path.write_bytes(b"\x08\x0a\x3a" + _varint(len(graph)) + graph)


def _onnx_with_fields(**fields):
    def write(path: Path) -> None:
        model = onnx_model()
        for name, value in fields.items():
            model.ClearField(name)
            if value is not None:
                setattr(model, name, value)
        path.write_bytes(model.SerializeToString())

    return write


def _relu(*names):
    return [helper.make_node("Relu", [a], [b]) for a, b in names]


HOSTILE_ONNX = {
    "data outside": (_onnx_with(_external_tensor()), "'../../etc/passwd', outside the folder"),
    "constant outside": (_onnx_with_constant(_external_tensor()), "outside the folder"),
    "more values than stated": (_onnx_with(_tensor(dims=[2, 2])), "states the shape [2, 2]"),
    "fewer values than stated": (_onnx_with(_tensor(dims=[1 << 38])), "states the shape"),
    "overflowing dims": (_onnx_with(_tensor(dims=[1 << 62] * 4)), "states the shape"),
    "negative dims": (_onnx_with(_tensor(dims=[-4, -3])), "has the shape [-4, -3]"),
    "unknown tensor type": (_onnx_with(_tensor(data_type=77)), "unknown type 77"),
    "NaN in weights": (
        _onnx_with(_tensor(raw_data=np.full(12, np.nan, "<f4").tobytes())),
        "holds NaN",
    ),
    "NaN in a constant": (
        _onnx_with_constant(numpy_helper.from_array(np.array([np.nan], np.float16), "c")),
        "holds NaN",
    ),
    "cycle": (_onnx_with(nodes=_relu(("u", "y"), ("y", "u"))), "topological"),
    "undefined input": (_onnx_with(nodes=_relu(("q", "y"))), "q"),
    "unknown operator": (_onnx_with(nodes=[helper.make_node("Magic", ["x"], ["y"])]), "Magic"),
    "newer version": (_onnx_with_fields(ir_version=99), "its IR version is 99"),
    "no graph": (_onnx_with_fields(graph=None), "it holds no graph"),
    "no opset": (_onnx_with_fields(opset_import=None), "opset"),
    "deep graphs": (_nested_graphs, "nested more than"),
    "a million empty nodes": (_empty_nodes, "more than 400,000 fields"),
    "packed varints": (_packed_numbers, "packed numbers"),
    "text": (lambda path: path.write_text("hello, world\n" * 20), "is not a readable ONNX model"),
}


def _bytes(content: bytes | Callable[[], bytes]):
    """Return a function that writes `content`, or the result of `content()`."""
    return lambda path: path.write_bytes(content() if callable(content) else content)


def _weights_with(**changes) -> bytes:
    return safetensors({"a": {**entry(0, 8, [2]), **changes}}, bytes(8))


HOSTILE_WEIGHTS = {
    "header of an exabyte": (_bytes(safetensors({}, b"", 1 << 60)), "its header has"),
    "header beyond the file": (_bytes(safetensors({}, b"", 999)), "its header has 999 bytes"),
    "header of 20 MB": (
        _bytes(lambda: (20 << 20).to_bytes(8, "little") + b"{" + b" " * (20 << 20)),
        "at most 8,388,608 are read",
    ),
    "header that is not JSON": (_bytes(b"\x08" + bytes(7) + b"{notjson" + bytes(8)), "not JSON"),
    "header nested deep": (
        _bytes((99_999).to_bytes(8, "little") + b'{"a":' + b"[" * 99_994),
        "nested too deep",
    ),
    "a list": (_bytes((2).to_bytes(8, "little") + b"[]"), "names no tensors"),
    "name twice": (
        _bytes((15).to_bytes(8, "little") + b'{"a":{},"a":{}}'),
        "a name occurs twice",
    ),
    "overlap": (
        _bytes(safetensors({"a": entry(0, 8, [2]), "b": entry(4, 12, [2])}, bytes(12))),
        "overlaps another",
    ),
    "gap": (
        _bytes(safetensors({"a": entry(0, 4, [1]), "b": entry(8, 12, [1])}, bytes(12))),
        "follows a gap",
    ),
    "bytes of no tensor": (_bytes(safetensors({"a": entry(0, 4, [1])}, bytes(12))), "no tensor"),
    "cut off": (_bytes(WEIGHTS[:-4]), "was cut off"),
    "offsets outside": (
        _bytes(_weights_with(data_offsets=[1 << 40, (1 << 40) + 8])),
        "was cut off",
    ),
    "offsets backwards": (_bytes(_weights_with(data_offsets=[8, 0])), "has the offsets"),
    "offsets of text": (_bytes(_weights_with(data_offsets=["0", "8"])), "has the offsets"),
    "shape that does not fit": (_bytes(_weights_with(shape=[1 << 40])), "has 8 bytes"),
    "negative shape": (_bytes(_weights_with(shape=[-1, -2])), "has the shape"),
    "shape of booleans": (_bytes(_weights_with(shape=[True, 2])), "has the shape"),
    "unknown type": (_bytes(_weights_with(dtype="F31")), "unknown type 'F31'"),
    "no shape": (_bytes(safetensors({"a": {"dtype": "F32"}}, b"")), "is not described by"),
    "NaN": (_bytes(safetensors({"a": entry(0, 8, [2])}, b"\xff" * 8)), "not finite"),
    "NaN in bfloat16": (
        _bytes(safetensors({"a": entry(0, 4, [2], "BF16")}, b"\xff" * 4)),
        "not finite",
    ),
    "metadata of numbers": (_bytes(safetensors({"__metadata__": {"a": 1}}, b"")), "not strings"),
}


def _torch_file(path: Path) -> None:
    torch.save({"weight": torch.ones(3)}, path)


def _legacy_torch_file(path: Path) -> None:
    torch.save({"weight": torch.ones(3)}, path, _use_new_zipfile_serialization=False)


NPY = "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }"


@cache
def _zip_bomb() -> bytes:
    return npz_bytes(x=np.zeros(300 << 20, "u1"))


@cache
def _many_members() -> bytes:
    return zip_bytes({f"{i:090}.npy": b"" for i in range(16_000)})


OBJECTS = npz_bytes(x=np.array([{}], object))
HOSTILE_ARRAYS = {
    "a torch file": (_torch_file, "is a pickle"),
    "an old torch file": (_legacy_torch_file, "is a pickle"),
    "a pickle": (_bytes(pickle.dumps({"weight": [1.0]})), "is a pickle"),
    "objects in an archive": (_bytes(OBJECTS), "is a pickle"),
    "objects in an array": (_bytes(npy_bytes(NPY.replace("<f8", "|O"), bytes(24))), "is a pickle"),
    "a pickle in an archive": (_bytes(zip_bytes({"x.npy": pickle.dumps([1])})), "is a pickle"),
    "zip bomb": (_bytes(_zip_bomb), "unpacks to"),
    "a relative name": (_bytes(zip_bytes({"../x.npy": npy_bytes(NPY)})), "out of a folder"),
    "an absolute name": (_bytes(zip_bytes({"/etc/x.npy": npy_bytes(NPY)})), "out of a folder"),
    "a member of text": (_bytes(zip_bytes({"x.txt": b"hello"})), "is not an array"),
    "an empty archive": (_bytes(zip_bytes({})), "holds no arrays"),
    "an archive cut off": (_bytes(npz_bytes()[:-30]), "was cut off"),
    "too many members": (_bytes(_many_members), "list of members"),
    "shape of an array that does not fit": (_bytes(npy_bytes(NPY, bytes(16))), "has 16 bytes"),
    "1 TiB of an array": (_bytes(npy_bytes(NPY.replace("3,", "1 << 37,"))), "cannot be read"),
    "negative shape of an array": (_bytes(npy_bytes(NPY.replace("3,", "-3,"))), "has the shape"),
    "code in a header": (_bytes(npy_bytes("__import__('os').abort()")), "cannot be read"),
    "a header nested deep": (_bytes(npy_bytes("(" * 5000)), "cannot be read"),
    "gzip": (_bytes(gzip.compress(b"x" * 99)), "compressed with gzip"),
    "nothing": (_bytes(b""), "is empty"),
    "one byte": (_bytes(b"x"), "unknown kind"),
    "text": (_bytes(b"some words\n"), "unknown kind"),
    "a picture": (_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50)), "is a picture"),
    "a folder": (Path.mkdir, "is not a run"),
    "a pipe": (os.mkfifo, "not a regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    "a broken link": (lambda path: path.symlink_to("missing"), "there is no"),
}
HOSTILE = {
    **{(name, ".nir"): case for name, case in HOSTILE_NIR.items()},
    **{(name, ".onnx"): case for name, case in HOSTILE_ONNX.items()},
    **{(name, ".safetensors"): case for name, case in HOSTILE_WEIGHTS.items()},
    **{
        # Nothing tells the format of N-MNIST but its suffix .bin.
        (name, ".data" if "unknown kind" in case[1] else ".bin"): case
        for name, case in HOSTILE_ARRAYS.items()
    },
}


def check_refused(case: tuple[str, str], folder: Path) -> None:
    """Write a file of `HOSTILE`; it must be refused in one printable line with its message."""
    write, message = HOSTILE[case]
    path = folder / f"file{case[1]}"
    write(path)
    with pytest.raises(DataError) as caught:
        inspect(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value) and str(caught.value).isprintable()
