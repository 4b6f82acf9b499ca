"""Corruptions of inputs and of networks, and accuracy under them."""
