"""`asnn encode`."""
