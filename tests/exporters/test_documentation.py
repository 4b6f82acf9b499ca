"""The streaming loop of docs/export.md runs."""

from pathlib import Path

import numpy as np

from asnn.exporters.graph.interpreter import run
from tests.support.exported_networks import images, make_source

PAGE = Path(__file__).parents[2] / "docs" / "export.md"


def test_the_streaming_loop(exported, monkeypatch):
    source = make_source()
    monkeypatch.chdir(exported("onnx", source, None, form="stream").folder)
    block = PAGE.read_text().split("```python\n", 1)[1].split("```", 1)[0]
    names: dict = {}
    exec(block, names)
    x = images().numpy()
    logits = run(source.graph, source.encode(x)).logits
    found = list(names["predict"](x))
    assert len(found) == source.graph.steps
    for t, output in enumerate(found, start=1):
        np.testing.assert_allclose(output, logits[:t].mean(0), atol=1e-5)
