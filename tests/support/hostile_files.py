"""Hostile images, data sets, weights and recipes: file name and content of each."""

import gzip
import io
import json
import pickle
import struct
import zipfile
import zlib

import numpy as np
from numpy.lib import format as npy


def header(shape: str, descr: str = "'|u1'", version: bytes = b"\x01\x00") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (10 + len(text)) % 64) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text


def npy_file(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    npy.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return stream.getvalue()


def zeros(size: int) -> bytes:
    """Return a raw deflate stream of `size` zeros, a multiple of 1 MiB.

    After a full flush a deflate stream starts anew, so one compressed block can be repeated.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * (size // 2**20) + packer.flush()


def bomb(name: str, size: int, stated: int) -> bytes:
    """Return a zip with one file of `size` zeros, whose entry states another size."""
    content = zeros(size)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.writestr(name, content)
    raw = bytearray(stream.getvalue())
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        method = raw.index(signature) + offset
        raw[method : method + 2] = struct.pack("<H", zipfile.ZIP_DEFLATED)
        sizes = method + 10  # compressed and uncompressed size
        raw[sizes : sizes + 8] = struct.pack("<II", len(content), stated)
    return bytes(raw)


def png(width: int, height: int, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    begin = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + begin + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bmp(width: int, height: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    )


def data_set(**changes: object) -> bytes:
    arrays = {
        "x_train": np.zeros((8, 4, 4), np.uint8),
        "y_train": np.arange(8) % 2,
        **changes,
    }
    return archive({f"{name}.npy": npy_file(np.asarray(value)) for name, value in arrays.items()})


def weights(config: dict[str, object], tensors: dict[str, tuple[list[int], bytes]]) -> bytes:
    """Return a safetensors file with the description of a network."""
    table: dict[str, object] = {
        "__metadata__": {"asnn": json.dumps({"format": 1, "model": config, "labels": []})}
    }
    data = b""
    for name, (shape, content) in tensors.items():
        table[name] = {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text + data


NETWORK: dict[str, object] = {
    "name": "lenet",
    "in_shape": [1, 8, 8],
    "classes": 10,
    "coding": "direct",
    "steps": 2,
    "neuron": "fixed",
}
SAFE_TENSOR = {"a": ([1], bytes(4))}


class Runs:
    """An object that runs a command when it is unpickled."""

    def __reduce__(self):
        import os

        return os.system, ("touch ESCAPED",)


IMAGES = {
    "giant.npy": header("(1000000000000,)"),
    "giant-shape.npy": header("(1000000, 1000000, 1000000)"),
    "no-size.npy": header("(100000000000,)", "'<U0'"),
    "negative.npy": header("(-1, 4, 4)"),
    "objects.npy": npy_file(np.array([Runs()], object)),
    "code.npy": header("__import__('os').system('touch ESCAPED')"),
    "nested.npy": header("(" * 3000),
    "version.npy": header("(4, 4)", version=b"\x09\x09"),
    "record.npy": header("(4, 4)", "[('a', '<f4'), ('b', '<f4')]") + bytes(128),
    "odd-type.npy": header("(4, 4)", "('<f4',)") + bytes(64),
    "subarray.npy": header("(1,)", "('<f4', (100000, 100000, 100))"),
    "complex.npy": npy_file(np.zeros((4, 4), complex)),
    "nan.npy": npy_file(np.full((4, 4), np.nan)),
    "beyond.npy": npy_file(np.full((4, 4), 7.0)),
    "empty.npy": npy_file(np.zeros((0, 4, 4), np.uint8)),
    "cut.npy": npy_file(np.zeros((4, 4), np.uint8))[:-3],
    "dates.npy": npy_file(np.zeros((4, 4), "datetime64[s]")),
    "wrong-size.npz": bomb("x.npy", 2**30, 4096),
    "bomb.npz": bomb("x.npy", 2**31, 2**31),
    "lzma.npz": archive({"x.npy": npy_file(np.zeros((4, 4), np.uint8))}, zipfile.ZIP_LZMA),
    "many.npz": archive({f"{i}.npy": b"" for i in range(10_001)}, zipfile.ZIP_STORED),
    "no-arrays.npz": archive({"x.txt": b"hello"}),
    "objects.npz": archive({"x.npy": npy_file(np.array([Runs()], object))}),
    "outside.npz": archive(
        {"../../ESCAPED.npy": npy_file(np.zeros((4, 4), np.uint8)), "y.npy": b""}
    ),
    "pixels.png": png(2**31 - 1, 2**31 - 1),
    "many-pixels.png": png(60_000, 60_000, zlib.compress(bytes(100))),
    "cut.png": png(8, 8, zlib.compress(bytes(30)))[:40],
    "no-pixels.png": png(0, 0),
    "large.bmp": bmp(100_000, 100_000),
    "cut.bmp": bmp(8, 8),
    "cut.jpg": b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(20),
    "cut.webp": b"RIFF\xff\xff\xff\x7fWEBPVP8 \xff\xff\xff\x7f",
    "animation.gif": b"GIF89a" + bytes(20),
    "script.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>",
    "script.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(touch ESCAPED) system\n",
    "pickle.png": pickle.dumps(Runs()),
    "nothing.png": b"",
    "text.png": b"hello, world\n" * 100,
}

DATA_SETS = {
    "negative.npz": data_set(y_train=np.arange(8) - 1),
    "huge-label.npz": data_set(y_train=np.array([0] * 7 + [2**62])),
    "fractions.npz": data_set(y_train=np.arange(8) / 2),
    "gap.npz": data_set(y_train=np.array([0, 5] * 4)),
    "few.npz": data_set(y_train=np.arange(3) % 2),
    "nan.npz": data_set(x_train=np.full((8, 4, 4), np.nan)),
    "objects.npz": data_set(x_train=np.array([Runs()] * 8, object)),
    "no-images.npz": archive({"y_train.npy": npy_file(np.arange(8))}),
    "one-class.npz": data_set(y_train=np.zeros(8, int)),
    "wrong-size.npz": bomb("x_train.npy", 2**30, 4096),
}

FOLDERS = {
    "outside.zip": archive({"../ESCAPED/a.png": png(4, 4), "../b/c.png": png(4, 4)}),
    "absolute.zip": archive({"/ESCAPED/a.png": png(4, 4), "/tmp/b.png": png(4, 4)}),
    "escapes.zip": archive({"a/\x1b]0;owned\x07\x1b[2J.png": b"hello", "b/1.png": b"hello"}),
    "bomb.zip": archive({"a/1.png": png(60_000, 60_000), "b/2.png": png(60_000, 60_000)}),
    "wrong-size.zip": bomb("a/1.png", 2**30, 4096),
    "huge.zip": bomb("a/1.png", 2**20, 2**32 - 2),
    "lzma.zip": archive({"a/1.png": png(4, 4), "b/1.png": png(4, 4)}, zipfile.ZIP_LZMA),
    "texts.zip": archive({"a/1.png": b"hello", "b/2.png": b"world"}),
    "empty.zip": archive({}),
    "flat.zip": archive({"1.png": png(4, 4)}),
    "cut.zip": archive({"a/1.png": png(4, 4), "b/1.png": png(4, 4)})[:-30],
    "no.zip": b"hello",
    "nothing.zip": b"",
}


def idx(shape: tuple[int, ...], values: bytes = b"", kind: int = 8) -> bytes:
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape) + values


DIGITS = {
    "giant": idx((2**32 - 1, 2**32 - 1, 2**32 - 1)),
    "cut": idx((60_000, 28, 28), bytes(100)),
    "floats": idx((1, 28, 28), bytes(784), kind=13),
    "flat": idx((784,), bytes(784)),
    "text": b"hello, world",
    "nothing": b"",
    "bomb": gzip.compress(idx((2**16, 2**15, 1))) + gzip.compress(bytes(2**24)) * 80,
}

NETWORKS = {
    "nested": struct.pack("<Q", 200_000) + b"[" * 200_000,
    "header": struct.pack("<Q", 2**60) + b"{}",
    "wide": weights({**NETWORK, "widths": [10**9, 10**9]}, SAFE_TENSOR),
    "tall": weights({**NETWORK, "in_shape": [10**10, 1, 1]}, SAFE_TENSOR),
    "steps": weights({**NETWORK, "steps": 10**9}, SAFE_TENSOR),
    "deep": weights({**NETWORK, "name": "spikformer", "size": "1000000000-384"}, SAFE_TENSOR),
    "module": weights({**NETWORK, "name": "os:system"}, SAFE_TENSOR),
    "text": weights({**NETWORK, "in_shape": "abc"}, SAFE_TENSOR),
    "other": weights(NETWORK, SAFE_TENSOR),
    "nan": weights(NETWORK, {"a": ([1], b"\xff\xff\xff\x7f")}),
    "cut": weights(NETWORK, SAFE_TENSOR)[:50],
    "nothing": b"",
    "pickle": pickle.dumps(Runs()),
}

RECIPES = {
    "nested": b"x = " + b"[" * 100_000,
    "digits": b"[train]\nseed = " + b"9" * 5_000,
    "not-utf8": b"\xff\xfe[train]",
    "nul": b"[train]\nepochs = \x00",
    "outside": b"name = '../../ESCAPED'",
    "control": b"name = '\\u001b[2J'",
    "steps": b"[coding]\nsteps = 1000000000",
    "width": b"[model]\nname = 'lenet'\nwidths = [1000000000, 1000000000]",
    "features": b"[model]\nname = 'mlp'\nfeatures = [-5]",
    "infinite": b"[train]\nlr = inf",
    "nan": b"[train]\nlr = nan",
    "table": b"train = 5",
    "array": b"[[train]]\nepochs = 1",
    "transform": b"[augment]\ntransforms = ['../os.system']",
    "transform-code": b"[augment]\ntransforms = [{name = 'Lambda', lambd = 'print'}]",
    "plugin": b"[model]\nname = 'os:system'",
    "format": b"format = 99",
    "binary": bytes(range(256)),
}
