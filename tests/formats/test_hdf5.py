"""HDF5 files: the child process is stopped, and damage is refused or harmless."""

from pathlib import Path

import pytest
from hypothesis import given, settings

from asnn.core import DataError
from asnn.formats import hdf5
from asnn.formats.nir import read_nir
from asnn.inspection import inspect
from tests.support import damage
from tests.support.format_files import write_nir


@pytest.mark.slow
def test_a_library_that_hangs_is_stopped(tmp_path, monkeypatch):
    path = write_nir(tmp_path / "file.nir")
    child = tmp_path / "child.py"
    child.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(hdf5.__file__).parent)!r})\n"
        "from hdf5_scan import limit_time\n"
        "limit_time(float(sys.argv[3]))\n"
        "while True: pass\n"
    )
    monkeypatch.setattr(hdf5.hdf5_scan, "__file__", str(child))
    monkeypatch.setattr(hdf5, "MAX_SECONDS", 0.1)
    with pytest.raises(DataError, match="did not finish within 0.1 s"):
        read_nir(path)
    child.write_text("import os; os.abort()\n")
    with pytest.raises(DataError, match="the HDF5 library failed on it"):
        read_nir(path)


@pytest.mark.slow
@pytest.mark.usefixtures("forked_scan")
@settings(damage.SETTINGS, max_examples=40)
@given(flips=damage.BIT_FLIPS, keep=damage.KEPT_SHARE)
def test_damage_is_refused_or_harmless(flips, keep, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "fuzz.nir"
    write_nir(path)
    path.write_bytes(damage.damaged(path.read_bytes(), flips, keep))
    try:
        inspect(path)
    except DataError as error:
        assert str(error).isprintable()
