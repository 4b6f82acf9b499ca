"""Train, evaluate, encode and export spiking neural networks."""
