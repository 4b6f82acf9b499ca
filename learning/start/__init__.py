"""The start of a training from trained weights: which go over, and how they are calibrated."""
