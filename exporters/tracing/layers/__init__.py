"""Operators that arrange axes, become several layers, or are over other axes than the layer."""
