"""A child process for each HDF5 file, forked where a test does not ask for a real one."""

from tests.support.forked import forked_scan as forked_scan
