"""Checkpoints: what they hold, how they are stored, and how a run is resumed."""
