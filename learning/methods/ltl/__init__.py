"""Local tandem learning: each layer learns the activations of the same layer of an ANN."""
