"""Valid NIR, ONNX, safetensors and NumPy files, written by the libraries of these formats."""

import io
import itertools
import json
import struct
import zipfile
from pathlib import Path

import nir
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def full(value, shape=(4, 8, 8)):
    return np.full(shape, value, np.float32)


def nir_nodes() -> dict[str, nir.NIRNode]:
    random = np.random.default_rng(0)
    return {
        "input": nir.Input(np.array([1, 8, 8])),
        "conv": nir.Conv2d(
            (8, 8), random.normal(size=(4, 1, 3, 3)).astype("f4"), 1, 1, 1, 1, full(0, 4)
        ),
        "lif": nir.LIF(full(2e-4), full(1), full(0), full(1), full(0)),
        "flatten": nir.Flatten({"input": np.array([4, 8, 8])}, -3, -1),
        "affine": nir.Affine(random.normal(size=(10, 256)).astype("f4"), full(0, 10)),
        "output": nir.Output(np.array([10])),
    }


def nir_graph(nodes=None, **options) -> nir.NIRGraph:
    nodes = nodes or nir_nodes()
    names = list(nodes)
    return nir.NIRGraph(nodes, list(itertools.pairwise(names)), **options)


def write_nir(path: Path) -> Path:
    nir.write(path, nir_graph(metadata={"dt": 1e-4}))
    return path


def onnx_model(tensors=None, nodes=None, opset="", **options) -> onnx.ModelProto:
    tensors = tensors or [
        numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3), "w"),
        numpy_helper.from_array(np.zeros(4, np.float32), "b"),
    ]
    nodes = nodes or [
        helper.make_node("Gemm", ["x", "w", "b"], ["u"], name="gemm", transB=1),
        helper.make_node("Relu", ["u"], ["y"], name="relu"),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        tensors,
    )
    sets = [helper.make_opsetid("", 20), *([helper.make_opsetid(opset, 1)] if opset else [])]
    return helper.make_model(graph, opset_imports=sets, ir_version=10, **options)


def safetensors(entries: dict, data: bytes, length: int | None = None) -> bytes:
    header = json.dumps(entries).encode()
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


def entry(begin: int, end: int, shape: list, dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


WEIGHTS = safetensors(
    {"a": entry(0, 24, [2, 3]), "b": entry(24, 32, [2]), "__metadata__": {"made by": "hand"}},
    np.arange(8, dtype="<f4").tobytes(),
)


def npz_bytes(**arrays) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **(arrays or {"x": np.arange(6.0), "y": np.zeros((2, 3), int)}))
    return stream.getvalue()


def zip_bytes(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def npy_bytes(header: str, data: bytes = b"") -> bytes:
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


VALID = {
    "nir": ("valid.nir", write_nir),
    "onnx": ("valid.onnx", lambda path: path.write_bytes(onnx_model().SerializeToString())),
    "safetensors": ("valid.safetensors", lambda path: path.write_bytes(WEIGHTS)),
    "npz": ("valid.npz", lambda path: path.write_bytes(npz_bytes())),
}
