"""Progressive tandem learning: an ANN becomes a spiking network layer by layer."""
