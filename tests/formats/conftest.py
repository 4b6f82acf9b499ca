"""The fixture that reads HDF5 files in forked children."""

from tests.support.forked import forked_scan as forked_scan
