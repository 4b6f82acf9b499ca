"""Codes of images."""
