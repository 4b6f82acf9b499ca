"""The network of a NIR file in torch."""
