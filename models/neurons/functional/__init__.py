"""Neurons as pure functions: one step from input and state to spikes and state."""
