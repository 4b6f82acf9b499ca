"""Importers of NIR in other simulators: what they run exactly, measured by running them."""
