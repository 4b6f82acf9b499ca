"""`asnn runs`."""
