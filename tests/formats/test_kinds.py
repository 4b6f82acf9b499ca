"""Valid files of each kind are read by their content; incomplete ones are refused."""

import pytest

from asnn.core import DataError
from asnn.formats.kinds import detect_kind
from asnn.inspection import inspect
from tests.support.format_files import VALID

pytestmark = pytest.mark.usefixtures("forked_scan")


@pytest.mark.slow
@pytest.mark.parametrize("kind", VALID)
def test_valid_files_are_read(kind, tmp_path):
    name, write = VALID[kind]
    write(tmp_path / name)
    assert inspect(tmp_path / name)["kind"] == kind


@pytest.mark.parametrize("kind", VALID)
def test_the_kind_is_detected_from_the_content(kind, tmp_path):
    name, write = VALID[kind]
    write(tmp_path / name)
    renamed = (tmp_path / name).rename(tmp_path / "file.dat")
    assert detect_kind(renamed) == kind
    assert inspect(renamed)["kind"] == kind


@pytest.mark.parametrize("kind", VALID)
@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_truncated_files_are_refused(kind, share, tmp_path):
    name, write = VALID[kind]
    path = tmp_path / name
    write(path)
    content = path.read_bytes()
    path.write_bytes(content[: max(1, int(share * len(content)))])
    with pytest.raises(DataError):
        inspect(path)
