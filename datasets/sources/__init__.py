"""Data sets, one file each, and the readers of files that they share."""
