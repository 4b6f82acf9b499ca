"""`asnn eval`."""
