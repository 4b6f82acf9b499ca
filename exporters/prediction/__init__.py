"""Predictions of exported files, from the files alone."""
