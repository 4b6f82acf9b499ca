"""Any command line ends with an exit code and a message, without a traceback."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.cli.app import run
from tests.fuzz.conftest import EXAMPLES

VERBS = ["train", "eval", "encode", "export", "inspect", "recipes", "sweep", "doctor", "bench"]
KEYS = [
    *("data.limit", "data.name", "coding.name", "coding.steps", "model.name", "model.widths"),
    *("train.lr", "train.epochs", "train.seed", "neuron.reset", "augment.flip", "nothing", ""),
]
VALUES = ["0", "1", "-1", "2.5", "nan", "inf", "true", "[1]", "[", "hybrid", "x", "", "1e400", "é"]
OPTIONS = [
    *("--out", "--seed", "--device", "--precision", "--split", "--steps", "--batch-size"),
    *("--format", "--coding", "--grid", "--seeds", "--jobs", "--limit", "--dataset", "--set"),
    *("--json", "--help", "--no-verify", "--nothing", "-o", "--from", "--in-shape", "--version"),
]
WORDS = st.one_of(
    st.sampled_from(OPTIONS),
    st.sampled_from(VALUES),
    st.builds("{}={}".format, st.sampled_from(KEYS), st.sampled_from(VALUES)),
    st.sampled_from(
        ["digits", "list", "show", "copy", "nowhere", "missing.png", "..", "/dev/null"]
    ),
    st.text(max_size=6),
)


@pytest.mark.slow
@settings(settings.get_profile("fuzz"), max_examples=4 * EXAMPLES)
@given(st.sampled_from(VERBS), st.lists(WORDS, max_size=5))
def test_any_line_ends_without_a_traceback(capsys, verb, words):
    if verb == "train" and "--dry-run" not in words:
        words = ["--dry-run", *words]  # a valid line would train
    if verb == "sweep":
        words = ["--dry-run", *words]
    if verb in ("bench", "doctor"):
        words = ["--nothing", *words]  # before a word that ends the options
    code = run([verb, *words])
    captured = capsys.readouterr()
    assert code in (0, 1, 2, 3, 4), (verb, words)
    assert "Traceback" not in captured.err
    if code:
        assert captured.err.strip(), (verb, words)
