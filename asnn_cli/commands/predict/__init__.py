"""`asnn predict`."""
