"""The number of examples: ASNN_FUZZ for each test, 10000 for a long run."""

import os

import pytest
from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("ASNN_FUZZ", "150"))

settings.register_profile(
    "fuzz",
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="ASNN_FUZZ" not in os.environ,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _without_rendering(monkeypatch):
    """Build figures and do not render them: that takes longer than a small training."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda self, file, **options: None)
