"""`asnn export`."""
