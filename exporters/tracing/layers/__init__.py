"""Operators that become several layers, or layers over other axes than those of the operator."""
