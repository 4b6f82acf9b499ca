"""`asnn sweep`."""
