"""Layers whose output has a step for several steps of their input."""
