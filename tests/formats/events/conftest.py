"""The published recordings, if present."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("ASNN_TEST_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def sample():
    """Return the path of a published file; skip the test if it is missing."""

    def find(name: str) -> Path:
        if not (DATA / name).exists():
            pytest.skip(f"no {name} in {DATA} (set ASNN_TEST_DATA to where it is)")
        return DATA / name

    return find
