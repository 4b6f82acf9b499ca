"""Corruptions of inputs and of networks, and the primary metric under them."""
