"""The loop of docs/export.md runs as it stands there."""

from pathlib import Path

import numpy as np

from asnn.exporters import export_onnx
from asnn.exporters.graph.interpreter import run
from tests.support.exported_networks import images, subject

PAGE = Path(__file__).parents[2] / "docs" / "export.md"


def test_the_streaming_loop(tmp_path, monkeypatch):
    out = subject()
    export_onnx(out, tmp_path, samples=None, form="stream")
    monkeypatch.chdir(tmp_path)
    block = PAGE.read_text().split("```python\n", 1)[1].split("```", 1)[0]
    names: dict = {}
    exec(block, names)
    x = images().numpy()
    logits = run(out.graph, out.encode(x)).logits
    found = list(names["answers"](x))
    assert len(found) == out.graph.steps
    for t, answer in enumerate(found, start=1):
        np.testing.assert_allclose(answer, logits[:t].mean(0), atol=1e-5)
