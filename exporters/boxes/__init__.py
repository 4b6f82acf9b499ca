"""Boxes of detectors in files: decoded, and after non-maximum suppression."""
