"""Neurons that a forward writes by hand: their steps, their equations, their spikes."""
